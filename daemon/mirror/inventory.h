/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a mirror knows about its single files and models, and whether something by a name is ready to be used: for
 * answers to operators.
 *
 * Loop thread. Nothing is read from a disk: the lists that the mirror has in memory are walked side by side, and what a
 * plan run has done so far is taken into account. Strings are borrowed from the mirror, until the loop goes on. */

#include "base/base.h"
#include "mirror/file-row.h"

/* Rows in path order after @after (NULL: from the start), at most @max: files and further names of files, and those
 * links and directories that are out of the ordinary. Goes on until @each returns something else than 0, and returns
 * that if it is negative; else the number of rows. */
int inventory_files(const Mirror *mirror, const char *after, size_t max,
                    int (*each)(const InventoryFile *file, void *userdata), void *userdata);

typedef struct InventoryModel {
        const char *name;       /* as its client names it: see layout/models.h */
        FileState state;        /* the worst of its files' */
        uint64_t size, ram_bytes; /* of its files, each name once; of these in RAM */
        size_t n_files, n_ready;
        const char *reason;     /* of the first file in that state; NULL */
} InventoryModel;

/* By name. @each and the result as above. */
int inventory_models(const Mirror *mirror, int (*each)(const InventoryModel *model, void *userdata), void *userdata);

/* How many models are in RAM as a whole. Walks over all files. */
size_t inventory_count_models(const Mirror *mirror);

typedef enum Readiness {
        READINESS_READY,   /* all of it is in the mirror, verified; a link to the disk counts as well */
        READINESS_PENDING, /* it will be */
        READINESS_NEVER,   /* as things are, it will not be */
        READINESS_UNKNOWN, /* neither source nor mirror has anything by that name */
} Readiness;

/* Of a file, a directory (everything below it) or a model, by its path from the root or by its client's name for it.
 * What a symbolic link leads to counts too. PENDING and NEVER give the reason in *ret_reason (a new string, NULL if
 * there was no memory for it), else it is NULL. */
Readiness inventory_readiness(const Mirror *mirror, const char *name, char **ret_reason);
