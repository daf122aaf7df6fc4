/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Accept. See control/operation.h.
 *
 * Every name has to have something that can be accepted, or nothing is. What that is, is found out twice: once for
 * each name, before anything is accepted. */

#include "control/operation-internal.h"

#include "base/strv.h"
#include "base/text.h"
#include "layout/layout.h"

/* So many single things are logged; the report has all of them. */
enum { LINES_MAX = 50 };

/* A model goes in three steps: what names it, what it names, the rest of the directories. */
enum { TRIES_MAX = 8 };

/* What is asked for under one name, or all there is. */
typedef struct Scope {
        Operation *operation;
        Mirror *mirror;
        const char *name;     /* NULL: no names were given */
        const ResolvedNames *answer; /* NULL likewise, and for what only a conflict has */
        bool act;             /* false: it is only counted */
        size_t n;
} Scope;

static bool has(const Scope *scope, const char *path) {
        if (!scope->name)
                return true;
        return scope->answer &&
               (pathset_covers(&scope->answer->roots, path) || pathset_has(&scope->answer->concerned, path));
}

static void tell(Scope *scope, const char *path, const char *what) {
        char text[TEXT_PATH_MAX];

        if (scope->operation->n_logged++ < LINES_MAX)
                control_operation_log(scope->operation, path, "'%s' is accepted: %s", text_path(text, path), what);
        else
                control_operation_report(scope->operation, "'%s' is accepted: %s", text_path(text, path), what);
}

/* ---- what is withheld ---- */

static void accept_withheld(Scope *scope) {
        Mirror *m = scope->mirror;

        for (size_t i = m->withheld.n; i-- > 0;) {
                const WithheldFile *file = &m->withheld.files[i];
                AcceptKind kind = file->outcome == TASK_CORRUPT ? ACCEPT_BYTES : ACCEPT_NAME;
                Acceptance acceptance = { .path = file->path,
                                          .size = file->size,
                                          .ino = file->ino,
                                          .mtime_nsec = file->mtime_nsec,
                                          .ctime_nsec = file->ctime_nsec };

                if ((file->outcome != TASK_CORRUPT && file->outcome != TASK_MISNAMED) || !has(scope, file->path))
                        continue;
                scope->n++;
                if (!scope->act || overrides_accept(&m->overrides, kind, &acceptance) < 0 ||
                    pathset_add(&scope->operation->concerned, file->path) < 0)
                        continue;
                tell(scope, file->path,
                     kind == ACCEPT_BYTES ? "what the disk has now is right, whatever is on record"
                                          : "it is staged although its name states another digest");
                withheld_drop(&m->withheld, scope->operation->concerned.items[scope->operation->concerned.n - 1]);
        }
}

/* ---- what is never saved ---- */

static void accept_saves(Scope *scope) {
        SaveQueue *queue = &scope->mirror->writeback.queue;
        uint64_t now = control_operation_now(scope->mirror);

        for (size_t i = 0; i < queue->n; i++) {
                const char *path = queue->by_path[i]->path;

                if (!has(scope, path) || !save_queue_can_accept(queue, path))
                        continue;
                scope->n++;
                if (scope->act && pathset_add(&scope->operation->saves, path) == 0 &&
                    save_queue_accept(queue, path, now))
                        tell(scope, path, "it is saved as it is");
        }
}

/* ---- deletions that were held back ---- */

static void accept_deletions(Scope *scope) {
        Mirror *m = scope->mirror;
        DeletionsInput input = { .layout = m->plan_run.tasks.layout };
        PathSet accepted = {};

        for (size_t i = 0; m->deletions.wave && i < m->deletions.wave->n_entries; i++) {
                const Entry *entry = &m->deletions.wave->entries[i];

                if (!has(scope, entry->path))
                        continue;
                scope->n++;
                if (scope->act && overrides_mark_deleted(&m->overrides, entry) == 0 &&
                    pathset_add(&scope->operation->marked_deleted, entry->path) == 0 &&
                    pathset_add(&accepted, entry->path) == 0)
                        tell(scope, entry->path, "it is deleted after all");
        }
        overrides_sort(&m->overrides);
        for (size_t i = 0; i < accepted.n; i++)
                deletions_accept(&m->deletions, &input, accepted.items[i]);
        pathset_done(&accepted);
}

/* ---- conflicts ---- */

