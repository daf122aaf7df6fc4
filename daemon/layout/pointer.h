/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file whose content names others (a manifest, an index, a reference, a link), being read. Blocking. */

#include "base/base.h"
#include "base/json-input.h"
#include "layout/reference-list.h"
#include "tree/manifest.h"

typedef struct Pointer {
        int rootfd;           /* of the tree; borrowed */
        const Manifest *tree; /* borrowed */
        References found;
        const char *text;     /* of POINTER_BROKEN: why, a literal */
} Pointer;

/* It cannot be what its place says. 0 and a negative errno are as always. */
enum { POINTER_BROKEN = 1 };

/* Keeps the reason, and returns POINTER_BROKEN. */
int pointer_broken(Pointer *pointer, const char *text);

/* All of a file of the tree, with a zero byte behind it: a new string. */
int pointer_read(Pointer *pointer, const char *path, char **ret, size_t *ret_length);
int pointer_read_json(Pointer *pointer, const char *path, json_t **ret);

/* Where a symbolic link of the tree leads, relative to the root: a new string. An absolute one is understood by the
 * name that the root has now. */
int pointer_resolve(Pointer *pointer, const Entry *link, char **ret);
