/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The conflicts that no operator has acknowledged yet: files that were changed on both sides, and which version was
 * put into conflicts/. Pure. */

#include "base/base.h"

typedef struct Conflict {
        char *path; /* of the file, from the root */
        char *kept; /* path of the other version, from the source's root */
} Conflict;

/* Begins as zeros. */
typedef struct Conflicts {
        Conflict *items; /* in the order in which they came */
        size_t n;
} Conflicts;

void conflicts_done(Conflicts *conflicts);

/* Takes @kept, also on failure. */
int conflicts_add(Conflicts *conflicts, const char *path, char *kept);

/* Path of the other version of the last one; NULL if there is none. */
const char *conflicts_last(const Conflicts *conflicts);

/* It was acknowledged. */
void conflicts_drop(Conflicts *conflicts, size_t index);