static void accept_conflicts(Scope *scope) {
        Conflicts *conflicts = &scope->mirror->writeback.conflicts;

        for (size_t i = conflicts->n; i-- > 0;) {
                const Conflict *conflict = &conflicts->items[i];

                if (!has(scope, conflict->path) && !string_equal(scope->name, conflict->path) &&
                    !string_equal(scope->name, conflict->kept))
                        continue;
                scope->n++;
                if (!scope->act)
                        continue;
                tell(scope, conflict->path, "that it was changed on both sides is seen, and told no more");
                conflicts_drop(conflicts, i);
        }
}

static size_t accept(Scope *scope) {
        scope->n = 0;
        if (scope->name || scope->mirror->deletions.wave)
                accept_deletions(scope);
        if (scope->name) {
                accept_withheld(scope);
                accept_saves(scope);
        }
        if (scope->name || scope->n == 0)
                accept_conflicts(scope);
        return scope->n;
}

/* ---- how it goes on ---- */

static const ResolvedNames *find_answer(const Mirror *m, uint64_t id) {
        for (size_t i = 0; i < m->survey.n_answers; i++)
                if (m->survey.answers[i].id == id)
                        return &m->survey.answers[i];
        return NULL;
}

/* Of each name. False: it has ended, or the look was an earlier one. */
static bool has_all(Operation *operation, Mirror *m) {
        bool empty = false;

        if (!find_answer(m, operation->request))
                return false;
        for (size_t i = 0; operation->names[i]; i++) {
                const ResolvedNames *answer = find_answer(m, operation->request + i);
                Scope scope = { .operation = operation, .mirror = m, .name = operation->names[i], .answer = answer };
                char name[TEXT_PATH_MAX];

                if (accept(&scope) > 0)
                        continue;
                empty = true;
                if (answer && *answer->unknown)
                        control_operation_report(
                                operation, "There is no file, directory or model '%s' in mirror '%s' or its source",
                                text_path(name, operation->names[i]), m->config.name);
                else
                        control_operation_report(operation, "There is nothing to accept under '%s'",
                                                 text_path(name, operation->names[i]));
        }
        if (empty)
                control_operation_end(operation, true);
        return !empty;
}

static void start(Operation *operation, Mirror *m) {
        pathset_sort(&operation->concerned);
        pathset_sort(&operation->saves);
        pathset_sort(&operation->marked_deleted);
        operation->phase = OPERATION_GRANTED;
        mirror_state_want_scan(m);
}

static void grant(Operation *operation, Mirror *m) {
        if (!has_all(operation, m))
                return;
        for (size_t i = 0; operation->names[i]; i++) {
                Scope scope = { .operation = operation,
                                .mirror = m,
                                .name = operation->names[i],
                                .answer = find_answer(m, operation->request + i),
                                .act = true };

                (void) accept(&scope);
        }
        start(operation, m);
}

/* ---- how it ends ---- */

static const WithheldFile *find_withheld(const Mirror *m, const char *path) {
        for (size_t i = 0; i < m->withheld.n; i++)
                if (strcmp(m->withheld.files[i].path, path) == 0)
                        return &m->withheld.files[i];
        return NULL;
}

/* They were tried: the record vouches for what came of it. */
static void check_withheld(Operation *operation, Mirror *m) {
        for (size_t i = 0; i < operation->concerned.n; i++) {
                const char *path = operation->concerned.items[i];
                const WithheldFile *file = find_withheld(m, path);
                const Entry *base = manifest_find(m->attachment.base, path);

                if (file || !base || base->flags & ENTRY_RECORD) {
                        control_operation_report(operation, "%s",
                                                 file         ? file->text
                                                 : m->problem ? m->problem
                                                              : "It is not in RAM all the same");
                        operation->failed = true;
                }
                overrides_end_acceptance(&m->overrides, path);
        }
        pathset_done(&operation->concerned);
}

static bool check_saves(Operation *operation, const Mirror *m) {
        bool over = true;

        for (size_t i = 0; i < operation->saves.n; i++) {
                const SaveItem *item = save_queue_find(&m->writeback.queue, operation->saves.items[i]);

                if (!item || item->state == ITEM_DONE)
                        continue;
                if (item->state == ITEM_REFUSED || item->problem) {
                        control_operation_report(operation, "%s",
                                                 item->problem ? item->problem : "It is refused once more");
                        operation->failed = true;
                        continue;
                }
                over = false;
        }
        return over;
}

