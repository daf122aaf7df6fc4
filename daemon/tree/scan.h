/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A directory -> a Manifest of what is in it. Nothing is opened but directories (and sparse files, to see how much
 * data they hold), nothing is followed, nothing is changed. */

#include "base/base.h"
#include "config/config.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct ScanOptions {
        char *const *include; /* NULL: everything, as for a mirror */
        char *const *exclude;
        const Manifest *also; /* what has ENTRY_SAVED there is chosen too: clients brought it. NULL for nothing */
        /* chosen although @include does not have it; NULL: nothing is */
        bool (*is_wanted)(const char *path, void *userdata);
        void *userdata;
        const char *root;     /* absolute path of the tree: an absolute link into it is kept as a relative one */
        bool (*is_unfinished)(const char *path, LayoutKind layout); /* left out of a source; NULL: nothing is */
        LayoutKind layout;    /* for @is_unfinished */
        const char *const *markers; /* "X" is unfinished too while "X" and one of these endings is; NULL: none are */
        bool mirror;          /* links are taken as they stand, nothing is left out but our own directory */
        const atomic_bool *cancel;      /* set by another thread; NULL for none */
        atomic_uint_fast64_t *progress; /* counts entries, for the status; NULL for none */
} ScanOptions;

/* The name at the top of source and mirror that is ours and never scanned; below that too in a source, where another
 * mirror's may be. */
#define SCAN_PRIVATE_DIR ".shmstaged"

/* May run on any thread. Returns 0, -ECANCELED, or a negative errno if the root itself cannot be read. Only names
 * that are chosen appear; with an Include list, only directories that lead to one. Owner, mode and times are as
 * found. */
int scan_tree(int rootfd, const ScanOptions *options, Manifest **ret);

/* Drops the directories that no file and no link is in. */
void scan_drop_empty_directories(Manifest *manifest);
