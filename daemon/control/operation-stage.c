/* SPDX-License-Identifier: GPL-2.0-or-later */

/* OPERATION_STAGE: brings files into RAM. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/text.h"

enum {
        REASONS_MAX = 10, /* withheld files reported one by one */
        TRIES_MAX = 3,    /* scans, while a file changes as it is read */
};

/* Without names: whatever could be in RAM and is not. */
static int gather_all(Operation *operation, const Mirror *m) {
        int r = pathset_copy(&m->overrides.released, &operation->roots);

        for (size_t i = 0; r == 0 && i < m->overrides.in_effect.n; i++)
                r = pathset_add(&operation->concerned, m->overrides.in_effect.items[i]);
        for (size_t i = 0; r == 0 && i < m->withheld.n; i++)
                r = pathset_add(&operation->concerned, m->withheld.files[i]->path);
        for (size_t i = 0; r == 0 && i < m->survey.plan->n_items; i++)
                if (plan_is_skipped(&m->survey.plan->items[i]))
                        r = pathset_add(&operation->concerned, plan_item_path(&m->survey.plan->items[i]));
        pathset_sort(&operation->concerned);
        return r;
}

static int change_overrides(Operation *operation, Mirror *m) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < operation->roots.n; i++) {
                const char *root = operation->roots.items[i];

                if (overrides_get(&m->overrides, root) == OVERRIDE_RELEASED)
                        r = pathset_add(&operation->were_released, root);
                if (r == 0 && *operation->names)
                        r = overrides_stage(&m->overrides, root);
                else if (r == 0)
                        overrides_forget(&m->overrides, root);
        }
        /* a blob that was released under its own name, not as part of a model */
        for (size_t i = 0; r == 0 && i < operation->concerned.n; i++) {
                if (overrides_get(&m->overrides, operation->concerned.items[i]) == OVERRIDE_RELEASED)
                        r = overrides_stage(&m->overrides, operation->concerned.items[i]);
                withheld_drop(&m->withheld, operation->concerned.items[i]);
        }
        pathset_sort(&operation->were_released);
        return r;
}

static void apply(Operation *operation, Mirror *m) {
        if (*operation->names && !control_operation_take_answer(operation, m))
                return;
        if ((!*operation->names && gather_all(operation, m) < 0) || change_overrides(operation, m) < 0) {
                control_operation_fail(operation, "Out of memory");
                return;
        }
        operation->phase = OPERATION_APPLIED;
        mirror_state_want_scan(m);
}

/* How much will be staged, and whether one of the files has to settle first. */
static void read_plan(Operation *operation, const Mirror *m) {
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

/* There is no room: the overrides are as they were before. */
static void restore_overrides(Operation *operation, Mirror *m) {
        for (size_t i = 0; i < operation->roots.n; i++) {
                const char *root = operation->roots.items[i];

                if (pathset_has(&operation->were_released, root))
                        (void) overrides_release(&m->overrides, root);
                else
                        overrides_forget(&m->overrides, root);
        }
        mirror_state_want_scan(m);
}

typedef struct Missing {
        size_t n, n_withheld;
        bool changing; /* a file was withheld because it changed while it was read */
} Missing;

static Missing find_missing(const Operation *operation, const Mirror *m, Operation *report) {
        Missing missing = {};

        for (size_t i = 0; i < operation->concerned.n; i++) {
                const char *path = operation->concerned.items[i];
                const Entry *source = m->source ? manifest_find(m->source, path) : NULL;
                const WithheldFile *withheld = withheld_find(&m->withheld, path);
                bool changed = withheld && withheld->outcome == TASK_CHANGED;

                if (!source || !control_operation_is_data(source) || source->flags & ENTRY_ORPHAN ||
                    control_operation_find_in_ram(m, path))
                        continue;
                missing.n++;
                missing.changing = missing.changing || changed;
                if (withheld && missing.n_withheld++ < REASONS_MAX && !changed && report)
                        control_operation_report(report, "%s", withheld->text);
        }
        return missing;
}

static void finish(Operation *operation, Mirror *m) {
        Missing missing;
        char bytes[TEXT_BYTES_MAX];
        uint64_t in_ram;
        size_t n;

        if (operation->waiting)
                return; /* another scan follows */
        missing = find_missing(operation, m, NULL);
        if (missing.changing && missing.n_withheld == missing.n && m->scan.wanted.unsettled &&
            operation->n_tries++ < TRIES_MAX)
                return;
        (void) find_missing(operation, m, operation);
        in_ram = control_operation_sum_in_ram(m, &operation->concerned, &n);
        operation->done = operation->total;
        if (missing.n == 0) {
                _cleanup_(freep) char *names = control_operation_list_names(operation);

                control_operation_log(operation, NULL, "Staged %s: %zu %s (%s) in RAM and verified",
                                      names ? names : "all files that were released, withheld or skipped", n,
                                      n == 1 ? "file" : "files", text_bytes(bytes, in_ram));
        } else if (missing.n > missing.n_withheld) {
                control_operation_report(operation, "%s", m->problem ? m->problem : "Some files could not be "
                                                                                    "staged; see shmstagectl status");
                restore_overrides(operation, m);
        }
        control_operation_end(operation, missing.n > 0);
}

static void on_event(Operation *operation, Mirror *m, MirrorEvent event) {
        if (event == MIRROR_SCANNED && operation->phase == OPERATION_REQUESTED)
                apply(operation, m);
        else if (event == MIRROR_SCANNED)
                read_plan(operation, m);
        else if (event == MIRROR_RESTED && operation->phase == OPERATION_PLANNED)
                finish(operation, m);
}

int control_operation_stage(Operation *operation, Mirror *m) {
        operation->on_event = on_event;
        operation->shows_staging = true;
        return control_operation_request(operation, m);
}
