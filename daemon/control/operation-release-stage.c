/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Release and stage: what goes from RAM, and what comes. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/text.h"
#include "layout/layout.h"

/* So many reasons are told one by one. */
enum { REASONS_MAX = 10, TRIES_MAX = 3 };

static bool is_data(const Entry *entry) {
        return entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK;
}

/* The base's entry, if the mirror has the bytes. */
static const Entry *find_in_ram(const Mirror *m, const char *path) {
        const Entry *e = manifest_find(m->attachment.base, path);

        return e && is_data(e) && !(e->flags & (ENTRY_RECORD | ENTRY_LINKED)) ? e : NULL;
}

static uint64_t sum_in_ram(const Mirror *m, const PathSet *paths, size_t *ret_n) {
        uint64_t bytes = 0;
        size_t n = 0;

        for (size_t i = 0; i < paths->n; i++) {
                const Entry *e = find_in_ram(m, paths->items[i]);

                n += e != NULL;
                bytes += e && e->type == ENTRY_FILE ? e->room : 0;
        }
        *ret_n = n;
        return bytes;
}

/* "'a', 'b' and 3 more" */
static char *list_names(char *const *names) {
        char *text = NULL, path[TEXT_PATH_MAX];
        size_t n = 0, more = 0;

        for (; *names; names++)
                if (n++ < 3)
                        (void) text_append(&text, "%s'%s'", text ? ", " : "", text_path(path, *names));
                else
                        more++;
        if (more > 0)
                (void) text_append(&text, " and %zu more", more);
        return text;
}

/* ---- release ---- */

/* Why one thing cannot go from RAM; NULL if it can. *ret_later: not yet, but that will change by itself. */
static const char *obstacle(const Mirror *m, const PlanItem *item, bool *ret_later) {
        const SaveItem *save = save_queue_find(&m->writeback.queue, plan_item_path(item));

        if (save && save->action != PLAN_DELETE && save->state != ITEM_DONE)
                return save->problem ? save->problem : "it is not on disk yet";
        switch (item->action) {
        case PLAN_SAVE:
        case PLAN_SAVEATTR:
                return m->config.write_back ? "it is not on disk yet" : "it was changed in the mirror only";
        case PLAN_CONFLICT:
                return "it was changed on disk and in the mirror";
        case PLAN_DELETE:
                return "it was deleted in the mirror, and the disk is to follow";
        case PLAN_REMOVE:
                return "it is gone from the disk, and is about to go from the mirror";
        case PLAN_ADOPT:
                *ret_later = true;
                return "it is not verified yet";
        case PLAN_STAGE:
        case PLAN_WAIT:
                return item->mirror && item->mirror->type != ENTRY_SYMLINK
                               ? "it is not the same on disk: it is about to be staged again"
                               : NULL;
        case PLAN_IGNORE:
                return item->mirror && !item->source ? "it is not finished" : NULL;
        case PLAN_KEEP:
                if (item->mirror && !item->source)
                        return "whether the disk has it is not known";
                break;
        case PLAN_SETATTR:
        case PLAN_LINK:
        case PLAN_SKIP:
        case PLAN_FORGET:
        case PLAN_WITHHOLD:
        case PLAN_RELEASE:
                break;
        }
        return NULL;
}

/* True if nothing of it may go; then it is told, or comes right *ret_later. */
static bool find_obstacles(Operation *operation, const Mirror *m, const ResolvedNames *answer, bool *ret_later) {
        const Plan *plan = m->survey.plan;
        char path[TEXT_PATH_MAX];
        size_t n = 0, n_later = 0;

        for (size_t i = 0; i < plan->n_items; i++) {
                bool later = false;
                const char *reason;

                if (!pathset_has(&operation->concerned, plan_item_path(&plan->items[i])))
                        continue;
                reason = obstacle(m, &plan->items[i], &later);
                n += reason != NULL;
                n_later += later;
                if (reason && n <= REASONS_MAX && !later)
                        control_operation_report(operation, "'%s' is not released: %s",
                                                 text_path(path, plan_item_path(&plan->items[i])), reason);
        }
        if (answer->busy && n == n_later) {
                control_operation_report(operation, "'%s' is not released: somebody has it open for writing",
                                         text_path(path, answer->busy));
                return true;
        }
        *ret_later = n > 0 && n == n_later;
        if (n > REASONS_MAX)
                control_operation_report(operation, "Nor can %zu more be released", n - REASONS_MAX);
        return n > 0;
}

