/* SPDX-License-Identifier: GPL-2.0-or-later */

/* OPERATION_ACCEPT: overrides a safety check. See control/operation.h.
 *
 * Every name must have something to accept, or nothing at all is accepted. So the walk over all that can be accepted
 * is made twice: first to count for each name, then to act. */

#include "control/operation-internal.h"

#include "base/clock.h"
#include "base/text.h"
#include "layout/layout.h"

enum {
        LINES_MAX = 50, /* files logged one by one; the report has all of them */
        TRIES_MAX = 8,  /* scans; a model takes three: its manifest is deleted, then its blobs, then directories */
};

/* One walk: what one name covers, or all there is without names. */
typedef struct Scope {
        Operation *operation;
        Mirror *mirror;
        const char *name;            /* NULL: no names were given */
        const ResolvedNames *answer; /* NULL without names, and if only a conflict has the name */
        bool act;                    /* false: only count */
        size_t n;                    /* found so far */
} Scope;

static bool covers(const Scope *scope, const char *path) {
        if (!scope->name)
                return true;
        return scope->answer &&
               (pathset_covers(&scope->answer->roots, path) || pathset_has(&scope->answer->concerned, path));
}

static void log_accepted(Scope *scope, const char *path, const char *effect) {
        char text[TEXT_PATH_MAX];

        if (scope->operation->n_logged++ < LINES_MAX)
                control_operation_log(scope->operation, path, "Accepted '%s': %s", text_path(text, path), effect);
        else
                control_operation_report(scope->operation, "Accepted '%s': %s", text_path(text, path), effect);
}

/* ---- withheld files ---- */

static void accept_withheld(Scope *scope) {
        Mirror *m = scope->mirror;

        for (size_t i = m->withheld.n; i-- > 0;) {
                const WithheldFile *file = m->withheld.files[i];
                AcceptKind kind = file->outcome == TASK_CORRUPT ? ACCEPT_BYTES : ACCEPT_NAME;
                Acceptance acceptance = { .path = file->path, .size = file->size, .ino = file->ino,
                                          .mtime_nsec = file->mtime_nsec, .ctime_nsec = file->ctime_nsec };

                if ((file->outcome != TASK_CORRUPT && file->outcome != TASK_MISNAMED) || !covers(scope, file->path))
                        continue;
                scope->n++;
                if (!scope->act || overrides_accept(&m->overrides, kind, &acceptance) < 0 ||
                    pathset_add(&scope->operation->concerned, file->path) < 0)
                        continue;
                log_accepted(scope, file->path,
                             kind == ACCEPT_BYTES ? "the digest of the file on disk replaces the recorded one"
                                                  : "it is staged although its name states another digest");
                withheld_drop(&m->withheld, scope->operation->concerned.items[scope->operation->concerned.n - 1]);
        }
}

/* ---- rejected files ---- */

static void accept_saves(Scope *scope) {
        SaveQueue *queue = &scope->mirror->writeback.queue;
        uint64_t now = clock_now(scope->mirror->context->event);

        for (size_t i = 0; i < queue->n; i++) {
                const char *path = queue->by_path[i]->path;

                if (!covers(scope, path) || !save_queue_can_accept(queue, path))
                        continue;
                scope->n++;
                if (scope->act && pathset_add(&scope->operation->saves, path) == 0 &&
                    save_queue_accept(queue, path, now))
                        log_accepted(scope, path, "it is saved as it is");
        }
}

/* ---- deletions that were held back ---- */

static void accept_deletions(Scope *scope) {
        Mirror *m = scope->mirror;
        DeletionsInput input = { .layout = m->plan_run.tasks.layout };
        _cleanup_(pathset_done) PathSet accepted = {};

        for (size_t i = 0; m->deletions.wave && i < m->deletions.wave->n_entries; i++) {
                const Entry *entry = &m->deletions.wave->entries[i];

                if (!covers(scope, entry->path))
                        continue;
                scope->n++;
                if (scope->act && overrides_mark_deleted(&m->overrides, entry) == 0 &&
                    pathset_add(&scope->operation->deletions, entry->path) == 0 &&
                    pathset_add(&accepted, entry->path) == 0)
                        log_accepted(scope, entry->path, "it is deleted");
        }
        overrides_sort(&m->overrides);
        pathset_sort(&accepted);
        deletions_accept(&m->deletions, &input, &accepted);
}

/* ---- conflicts ---- */

