/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The plan that ends a mirror: everything in it is removed. See plan/plan.h. */

#include "plan/plan.h"

/* The entries of @list, last first. */
static void collect_removals(Plan *plan, const Manifest *list, bool known) {
        for (size_t i = list->n_entries; i > 0; i--) {
                const Entry *entry = &list->entries[i - 1];

                if (!(entry->flags & ENTRY_RECORD))
                        plan->items[plan->n_items++] = (PlanItem){
                                .action = PLAN_REMOVE, .base = known ? entry : NULL, .mirror = entry,
                                .in_mirror = entry->flags & ENTRY_MIRROR_DIFFERS ? PAIR_OTHER : PAIR_SAME,
                                /* an extra one with a digest goes only if it has it */
                                .kept = !known, .kept_known = !known && entry->flags & ENTRY_HAS_DIGEST,
                                .kept_digest = entry->digest,
                        };
        }
}

static int compare_items(const void *a, const void *b) {
        return strcmp(plan_item_path(b), plan_item_path(a));
}

/* Where both lists have a path, the item of the second one stays. */
static void drop_replaced(Plan *plan) {
        size_t kept = 0;

        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (kept > 0 && strcmp(plan_item_path(&plan->items[kept - 1]), plan_item_path(item)) == 0) {
                        if (!item->base)
                                plan->items[kept - 1] = *item;
                } else
                        plan->items[kept++] = *item;
        }
        plan->n_items = kept;
}

int plan_new_removal(const Manifest *base, const Manifest *extra, Plan **ret) {
        _cleanup_(plan_freep) Plan *plan = calloc(1, sizeof(*plan));
        size_t n = base->n_entries + (extra ? extra->n_entries : 0);

        if (!plan)
                return -ENOMEM;
        plan->items = reallocarray(NULL, n + 1, sizeof(PlanItem));
        if (!plan->items)
                return -ENOMEM;
        collect_removals(plan, base, true);
        if (extra && extra->n_entries > 0) {
                collect_removals(plan, extra, false);
                qsort(plan->items, plan->n_items, sizeof(PlanItem), compare_items);
                drop_replaced(plan);
        }
        *ret = TAKE_PTR(plan);
        return 0;
}
