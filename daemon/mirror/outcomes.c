/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the last plan wanted, and what came of it. See mirror/outcomes.h. */

#include "mirror/outcomes.h"

enum { ACTION = 0x0f, METHOD_SHIFT = 4, DONE = 0x80 };

_Static_assert((int) PLAN_WAIT <= ACTION, "an action fits into its bits");
_Static_assert((int) COPY_METHOD_BUFFERED << METHOD_SHIFT < DONE, "a method fits into its bits");

void fates_done(Fates *fates) {
        free(fates->marks);
        fates->strays = manifest_free(fates->strays);
        *fates = (Fates){};
}

static bool is_stray(const PlanItem *item) {
        return !item->source && item->mirror && (item->action == PLAN_SAVE || item->action == PLAN_CONFLICT);
}

static void collect_strays(Fates *fates, const Plan *plan) {
        if (manifest_new(&fates->strays) < 0)
                return;
        for (size_t i = 0; i < plan->n_items; i++)
                if (is_stray(&plan->items[i]))
                        (void) manifest_put(fates->strays, plan->items[i].mirror); /* without memory it is not told */
        manifest_sort(fates->strays);
}

void fates_begin(Fates *fates, const Plan *plan, const Manifest *source, bool strays) {
        fates_done(fates);
        fates->marks = malloc(source->n_entries + 1);
        if (!fates->marks)
                return;
        fates->source = source;
        memset(fates->marks, PLAN_KEEP, source->n_entries + 1);
        for (size_t i = 0; i < plan->n_items; i++)
                if (plan->items[i].source)
                        fates->marks[plan->items[i].source - source->entries] = (uint8_t) plan->items[i].action;
        if (strays)
                collect_strays(fates, plan);
}

void fates_note(Fates *fates, const Task *task) {
        uint8_t *mark;

        if (!fates->source || !task->item->source || task->outcome != TASK_AGREED)
                return;
        mark = &fates->marks[task->item->source - fates->source->entries];
        *mark = (uint8_t) ((*mark & ACTION) | task->entry.method << METHOD_SHIFT | DONE);
}

Fate fates_get(const Fates *fates, size_t index) {
        uint8_t mark = fates->marks[index];

        return (Fate){ .action = mark & ACTION, .done = mark & DONE, .method = (mark & ~DONE) >> METHOD_SHIFT };
}

void fates_carry(Fates *fates, Fates *later) {
        const Manifest *kept = fates->source, *seen = later->source;
        size_t k = 0;

        for (size_t i = 0; kept && seen && i < seen->n_entries && k < kept->n_entries; i++) {
                while (k < kept->n_entries && strcmp(kept->entries[k].path, seen->entries[i].path) < 0)
                        k++;
                if (k < kept->n_entries && strcmp(kept->entries[k].path, seen->entries[i].path) == 0)
                        fates->marks[k] = later->marks[i];
        }
        (void) manifest_free(fates->strays);
        fates->strays = TAKE_PTR(later->strays);
        fates_done(later);
}
