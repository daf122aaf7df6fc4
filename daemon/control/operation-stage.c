/* SPDX-License-Identifier: GPL-2.0-or-later */

/* OPERATION_STAGE: brings files into RAM. See control/operation.h. */

#include "control/operation-internal.h"

#include "base/text.h"
#include "layout/layout.h"
#include "layout/model-name.h"

enum {
        REASONS_MAX = 10, /* withheld files reported one by one */
        TRIES_MAX = 3,    /* scans, while a file changes as it is read */
};

/* Without names: whatever could be in RAM and is not, by the plan before this one: this one wants it all, because it is
 * not known yet how much room there is. */
static int gather_all(Operation *operation, const Mirror *m) {
        const Manifest *source = m->outcomes.source;
        int r = pathset_copy(&m->overrides.released, &operation->roots);

        for (size_t i = 0; r == 0 && i < m->overrides.in_effect.n; i++)
                r = pathset_add(&operation->concerned, m->overrides.in_effect.items[i]);
        for (size_t i = 0; r == 0 && i < m->withheld.n; i++)
                r = pathset_add(&operation->concerned, m->withheld.files[i]->path);
        for (size_t i = 0; r == 0 && source && i < source->n_entries; i++)
                if (plan_is_skipped(&(PlanItem){
                            .action = plan_outcomes_get(&m->outcomes, i).action, .source = &source->entries[i],
                            .base = manifest_find(m->attachment.base, source->entries[i].path) }))
                        r = pathset_add(&operation->concerned, source->entries[i].path);
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
        const char *first; /* that is not withheld */
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
                if (!*operation->names && source->flags & ENTRY_DISK_ONLY)
                        continue; /* it is not selected */
                missing.n++;
                missing.first = missing.first || withheld ? missing.first : path;
                missing.changing = missing.changing || changed;
                if (withheld && missing.n_withheld++ < REASONS_MAX && !changed && report)
                        control_operation_report(report, "%s", withheld->text);
        }
        return missing;
}

/* True if Models= or Include= does not select it. */
static bool is_unselected(const Mirror *m, const char *root, const Entry *source) {
        if (!source)
                return true;
        if (m->layout != LAYOUT_OLLAMA || layout_role(LAYOUT_OLLAMA, root) != LAYOUT_POINTER)
                return source->flags & ENTRY_DISK_ONLY;
        for (size_t i = 0; m->config.models && m->config.models[i]; i++)
                if (model_name_matches(LAYOUT_OLLAMA, m->config.models[i], source))
                        return false;
        return m->config.models && *m->config.models;
}

/* Of what is released no more, what stays out of RAM all the same: without names only what is selected is staged. */
static void report_unselected(Operation *operation, const Mirror *m) {
        char path[TEXT_PATH_MAX];

        for (size_t i = 0; i < operation->were_released.n; i++) {
                const char *root = operation->were_released.items[i];
                const Entry *source = m->source ? manifest_find(m->source, root) : NULL;
                _cleanup_(freep) char *name = NULL;

                if (!is_unselected(m, root, source))
                        continue;
                if (source)
                        (void) model_name_of(m->layout, source, &name);
                control_operation_report(operation, "'%s' is not selected (Models=, Include=); name it to stage it",
                                         text_path(path, name ? name : root));
        }
}

/* With names, all or nothing; without, as much as there is room for. */
static void report_no_room(Operation *operation, Mirror *m, const Missing *missing) {
        const char *problem = m->problem ? m->problem : "see shmstagectl status";
        size_t n = missing->n - missing->n_withheld;
        char path[TEXT_PATH_MAX];

        if (!*operation->names) {
                control_operation_report(operation, "%zu %s still not in RAM, %s'%s': %s", n,
                                         n == 1 ? "file is" : "files are", n == 1 ? "" : "such as ",
                                         text_path(path, missing->first), problem);
                return;
        }
        control_operation_report(operation, "%s", m->problem ? m->problem : "Some files could not be staged; see "
                                                                            "shmstagectl status");
        restore_overrides(operation, m);
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
        } else if (missing.n > missing.n_withheld)
                report_no_room(operation, m, &missing);
        if (!*operation->names)
                report_unselected(operation, m);
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
