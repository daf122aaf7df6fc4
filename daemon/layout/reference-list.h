/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The list of what a pointer names. layout/references.h fills it. */

#include "base/base.h"

typedef struct Reference {
        char *path;    /* relative to the root of the tree */
        uint64_t size; /* bytes; UINT64_MAX where the pointer does not say */
        bool pointer;  /* a pointer although its name is that of content: an Ollama manifest that is kept as a blob */
} Reference;

/* Begins as zeros. */
typedef struct References {
        Reference *items;
        size_t n;
} References;

void reference_list_done(References *references);

/* Owns @path from here on, also on failure. 0 or -ENOMEM, which it is too if @path is NULL: then there was no memory
 * for the path. */
int reference_list_add(References *references, char *path, uint64_t size, bool pointer);

/* Sorts by path and keeps each once. 0, or REFERENCES_DISAGREE if a path has two sizes. */
enum { REFERENCES_DISAGREE = 1 };
int reference_list_sort(References *references);
