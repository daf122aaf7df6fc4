/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which objects of the mirror have names there that the disk does not have like that, as a plan says: not saved yet,
 * refused, or left alone because they look unfinished. What was renamed to such a name lives on in the mirror only, so
 * its old name on the disk must not go yet. Pure. */

#include "base/base.h"
#include "plan/plan.h"

typedef struct UnsavedNames {
        const PlanItem **items; /* sorted by inode number; borrowed from the plan */
        size_t n;
} UnsavedNames;

/* 0 or -ENOMEM. */
int unsaved_names_collect(UnsavedNames *ret, const Plan *plan);
void unsaved_names_done(UnsavedNames *names);

/* True if the inode has such a name, other than @path and what @path is in. Of the latter the disk cannot have it
 * before @path is gone. */
bool unsaved_names_has(const UnsavedNames *names, uint64_t ino, const char *path);
