/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Release and stage: what goes from RAM, and what comes. See control/operation.h. */

#include "control/operation-residency.h"

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
        const SaveItem *save = savequeue_find(&m->writeback.queue, plan_item_path(item));

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
                return item->mirror && item->mirror->type != ENTRY_SYMLINK ? "it is not the same on disk: it is about to be staged again" : NULL;
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
static bool find_obstacles(Steer *steer, const Mirror *m, const Answer *answer, bool *ret_later) {
        const Plan *plan = m->look.plan;
        char path[TEXT_PATH_MAX];
        size_t n = 0, n_later = 0;

        for (size_t i = 0; i < plan->n_items; i++) {
                bool later = false;
                const char *reason;

                if (!pathset_has(&steer->concerned, plan_item_path(&plan->items[i])))
                        continue;
                reason = obstacle(m, &plan->items[i], &later);
                n += reason != NULL;
                n_later += later;
                if (reason && n <= REASONS_MAX && !later)
                        steer_say(steer, "'%s' is not released: %s", text_path(path, plan_item_path(&plan->items[i])), reason);
        }
        if (answer->busy && n == n_later) {
                steer_say(steer, "'%s' is not released: somebody has it open for writing", text_path(path, answer->busy));
                return true;
        }
        *ret_later = n > 0 && n == n_later;
        if (n > REASONS_MAX)
                steer_say(steer, "Nor can %zu more be released", n - REASONS_MAX);
        return n > 0;
}

static void grant_release(Steer *steer, Mirror *m) {
        const Answer *answer;
        bool later = false;
        size_t n;
        int r = 0;

        if (!steer_take_answer(steer, m, &answer))
                return;
        if (find_obstacles(steer, m, answer, &later)) {
                if (later && steer->n_tries++ < TRIES_MAX) {
                        mirrorstate_want_look(m);
                        return;
                }
                if (later)
                        steer_say(steer, "Something of it is not verified yet: nothing was released, try again later");
                steer_end(steer, true);
                return;
        }
        for (size_t i = 0; r == 0 && i < steer->roots.n; i++)
                r = wishes_release(&m->wishes, steer->roots.items[i]);
        if (r < 0) {
                for (size_t i = 0; i < steer->roots.n; i++)
                        wishes_forget(&m->wishes, steer->roots.items[i]);
                steer_say(steer, "Memory ran out");
                steer_end(steer, true);
                return;
        }
        steer->total = sum_in_ram(m, &steer->concerned, &n);
        steer->phase = STEER_GRANTED;
        mirrorstate_want_look(m);
}

/* What is still there was taken up by somebody in the last moment: it stays, and is released no more. */
static void check_release(Steer *steer, Mirror *m) {
        _cleanup_(freep) char *names = list_names(steer->names);
        char path[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];
        size_t n, stays = 0, shared = 0;

        steer->done = steer->total - MIN(steer->total, sum_in_ram(m, &steer->concerned, &n));
        for (size_t i = 0; i < steer->concerned.n; i++) {
                const char *concerned = steer->concerned.items[i];

                if (!find_in_ram(m, concerned))
                        continue;
                if (!wishes_is_released(&m->wishes, concerned)) {
                        shared += layout_is_shared(m->round.tasks.layout, concerned);
                        continue;
                }
                if (stays++ < REASONS_MAX)
                        steer_say(steer, "'%s' stays in RAM: somebody opened it for writing, or changed it, in that moment", text_path(path, concerned));
                (void) wishes_want(&m->wishes, concerned);
        }
        if (stays > 0)
                mirrorstate_want_look(m);
        steer_log(steer, NULL, "%s of RAM were freed by releasing %s%s", text_bytes(bytes, steer->done), names ? names : "?",
                  shared > 0 ? " (some of it stays for others that need it)" : "");
        steer->total = steer->done;
        steer_end(steer, stays > 0);
}

/* ---- stage ---- */

/* No names: whatever could be in RAM and is not. */
static int gather_all(Steer *steer, const Mirror *m) {
        int r = pathset_copy(&m->wishes.released, &steer->roots);

        for (size_t i = 0; r == 0 && i < m->wishes.in_effect.n; i++)
                r = pathset_add(&steer->concerned, m->wishes.in_effect.items[i]);
        for (size_t i = 0; r == 0 && i < m->withheld.n; i++)
                r = pathset_add(&steer->concerned, m->withheld.files[i].path);
        for (size_t i = 0; r == 0 && i < m->look.plan->n_items; i++)
                if (plan_is_left_out(&m->look.plan->items[i]))
                        r = pathset_add(&steer->concerned, plan_item_path(&m->look.plan->items[i]));
        pathset_sort(&steer->concerned);
        return r;
}

static int want(Steer *steer, Mirror *m) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < steer->roots.n; i++) {
                const char *root = steer->roots.items[i];

                if (wishes_of(&m->wishes, root) == WISH_RELEASED)
                        r = pathset_add(&steer->released, root);
                if (r == 0 && *steer->names)
                        r = wishes_want(&m->wishes, root);
                else if (r == 0)
                        wishes_forget(&m->wishes, root);
        }
        /* a blob that was released by itself */
        for (size_t i = 0; r == 0 && i < steer->concerned.n; i++) {
                if (wishes_of(&m->wishes, steer->concerned.items[i]) == WISH_RELEASED)
                        r = wishes_want(&m->wishes, steer->concerned.items[i]);
                withheld_drop(&m->withheld, steer->concerned.items[i]);
        }
        pathset_sort(&steer->released);
        return r;
}

