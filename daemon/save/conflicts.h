/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Of what was changed on both sides: which versions were put into conflicts/ and nobody has acknowledged yet. Pure. */

#include "base/base.h"

typedef struct Conflict {
        char *path; /* of the file, from the root */
        char *kept; /* of the other version, from the source's root */
} Conflict;

/* Begins as zeros. */
typedef struct Conflicts {
        Conflict *items; /* in the order in which they came */
        size_t n;
} Conflicts;

void conflicts_done(Conflicts *conflicts);

/* Takes @kept, also on failure. */
int conflicts_add(Conflicts *conflicts, const char *path, char *kept);

/* The last one's other version; NULL if there is none. */
const char *conflicts_last(const Conflicts *conflicts);

/* Somebody has seen it. */
void conflicts_drop(Conflicts *conflicts, size_t index);
