/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The list of what a pointer names. See layout/references.h for where it comes from. */

#include "base/base.h"

typedef struct Reference {
        char *path;    /* relative to the root of the tree */
        uint64_t size; /* bytes; UINT64_MAX where the pointer does not say */
        bool pointer;  /* a pointer itself, although it looks like content: an Ollama manifest that is kept as a blob */
} Reference;

/* Begins as zeros. */
typedef struct References {
        Reference *items;
        size_t n;
} References;

void reference_list_done(References *references);

/* Takes the path, also on failure; NULL is one that there was no memory for. 0 or -ENOMEM. */
int reference_list_add(References *references, char *path, uint64_t size, bool pointer);

/* By path, each once. 0, or REFERENCES_DISAGREE if one path has two sizes. */
enum { REFERENCES_DISAGREE = 1 };
int reference_list_sort(References *references);
