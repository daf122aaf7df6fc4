/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Names that only the mirror has. See save/unsaved-names.h. */

#include "save/unsaved-names.h"

#include "base/array.h"
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

static int compare_with_ino(const void *item, const void *ino) {
        uint64_t x = (*(const PlanItem *const *) item)->mirror->ino, y = *(const uint64_t *) ino;

        return x < y ? -1 : x > y;
}

bool unsaved_names_has(const UnsavedNames *names, uint64_t ino, const char *path) {
        size_t i = array_seek(names->items, names->n, sizeof(PlanItem *), compare_with_ino, &ino);

        for (; i < names->n && names->items[i]->mirror->ino == ino; i++)
                if (!path_is_below(path, names->items[i]->mirror->path))
                        return true;
        return false;
}