static void grant_release(Operation *operation, Mirror *m) {
        const ResolvedNames *answer;
        bool later = false;
        size_t n;
        int r = 0;

        if (!control_operation_take_answer(operation, m, &answer))
                return;
        if (find_obstacles(operation, m, answer, &later)) {
                if (later && operation->n_tries++ < TRIES_MAX) {
                        mirror_state_want_scan(m);
                        return;
                }
                if (later)
                        control_operation_report(
                                operation,
                                "Something of it is not verified yet: nothing was released, try again later");
                control_operation_end(operation, true);
                return;
        }
        for (size_t i = 0; r == 0 && i < operation->roots.n; i++)
                r = overrides_release(&m->overrides, operation->roots.items[i]);
        if (r < 0) {
                for (size_t i = 0; i < operation->roots.n; i++)
                        overrides_forget(&m->overrides, operation->roots.items[i]);
                control_operation_report(operation, "Memory ran out");
                control_operation_end(operation, true);
                return;
        }
        operation->total = sum_in_ram(m, &operation->concerned, &n);
        operation->phase = OPERATION_GRANTED;
        mirror_state_want_scan(m);
}

/* What is still there was taken up by somebody in the last moment: it stays, and is released no more. */
static void check_release(Operation *operation, Mirror *m) {
        _cleanup_(freep) char *names = list_names(operation->names);
        char path[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];
        size_t n, stays = 0, shared = 0;

        operation->done = operation->total - MIN(operation->total, sum_in_ram(m, &operation->concerned, &n));
        for (size_t i = 0; i < operation->concerned.n; i++) {
                const char *concerned = operation->concerned.items[i];

                if (!find_in_ram(m, concerned))
                        continue;
                if (!overrides_is_released(&m->overrides, concerned)) {
                        shared += layout_is_shared(m->plan_run.tasks.layout, concerned);
                        continue;
                }
                if (stays++ < REASONS_MAX)
                        control_operation_report(
                                operation,
                                "'%s' stays in RAM: somebody opened it for writing, or changed it, in that moment",
                                text_path(path, concerned));
                (void) overrides_stage(&m->overrides, concerned);
        }
        if (stays > 0)
                mirror_state_want_scan(m);
        control_operation_log(operation, NULL, "%s of RAM were freed by releasing %s%s",
                              text_bytes(bytes, operation->done), names ? names : "?",
                              shared > 0 ? " (some of it stays for others that need it)" : "");
        operation->total = operation->done;
        control_operation_end(operation, stays > 0);
}

/* ---- stage ---- */

/* No names: whatever could be in RAM and is not. */
static int gather_all(Operation *operation, const Mirror *m) {
        int r = pathset_copy(&m->overrides.released, &operation->roots);

        for (size_t i = 0; r == 0 && i < m->overrides.in_effect.n; i++)
                r = pathset_add(&operation->concerned, m->overrides.in_effect.items[i]);
        for (size_t i = 0; r == 0 && i < m->withheld.n; i++)
                r = pathset_add(&operation->concerned, m->withheld.files[i].path);
        for (size_t i = 0; r == 0 && i < m->survey.plan->n_items; i++)
                if (plan_is_skipped(&m->survey.plan->items[i]))
                        r = pathset_add(&operation->concerned, plan_item_path(&m->survey.plan->items[i]));
        pathset_sort(&operation->concerned);
        return r;
}

static int want(Operation *operation, Mirror *m) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < operation->roots.n; i++) {
                const char *root = operation->roots.items[i];

                if (overrides_get(&m->overrides, root) == OVERRIDE_RELEASED)
                        r = pathset_add(&operation->released, root);
                if (r == 0 && *operation->names)
                        r = overrides_stage(&m->overrides, root);
                else if (r == 0)
                        overrides_forget(&m->overrides, root);
        }
        /* a blob that was released by itself */
        for (size_t i = 0; r == 0 && i < operation->concerned.n; i++) {
                if (overrides_get(&m->overrides, operation->concerned.items[i]) == OVERRIDE_RELEASED)
                        r = overrides_stage(&m->overrides, operation->concerned.items[i]);
                withheld_drop(&m->withheld, operation->concerned.items[i]);
        }
        pathset_sort(&operation->released);
        return r;
}

static void grant_stage(Operation *operation, Mirror *m) {
        const ResolvedNames *answer;

        if (*operation->names && !control_operation_take_answer(operation, m, &answer))
                return;
        if ((!*operation->names && gather_all(operation, m) < 0) || want(operation, m) < 0) {
                control_operation_report(operation, "Memory ran out");
                control_operation_end(operation, true);
                return;
        }
        operation->phase = OPERATION_GRANTED;
        mirror_state_want_scan(m);
}

