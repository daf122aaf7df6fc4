/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A set of paths. Begins as zeros; one thread at a time. */

#include "base/base.h"

typedef struct PathSet {
        char **items; /* see array.h; after pathset_sort() sorted, and each path once */
        size_t n;
} PathSet;

void pathset_done(PathSet *set);

/* A deep copy over an empty set. 0, or -ENOMEM with @to as it was. */
int pathset_copy(const PathSet *from, PathSet *to);

/* Adds a copy of @path, which the functions below find after the next pathset_sort(). 0 or -ENOMEM. */
int pathset_add(PathSet *set, const char *path);

/* Adds a copy of @path to the sorted set, which stays so. 0 or -ENOMEM. */
int pathset_insert(PathSet *set, const char *path);

/* Like pathset_add(), for a set that grows for weeks, to which paths are added again: they are merged before it takes
 * more memory. -ENOMEM also if it has @max paths. It may sort the set. */
int pathset_gather(PathSet *set, const char *path, size_t max);

void pathset_sort(PathSet *set);

bool pathset_has(const PathSet *set, const char *path);

/* True if @path or a directory above it is in the set. */
bool pathset_covers(const PathSet *set, const char *path);

/* Removes @path alone from the sorted set. */
void pathset_remove(PathSet *set, const char *path);

/* Removes @path, and everything below it, from the sorted set. */
void pathset_drop(PathSet *set, const char *path);

/* Turns the set into a NULL-terminated list, which the caller owns, and leaves it empty. 0 or -ENOMEM. */
int pathset_take(PathSet *set, char ***ret);
