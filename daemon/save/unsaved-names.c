/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names that only the mirror has. See save/unsaved-names.h. */

#include "save/unsaved-names.h"

#include "base/path.h"

/* Under a name whose pair is known the disk has the object too, or something that is newer. */
static bool is_unsaved(const PlanItem *item) {
        return item->mirror && item->mirror->type != ENTRY_DIRECTORY && item->action != PLAN_KEEP &&
               !pair_is_known(item->in_mirror);
}

static int compare(const void *a, const void *b) {
        uint64_t x = (*(const PlanItem *const *) a)->mirror->ino, y = (*(const PlanItem *const *) b)->mirror->ino;

        return x < y ? -1 : x > y;
}

int unsaved_names_collect(UnsavedNames *ret, const Plan *plan) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_items; i++)
                n += is_unsaved(&plan->items[i]);
        ret->n = 0;
        ret->items = calloc(n + 1, sizeof(PlanItem *));
        if (!ret->items)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_items; i++)
                if (is_unsaved(&plan->items[i]))
                        ret->items[ret->n++] = &plan->items[i];
        if (n > 0)
                qsort(ret->items, n, sizeof(PlanItem *), compare);
        return 0;
}

void unsaved_names_done(UnsavedNames *names) {
        free(names->items);
        *names = (UnsavedNames){};
}

static size_t find(const UnsavedNames *names, uint64_t ino) {
        size_t low = 0, high = names->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (names->items[middle]->mirror->ino < ino)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

bool unsaved_names_has(const UnsavedNames *names, uint64_t ino, const char *path) {
        for (size_t i = find(names, ino); i < names->n && names->items[i]->mirror->ino == ino; i++)
                if (!path_is_below(path, names->items[i]->mirror->path))
                        return true;
        return false;
}
