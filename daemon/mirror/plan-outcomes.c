/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the last plan wanted, and what came of it. See mirror/plan-outcomes.h. */

#include "mirror/plan-outcomes.h"

enum { ACTION = 0x0f, METHOD_SHIFT = 4, DONE = 0x80 };

_Static_assert((int) PLAN_WAIT <= ACTION, "an action fits into its bits");
_Static_assert((int) COPY_METHOD_BUFFERED << METHOD_SHIFT < DONE, "a method fits into its bits");

void plan_outcomes_done(Outcomes *outcomes) {
        free(outcomes->marks);
        outcomes->mirror_only = manifest_free(outcomes->mirror_only);
        *outcomes = (Outcomes){};
}

static bool is_mirror_only(const PlanItem *item) {
        return !item->source && item->mirror && (item->action == PLAN_SAVE || item->action == PLAN_CONFLICT);
}

static void collect_mirror_only(Outcomes *outcomes, const Plan *plan) {
        if (manifest_new(&outcomes->mirror_only) < 0)
                return;
        for (size_t i = 0; i < plan->n_items; i++)
                if (is_mirror_only(&plan->items[i])) /* without memory it is not reported */
                        (void) manifest_put(outcomes->mirror_only, plan->items[i].mirror);
        manifest_sort(outcomes->mirror_only);
}

void plan_outcomes_begin(Outcomes *outcomes, const Plan *plan, const Manifest *source, bool mirror_only) {
        plan_outcomes_done(outcomes);
        outcomes->marks = malloc(source->n_entries + 1);
        if (!outcomes->marks)
                return;
        outcomes->source = source;
        memset(outcomes->marks, PLAN_KEEP, source->n_entries + 1);
        for (size_t i = 0; i < plan->n_items; i++)
                if (plan->items[i].source)
                        outcomes->marks[plan->items[i].source - source->entries] = (uint8_t) plan->items[i].action;
        if (mirror_only)
                collect_mirror_only(outcomes, plan);
}

void plan_outcomes_note(Outcomes *outcomes, const Task *task) {
        uint8_t *mark;

        if (!outcomes->source || !task->item->source || task->outcome != TASK_AGREED)
                return;
        mark = &outcomes->marks[task->item->source - outcomes->source->entries];
        *mark = (uint8_t) ((*mark & ACTION) | task->entry.method << METHOD_SHIFT | DONE);
}

Outcome plan_outcomes_get(const Outcomes *outcomes, size_t index) {
        uint8_t mark = outcomes->marks[index];

        return (Outcome){ .action = mark & ACTION, .done = mark & DONE, .method = (mark & ~DONE) >> METHOD_SHIFT };
}

void plan_outcomes_take_over(Outcomes *outcomes, Outcomes *later) {
        const Manifest *kept = outcomes->source, *seen = later->source;
        size_t k = 0;

        for (size_t i = 0; kept && seen && i < seen->n_entries && k < kept->n_entries; i++) {
                while (k < kept->n_entries && strcmp(kept->entries[k].path, seen->entries[i].path) < 0)
                        k++;
                if (k < kept->n_entries && strcmp(kept->entries[k].path, seen->entries[i].path) == 0)
                        outcomes->marks[k] = later->marks[i];
        }
        (void) manifest_free(outcomes->mirror_only);
        outcomes->mirror_only = TAKE_PTR(later->mirror_only);
        plan_outcomes_done(later);
}
