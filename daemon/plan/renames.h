/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What was renamed in the mirror: a name that is new there, and one that went and had the same inode, size and time.
 * On disk the content need not be copied again, and the old name was not deleted. Pure. */

#include "base/base.h"
#include "base/pathset.h"
#include "plan/plan.h"

typedef struct Rename {
        const PlanItem *to;   /* PLAN_SAVE, new */
        const PlanItem *from; /* gone from the mirror, unchanged on disk */
} Rename;

typedef struct Renames {
        Rename *items; /* in path order of .to */
        size_t n;
} Renames;

/* Borrows from the plan, which must not be sorted anew. */
int renames_find(const Plan *plan, Renames *ret);
void renames_done(Renames *renames);

/* The old name of a new one; NULL if it is no move. */
const PlanItem *renames_origin(const Renames *renames, const char *path);
