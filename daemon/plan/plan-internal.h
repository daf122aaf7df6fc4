/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of the planner share. See plan/plan.h. */

#include "plan/plan.h"

/* What becomes of one path, considered alone. Fills in the two states of the item. */
PlanAction plan_decide(const PlanInput *input, PlanItem *item);

/* Both work on a plan whose items are still in path order. */

/* What becomes of a file's first name becomes of its further names: if the first is staged again it has a new inode,
 * to which the others must be tied. */
void plan_follow_first_names(Plan *plan);

/* A directory stays or goes with what is in it. */
void plan_follow_content(Plan *plan);
