/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads a directory tree into a Manifest. Opens only directories, and sparse files to learn how much data they hold;
 * follows no links and changes nothing. Names mean only what the options say that they mean. */

#include "base/base.h"
#include "config/config.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct ScanOptions {
        const char *root; /* absolute path of the tree: an absolute link into it becomes a relative one */
        bool mirror;      /* keep links as they are, and leave out nothing but the private directory */

        /* Selection, for a source. */
        char *const *include; /* NULL: everything is selected, whatever the rest of this block says */
        char *const *exclude;
        const Manifest *also; /* entries with ENTRY_SAVED are selected too: clients brought them. NULL: none */
        bool (*is_wanted)(const char *path, void *userdata); /* selects what @include does not; NULL: nothing */
        void *userdata;

        /* What is still being written, which a source is scanned without. */
        bool (*is_unfinished)(const char *path, LayoutKind layout); /* by its name; NULL: nothing is */
        LayoutKind layout;          /* for @is_unfinished */
        const char *const *markers; /* endings, NULL-terminated: a file "X" is unfinished while "X.ENDING" is beside it
                                     * and itself unfinished; NULL: none */

        const atomic_bool *cancel;      /* set by another thread; NULL: none */
        atomic_uint_fast64_t *progress; /* counts entries, for the status; NULL: none */
} ScanOptions;

/* The private directory: never scanned at the top of source and mirror; in a source not further down either, because
 * it may belong to another mirror, whose source is that directory. */
#define SCAN_PRIVATE_DIR ".shmstaged"

/* Returns 0, -ECANCELED, or a negative errno if the root itself cannot be read; what else cannot be read is an omission
 * of the manifest. Only selected names appear; with an Include list, only directories that lead to one. Owner, mode and
 * times are as found. Blocking; any thread. */
int scan_tree(int rootfd, const ScanOptions *options, Manifest **ret);

/* Drops the directories that have no file and no link in them, at any depth. */
void scan_drop_empty_directories(Manifest *manifest);