static void grant_stage(Steer *steer, Mirror *m) {
        const Answer *answer;

        if (*steer->names && !steer_take_answer(steer, m, &answer))
                return;
        if ((!*steer->names && gather_all(steer, m) < 0) || want(steer, m) < 0) {
                steer_say(steer, "Memory ran out");
                steer_end(steer, true);
                return;
        }
        steer->phase = STEER_GRANTED;
        mirrorstate_want_look(m);
}

static const WithheldFile *find_withheld(const Mirror *m, const char *path) {
        for (size_t i = 0; i < m->withheld.n; i++)
                if (strcmp(m->withheld.files[i].path, path) == 0)
                        return &m->withheld.files[i];
        return NULL;
}

/* What is to come, and whether something of it has to hold still first. */
static void see_plan(Steer *steer, const Mirror *m) {
        const Plan *plan = m->look.plan;

        steer->phase = STEER_PLANNED;
        steer->waiting = false;
        steer->total = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (!item->source || !pathset_has(&steer->concerned, item->source->path))
                        continue;
                steer->waiting = steer->waiting || item->action == PLAN_WAIT;
                if (item->action == PLAN_STAGE && item->source->type == ENTRY_FILE)
                        steer->total += item->source->size;
        }
}

/* As before, because there is no room. */
static void take_back(Steer *steer, Mirror *m) {
        for (size_t i = 0; i < steer->roots.n; i++) {
                const char *root = steer->roots.items[i];

                if (pathset_has(&steer->released, root))
                        (void) wishes_release(&m->wishes, root);
                else
                        wishes_forget(&m->wishes, root);
        }
        mirrorstate_want_look(m);
}

typedef struct Missing {
        size_t n, n_withheld;
        bool unsettled;
} Missing;

static void note_missing(Steer *steer, const Mirror *m, const char *path, Missing *missing) {
        const WithheldFile *withheld = find_withheld(m, path);

        missing->n++;
        missing->unsettled = missing->unsettled || (withheld && withheld->outcome == TASK_CHANGED);
        if (withheld && missing->n_withheld++ < REASONS_MAX && withheld->outcome != TASK_CHANGED)
                steer_say(steer, "%s", withheld->text);
}

static void check_stage(Steer *steer, Mirror *m) {
        Missing missing = {};
        char bytes[TEXT_BYTES_MAX];
        uint64_t in_ram;
        size_t n;

        if (steer->waiting)
                return; /* another look comes */
        for (size_t i = 0; i < steer->concerned.n; i++) {
                const char *path = steer->concerned.items[i];
                const Entry *source = m->source ? manifest_find(m->source, path) : NULL;

                if (source && is_data(source) && !(source->flags & ENTRY_ORPHAN) && !find_in_ram(m, path))
                        note_missing(steer, m, path, &missing);
        }
        if (missing.unsettled && missing.n_withheld == missing.n && m->unsettled && steer->n_tries++ < TRIES_MAX)
                return;
        in_ram = sum_in_ram(m, &steer->concerned, &n);
        steer->done = steer->total;
        if (missing.n == 0) {
                _cleanup_(freep) char *names = list_names(steer->names);

                steer_log(steer, NULL, "%s: in RAM and verified, %zu %s (%s)", names ? names : "All that was released, withheld or left out", n,
                          n == 1 ? "file" : "files", text_bytes(bytes, in_ram));
        } else if (missing.n > missing.n_withheld) {
                steer_say(steer, "%s", m->problem ? m->problem : "Not all of it could be staged");
                take_back(steer, m);
        }
        steer_end(steer, missing.n > 0);
}

/* ---- both ---- */

static void hear_release(Steer *steer, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_LOOKED && steer->phase == STEER_ASKED)
                grant_release(steer, m);
        else if (event == MIRROR_LOOKED)
                steer->phase = STEER_PLANNED;
        else if (event == MIRROR_RESTED && steer->phase == STEER_PLANNED)
                check_release(steer, m);
}

static void hear_stage(Steer *steer, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_LOOKED && steer->phase == STEER_ASKED)
                grant_stage(steer, m);
        else if (event == MIRROR_LOOKED)
                see_plan(steer, m);
        else if (event == MIRROR_RESTED && steer->phase == STEER_PLANNED)
                check_stage(steer, m);
}

static int ask(Steer *steer, Mirror *m) {
        steer->request = wishes_request(&m->wishes, steer->names);
        if (steer->request == 0)
                return -ENOMEM;
        steer->n_requests = 1;
        mirrorstate_want_look(m);
        return 0;
}

int steerroom_release(Steer *steer, Mirror *m) {
        steer->hear = hear_release;
        return ask(steer, m);
}

int steerroom_stage(Steer *steer, Mirror *m) {
        steer->hear = hear_stage;
        steer->stages = true;
        return ask(steer, m);
}
