/* SPDX-License-Identifier: GPL-2.0-or-later */

/* OPERATION_RELEASE: frees RAM. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/text.h"
#include "layout/layout.h"

enum {
        REASONS_MAX = 10, /* files reported one by one */
        TRIES_MAX = 3,    /* scans, while all that is in the way goes away by itself */
};

/* Why a file cannot be released; NULL if it can. *ret_later: not yet, but that will change by itself. */
static const char *obstacle(const Mirror *m, const PlanItem *item, bool *ret_later) {
        const SaveItem *save = save_queue_find(&m->writeback.queue, plan_item_path(item));

        if (save && save->action != PLAN_DELETE && save->state != ITEM_DONE)
                return save->problem ? save->problem : "it is not on disk yet";
        switch (item->action) {
        case PLAN_SAVE:
        case PLAN_SAVEATTR:
                return m->config.write_back ? "it is not on disk yet" : "it was changed only in the mirror";
        case PLAN_CONFLICT:
                return "it was changed on disk and in the mirror";
        case PLAN_DELETE:
                return "it was deleted in the mirror, and the deletion on disk is pending";
        case PLAN_REMOVE:
                return "it was deleted on disk, and its removal from the mirror is pending";
        case PLAN_ADOPT:
                *ret_later = true;
                return "it is not verified yet";
        case PLAN_STAGE:
        case PLAN_WAIT:
                return item->mirror && item->mirror->type != ENTRY_SYMLINK
                               ? "it differs from the file on disk and will be staged again"
                               : NULL;
        case PLAN_IGNORE:
                return item->mirror && !item->source ? "it is unfinished" : NULL;
        case PLAN_KEEP:
                if (item->mirror && !item->source)
                        return "it is unknown whether it is on disk";
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

/* True if nothing may be released: what is in the way is reported, or goes away by itself (*ret_later). */
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
                        control_operation_report(operation, "Failed to release '%s': %s",
                                                 text_path(path, plan_item_path(&plan->items[i])), reason);
        }
        if (answer->busy && n == n_later) {
                control_operation_report(operation, "Failed to release '%s': another process has it open for writing",
                                         text_path(path, answer->busy));
                return true;
        }
        *ret_later = n > 0 && n == n_later;
        if (n > REASONS_MAX)
                control_operation_report(operation, "%zu more files cannot be released", n - REASONS_MAX);
        return n > 0;
}

static void apply(Operation *operation, Mirror *m) {
        const ResolvedNames *answer = control_operation_take_answer(operation, m);
        bool later = false;
        size_t n;
        int r = 0;

        if (!answer)
                return;
        if (find_obstacles(operation, m, answer, &later)) {
                if (!later)
                        control_operation_end(operation, true);
                else if (operation->n_tries++ < TRIES_MAX)
                        mirror_state_want_scan(m);
                else
                        control_operation_fail(operation, "Nothing was released because some files are not verified "
                                                          "yet; try again later");
                return;
        }
        for (size_t i = 0; r == 0 && i < operation->roots.n; i++)
                r = overrides_release(&m->overrides, operation->roots.items[i]);
        if (r < 0) {
                for (size_t i = 0; i < operation->roots.n; i++)
                        overrides_forget(&m->overrides, operation->roots.items[i]);
                control_operation_fail(operation, "Out of memory");
                return;
        }
        operation->total = control_operation_sum_in_ram(m, &operation->concerned, &n);
        operation->phase = OPERATION_APPLIED;
        mirror_state_want_scan(m);
}

/* A file that is still in RAM was opened for writing or changed after the scan: it stays, and is released no more. */
static void finish(Operation *operation, Mirror *m) {
        _cleanup_(freep) char *names = control_operation_list_names(operation);
        char path[TEXT_PATH_MAX], bytes[TEXT_BYTES_MAX];
        size_t n, n_kept = 0, n_shared = 0;

        operation->done =
                operation->total - MIN(operation->total, control_operation_sum_in_ram(m, &operation->concerned, &n));
        for (size_t i = 0; i < operation->concerned.n; i++) {
                const char *concerned = operation->concerned.items[i];

                if (!control_operation_find_in_ram(m, concerned))
                        continue;
                if (!overrides_is_released(&m->overrides, concerned)) {
                        n_shared += layout_is_shared(m->plan_run.tasks.layout, concerned);
                        continue;
                }
                if (n_kept++ < REASONS_MAX)
                        control_operation_report(operation,
                                                 "Failed to release '%s': another process has just opened it for "
                                                 "writing or changed it",
                                                 text_path(path, concerned));
                (void) overrides_stage(&m->overrides, concerned);
        }
        if (n_kept > 0)
                mirror_state_want_scan(m);
        control_operation_log(operation, NULL, "Freed %s of RAM by releasing %s%s",
                              text_bytes(bytes, operation->done), names ? names : "?",
                              n_shared > 0 ? "; other models keep some of its files in RAM" : "");
        operation->total = operation->done;
        control_operation_end(operation, n_kept > 0);
}

static void on_event(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_REQUESTED)
                apply(operation, m);
        else if (event == MIRROR_SCANNED)
                operation->phase = OPERATION_PLANNED;
        else if (event == MIRROR_RESTED && operation->phase == OPERATION_PLANNED)
                finish(operation, m);
}

int control_operation_release(Operation *operation, Mirror *m) {
        operation->on_event = on_event;
        if (*operation->names)
                return control_operation_request(operation, m);
        control_operation_report(operation, "Mirror '%s' cannot be released as a whole; specify NAMEs",
                                 m->config.name);
        return 1;
}
