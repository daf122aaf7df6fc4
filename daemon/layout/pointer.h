/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file whose content names others (a manifest, an index, a reference, a link), while it is read. The files that
 * include this know what such a content says. Blocking; any thread. */

#include "base/base.h"
#include "base/json-input.h"
#include "layout/reference-list.h"
#include "tree/manifest.h"

typedef struct Pointer {
        int rootfd;           /* of the tree; borrowed */
        const Manifest *tree; /* borrowed */
        References found;     /* what it names, as far as it has been read */
        const char *text;     /* a literal that says why POINTER_BROKEN was returned: "it is empty" */
} Pointer;

/* Beside 0 and a negative errno: the content cannot be that of such a file. */
enum { POINTER_BROKEN = 1 };

/* Keeps the reason, and returns POINTER_BROKEN. */
int pointer_broken(Pointer *pointer, const char *text);

/* All of a file of the tree, at most 16 MiB, as a new string that ends with a zero byte; POINTER_BROKEN if it is not a
 * file or empty. */
int pointer_read(Pointer *pointer, const char *path, char **ret, size_t *ret_length);
int pointer_read_json(Pointer *pointer, const char *path, json_t **ret);

/* Where a symbolic link of the tree leads, relative to the root: a new string; POINTER_BROKEN if it leads out. An
 * absolute one is compared with the path that the root has now. */
int pointer_resolve(Pointer *pointer, const Entry *link, char **ret);