static void accept_conflicts(Scope *scope) {
        Conflicts *conflicts = &scope->mirror->writeback.conflicts;

        for (size_t i = conflicts->n; i-- > 0;) {
                const Conflict *conflict = &conflicts->items[i];

                if (!covers(scope, conflict->path) && !string_equal(scope->name, conflict->path) &&
                    !string_equal(scope->name, conflict->kept))
                        continue;
                scope->n++;
                if (!scope->act)
                        continue;
                log_accepted(scope, conflict->path, "its conflict is no longer reported");
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

/* ---- its course ---- */

/* Whether each name has something to accept. False: the operation has ended, or the scan began before the request. */
static bool check_names(Operation *operation, Mirror *m) {
        bool empty = false;

        if (!control_operation_answer(m, operation->request))
                return false;
        for (size_t i = 0; operation->names[i]; i++) {
                const ResolvedNames *answer = control_operation_answer(m, operation->request + i);
                Scope scope = { .operation = operation, .mirror = m, .name = operation->names[i], .answer = answer };
                char name[TEXT_PATH_MAX];

                if (accept(&scope) > 0)
                        continue;
                empty = true;
                if (answer && *answer->unknown)
                        control_operation_report_unknown(operation, m, operation->names[i]);
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
        pathset_sort(&operation->deletions);
        operation->phase = OPERATION_APPLIED;
        mirror_state_want_scan(m);
}

static void apply(Operation *operation, Mirror *m) {
        if (!check_names(operation, m))
                return;
        for (size_t i = 0; operation->names[i]; i++) {
                Scope scope = { .operation = operation, .mirror = m, .name = operation->names[i],
                                .answer = control_operation_answer(m, operation->request + i), .act = true };

                (void) accept(&scope);
        }
        start(operation, m);
}

/* ---- its end ---- */

/* The plan has retried the accepted files: those that are in RAM now have an entry in the base that is no record. */
static void check_withheld(Operation *operation, Mirror *m) {
        for (size_t i = 0; i < operation->concerned.n; i++) {
                const char *path = operation->concerned.items[i];
                const WithheldFile *file = withheld_find(&m->withheld, path);
                const Entry *base = manifest_find(m->attachment.base, path);

                if (file || !base || base->flags & ENTRY_RECORD) {
                        control_operation_report(operation, "%s",
                                                 file         ? file->text
                                                 : m->problem ? m->problem
                                                              : "Some accepted files are still not in RAM; see "
                                                                "shmstagectl status");
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
                                                 item->problem ? item->problem
                                                               : "Some accepted files were rejected again; see "
                                                                 "shmstagectl status");
                        operation->failed = true;
                        continue;
                }
                over = false;
        }
        return over;
}

/* A deletion that is no longer among the overrides was carried out; or it was dropped, because a client changed the
 * file, or another file needs it. */
static bool check_deletions(Operation *operation, const Mirror *m) {
        size_t n_deleted = 0, n_kept = 0;

        for (size_t i = 0; i < operation->deletions.n; i++) {
                const char *path = operation->deletions.items[i];
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
                                                 "Kept '%s' on disk: it has changed since it was deleted in the "
                                                 "mirror, or another file needs it",
                                                 text_path(text, path));
                }
        }
        if (operation->deletions.n > 0)
                control_operation_report(operation, "Deleted %zu of %zu files on disk", n_deleted,
                                         operation->deletions.n);
        return true;
}

/* A file may have to settle first; a deletion is made in the mirror by this plan, on the disk by the next one. */
static void read_plan(Operation *operation, const Mirror *m) {
        operation->phase = OPERATION_PLANNED;
        operation->waiting = operation->needs_scan = false;
        for (size_t i = 0; i < m->survey.plan->n_items; i++) {
                const PlanItem *item = &m->survey.plan->items[i];

                if (item->action == PLAN_WAIT && pathset_has(&operation->concerned, plan_item_path(item)))
                        operation->waiting = true;
                if (item->action == PLAN_RELEASE && pathset_has(&operation->deletions, plan_item_path(item)))
                        operation->needs_scan = true;
        }
        operation->deletions_done =
                operation->deletions_done || (!operation->needs_scan && check_deletions(operation, m));
}

static bool is_given_up(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

/* Scan after scan another process has the file open for writing. */
static void give_up_deletions(Operation *operation, Mirror *m) {
        for (size_t i = 0; i < operation->deletions.n; i++) {
                const char *deletion = operation->deletions.items[i];
                char path[TEXT_PATH_MAX];

                if (!m->overrides.marked_deleted || !manifest_find(m->overrides.marked_deleted, deletion))
                        continue;
                if (operation->n_logged++ < LINES_MAX)
                        control_operation_report(operation,
                                                 "'%s' was not deleted: another process has it open for writing in "
                                                 "the mirror, or keeps changing it",
                                                 text_path(path, deletion));
                operation->failed = true;
        }
        if (m->overrides.marked_deleted)
                manifest_filter(m->overrides.marked_deleted, is_given_up, &operation->deletions);
        operation->deletions_done = true;
}

static void on_event(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_REQUESTED) {
                apply(operation, m);
                return;
        }
        if (event == MIRROR_SCANNED) {
                read_plan(operation, m);
                return;
        }
        if (operation->phase != OPERATION_PLANNED)
                return;
        if (event == MIRROR_RESTED && operation->needs_scan && operation->n_tries++ < TRIES_MAX)
                mirror_state_want_scan(m);
        else if (event == MIRROR_RESTED && operation->needs_scan)
                give_up_deletions(operation, m);
        if (event == MIRROR_RESTED && !operation->waiting)
                check_withheld(operation, m);
        if (operation->deletions_done && operation->concerned.n == 0 && check_saves(operation, m))
                control_operation_end(operation, operation->failed);
}

int control_operation_accept(Operation *operation, Mirror *m) {
        Scope scope = { .operation = operation, .mirror = m };

        operation->on_event = on_event;
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
                control_operation_report(
                        operation,
                        "Mirror '%s' has no conflicts and no deletions that were held back; specify NAMEs to accept "
                        "withheld or rejected files",
                        m->config.name);
                return 1;
        }
        start(operation, m);
        return 0;
}