/* One that is gone from the wishes was deleted, or somebody had changed it, or something else needs it. */
static bool check_deletions(Operation *operation, const Mirror *m) {
        size_t n_deleted = 0, n_kept = 0;

        for (size_t i = 0; i < operation->marked_deleted.n; i++) {
                const char *path = operation->marked_deleted.items[i];
                const Entry *source = manifest_find(m->survey.source, path),
                            *base = manifest_find(m->attachment.base, path);

                if (m->overrides.marked_deleted && manifest_find(m->overrides.marked_deleted, path) &&
                    (m->config.deletes != DELETES_KEEP || manifest_find(m->survey.mirror, path)))
                        return false;
                if (!source || m->config.deletes == DELETES_KEEP || (base && base->flags & ENTRY_CONDEMNED) ||
                    manifest_find(m->writeback.changes, path)) {
                        n_deleted++;
                        continue;
                }
                if (n_kept++ < LINES_MAX) {
                        char text[TEXT_PATH_MAX];

                        control_operation_report(operation,
                                                 "'%s' stays: it was changed since, or something that stays needs it",
                                                 text_path(text, path));
                }
        }
        if (operation->marked_deleted.n > 0)
                control_operation_report(operation, "%zu of %zu names were deleted", n_deleted,
                                         operation->marked_deleted.n);
        return true;
}

/* Something of it has to hold still first, or goes from the mirror in this round and from the disk after the next look. */
static void see_plan(Operation *operation, const Mirror *m) {
        operation->phase = OPERATION_PLANNED;
        operation->waiting = operation->look_after = false;
        for (size_t i = 0; i < m->survey.plan->n_items; i++) {
                const PlanItem *item = &m->survey.plan->items[i];

                if (item->action == PLAN_WAIT && pathset_has(&operation->concerned, plan_item_path(item)))
                        operation->waiting = true;
                if (item->action == PLAN_RELEASE && pathset_has(&operation->marked_deleted, plan_item_path(item)))
                        operation->look_after = true;
        }
        operation->deleted = operation->deleted || (!operation->look_after && check_deletions(operation, m));
}

static bool is_given_up(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

/* Somebody has it open for writing, time and again. */
static void give_up_deletions(Operation *operation, Mirror *m) {
        for (size_t i = 0; i < operation->marked_deleted.n; i++) {
                const Entry *marked_deleted =
                        m->overrides.marked_deleted
                                ? manifest_find(m->overrides.marked_deleted, operation->marked_deleted.items[i])
                                : NULL;
                char path[TEXT_PATH_MAX];

                if (marked_deleted && operation->n_logged++ < LINES_MAX)
                        control_operation_report(operation,
                                                 "'%s' is not deleted: it cannot be taken out of the mirror, because "
                                                 "somebody has it open for writing or changes it",
                                                 text_path(path, marked_deleted->path));
                operation->failed = operation->failed || marked_deleted;
        }
        if (m->overrides.marked_deleted)
                manifest_filter(m->overrides.marked_deleted, is_given_up, &operation->marked_deleted);
        operation->deleted = true;
}

static void hear(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_ASKED) {
                grant(operation, m);
                return;
        }
        if (event == MIRROR_SCANNED) {
                see_plan(operation, m);
                return;
        }
        if (operation->phase != OPERATION_PLANNED)
                return;
        if (event == MIRROR_RESTED && operation->look_after && operation->n_tries++ < TRIES_MAX)
                mirror_state_want_scan(m);
        else if (event == MIRROR_RESTED && operation->look_after)
                give_up_deletions(operation, m);
        if (event == MIRROR_RESTED && !operation->waiting)
                check_withheld(operation, m);
        if (operation->deleted && operation->concerned.n == 0 && check_saves(operation, m))
                control_operation_end(operation, operation->failed);
}

int control_operation_accept(Operation *operation, Mirror *m) {
        Scope scope = { .operation = operation, .mirror = m };

        operation->hear = hear;
        if (*operation->names) {
                for (size_t i = 0; operation->names[i]; i++) {
                        char *const name[] = { operation->names[i], NULL };
                        uint64_t id = overrides_request(&m->overrides, name);

                        if (id == 0)
                                return -ENOMEM;
                        if (i == 0)
                                operation->request = id;
                        operation->n_requests++;
                }
                mirror_state_want_scan(m);
                return 0;
        }
        scope.act = true;
        if (accept(&scope) == 0) {
                control_operation_report(operation,
                                         "Mirror '%s' has held back no deletions, and no conflict is unseen. Of what "
                                         "is withheld or not saved each has to be named",
                                         m->config.name);
                return 1;
        }
        start(operation, m);
        return 0;
}
