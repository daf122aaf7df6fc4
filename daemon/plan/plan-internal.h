/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of the planner share. See plan/plan.h. */

#include "plan/plan.h"

/* Whether two entries are the same thing as far as size and time can tell. Which names share an inode does not count,
 * because bytes do not change when a link is added. */
bool plan_looks_same(const Entry *a, const Entry *b);

/* What becomes of one path, considered alone. */
PlanAction plan_decide(const PlanInput *input, const PlanItem *item);

/* Both work on a plan whose items are still in path order. */

/* What becomes of a file's first name becomes of its further names: if the first is staged again it has a new inode,
 * to which the others must be tied. */
void plan_follow_first_names(Plan *plan);

/* A directory stays or goes with what is in it. */
void plan_follow_content(Plan *plan);
