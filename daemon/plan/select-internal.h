/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of the selection share: a mark for each entry of the source. See plan/select.h. */

#include "plan/select.h"

enum {
        MARK_KEPT = 1 << 0,       /* stays in the list */
        MARK_WHOLE = 1 << 1,      /* and everything below it */
        MARK_REFERENCED = 1 << 2, /* by any pointer */
        MARK_WANTED = 1 << 3,     /* by a pointer of a model that is selected */
        MARK_UNFINISHED = 1 << 4,
        MARK_RELEASED = 1 << 5,   /* by a pointer that an operator released */
        MARK_CLAIMED = 1 << 6,    /* by a pointer that a client saved */
};

typedef struct Selection {
        Manifest *source;
        const SelectInput *input;
        uint8_t *marks; /* one for each entry of the source */
        bool *used;     /* one for each of the models: it matched something */
        size_t n_models;
        bool unsure;    /* a pointer was not understood */
} Selection;

/* The mark of the entry at a path; NULL if there is none. */
uint8_t *select_mark_of(const Selection *selection, const char *path);

/* True if a client brought it into the mirror since the mirror was made. */
bool select_is_saved(const Selection *selection, const char *path);

Override select_override_of(const Selection *selection, const char *path);

/* True if a name of Models= matches the entry; remembers which ones did. */
bool select_is_named(Selection *selection, const Entry *entry);

/* Decides about content that is shared by name: blobs that nothing references get ENTRY_ORPHAN, those of models that
 * are not selected or were released ENTRY_DISK_ONLY. */
int select_shared(Selection *selection);
