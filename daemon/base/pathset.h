/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A set of paths. Begins as zeros; not locked. */

#include "base/base.h"

typedef struct PathSet {
        char **items; /* sorted and each once, after pathset_sort() */
        size_t n, allocated;
} PathSet;

void pathset_done(PathSet *set);

/* A deep copy over an empty set. 0 or -ENOMEM: then nothing has changed. */
int pathset_copy(const PathSet *from, PathSet *to);

/* Takes effect for the questions below after pathset_sort(). 0 or -ENOMEM. */
int pathset_add(PathSet *set, const char *path);
void pathset_sort(PathSet *set);

bool pathset_has(const PathSet *set, const char *path);

/* It, or a directory above it, is in the set. */
bool pathset_covers(const PathSet *set, const char *path);

/* Takes @path out, and all that is below it. */
void pathset_drop(PathSet *set, const char *path);

/* Makes a NULL-terminated list of it, which the caller owns, and leaves the set empty. 0 or -ENOMEM. */
int pathset_take(PathSet *set, char ***ret);
