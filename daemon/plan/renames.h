/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Files that were renamed in the mirror: one name is new there, and another with the same inode, size and time is gone;
 * or a link to the disk has a new name, which means that the file it leads to is to be renamed.
 * On disk the content need not be copied again, and the old name counts as not deleted. Where the bytes of one side are
 * in doubt, they have to be read before. Pure. */

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

/* Borrows from the plan, whose items must not be moved meanwhile. */
int renames_find(const Plan *plan, const char *source_path, Renames *ret);
void renames_done(Renames *renames);

/* Of which side the bytes may be others than the base's: ENTRY_UNPROVEN for the mirror's, ENTRY_RACY for the disk's. */
unsigned renames_doubts(const PlanItem *from);

/* The old name of a new one; NULL if it was not renamed. */
const PlanItem *renames_origin(const Renames *renames, const char *path);