static const WithheldFile *find_withheld(const Mirror *m, const char *path) {
        for (size_t i = 0; i < m->withheld.n; i++)
                if (strcmp(m->withheld.files[i].path, path) == 0)
                        return &m->withheld.files[i];
        return NULL;
}

/* What is to come, and whether something of it has to hold still first. */
static void see_plan(Operation *operation, const Mirror *m) {
        const Plan *plan = m->survey.plan;

        operation->phase = OPERATION_PLANNED;
        operation->waiting = false;
        operation->total = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (!item->source || !pathset_has(&operation->concerned, item->source->path))
                        continue;
                operation->waiting = operation->waiting || item->action == PLAN_WAIT;
                if (item->action == PLAN_STAGE && item->source->type == ENTRY_FILE)
                        operation->total += item->source->size;
        }
}

/* As before, because there is no room. */
static void take_back(Operation *operation, Mirror *m) {
        for (size_t i = 0; i < operation->roots.n; i++) {
                const char *root = operation->roots.items[i];

                if (pathset_has(&operation->released, root))
                        (void) overrides_release(&m->overrides, root);
                else
                        overrides_forget(&m->overrides, root);
        }
        mirror_state_want_scan(m);
}

typedef struct Missing {
        size_t n, n_withheld;
        bool unsettled;
} Missing;

static void note_missing(Operation *operation, const Mirror *m, const char *path, Missing *missing) {
        const WithheldFile *withheld = find_withheld(m, path);

        missing->n++;
        missing->unsettled = missing->unsettled || (withheld && withheld->outcome == TASK_CHANGED);
        if (withheld && missing->n_withheld++ < REASONS_MAX && withheld->outcome != TASK_CHANGED)
                control_operation_report(operation, "%s", withheld->text);
}

static void check_stage(Operation *operation, Mirror *m) {
        Missing missing = {};
        char bytes[TEXT_BYTES_MAX];
        uint64_t in_ram;
        size_t n;

        if (operation->waiting)
                return; /* another look comes */
        for (size_t i = 0; i < operation->concerned.n; i++) {
                const char *path = operation->concerned.items[i];
                const Entry *source = m->source ? manifest_find(m->source, path) : NULL;

                if (source && is_data(source) && !(source->flags & ENTRY_ORPHAN) && !find_in_ram(m, path))
                        note_missing(operation, m, path, &missing);
        }
        if (missing.unsettled && missing.n_withheld == missing.n && m->scan.wanted.unsettled && operation->n_tries++ < TRIES_MAX)
                return;
        in_ram = sum_in_ram(m, &operation->concerned, &n);
        operation->done = operation->total;
        if (missing.n == 0) {
                _cleanup_(freep) char *names = list_names(operation->names);

                control_operation_log(operation, NULL, "%s: in RAM and verified, %zu %s (%s)",
                                      names ? names : "All that was released, withheld or left out", n,
                                      n == 1 ? "file" : "files", text_bytes(bytes, in_ram));
        } else if (missing.n > missing.n_withheld) {
                control_operation_report(operation, "%s", m->problem ? m->problem : "Not all of it could be staged");
                take_back(operation, m);
        }
        control_operation_end(operation, missing.n > 0);
}

/* ---- both ---- */

static void hear_release(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_ASKED)
                grant_release(operation, m);
        else if (event == MIRROR_SCANNED)
                operation->phase = OPERATION_PLANNED;
        else if (event == MIRROR_RESTED && operation->phase == OPERATION_PLANNED)
                check_release(operation, m);
}

static void hear_stage(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_ASKED)
                grant_stage(operation, m);
        else if (event == MIRROR_SCANNED)
                see_plan(operation, m);
        else if (event == MIRROR_RESTED && operation->phase == OPERATION_PLANNED)
                check_stage(operation, m);
}

static int ask(Operation *operation, Mirror *m) {
        operation->request = overrides_request(&m->overrides, operation->names);
        if (operation->request == 0)
                return -ENOMEM;
        operation->n_requests = 1;
        mirror_state_want_scan(m);
        return 0;
}

int control_operation_release(Operation *operation, Mirror *m) {
        operation->hear = hear_release;
        return ask(operation, m);
}

int control_operation_stage(Operation *operation, Mirror *m) {
        operation->hear = hear_stage;
        operation->stages = true;
        return ask(operation, m);
}
