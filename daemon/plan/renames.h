/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What was renamed in the mirror: a name that is new there, and one that went and had the same inode, size and time. On disk the content need
 * not be copied again, and the old name was not deleted. Pure. */

#include "base/base.h"
#include "base/pathset.h"
#include "plan/plan.h"

typedef struct Move {
        const PlanItem *to;   /* PLAN_SAVE, new */
        const PlanItem *from; /* gone from the mirror, unchanged on disk */
} Move;

typedef struct Moves {
        Move *items; /* in path order of .to */
        size_t n;
} Moves;

/* Borrows from the plan, which must not be sorted anew. */
int moves_find(const Plan *plan, Moves *ret);
void moves_done(Moves *moves);

/* The old name of a new one; NULL if it is no move. */
const PlanItem *moves_origin(const Moves *moves, const char *path);
