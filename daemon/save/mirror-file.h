/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file of the mirror that is to be saved: opened once, so that a deletion meanwhile costs nothing, and known
 * by what a look saw of it. */

#include "base/base.h"
#include "save/outcome.h"
#include "tree/manifest.h"

#include <sys/stat.h>

typedef struct MirrorFile {
        int fd;
        const Entry *seen; /* borrowed */
        struct stat st;    /* of the last check */
} MirrorFile;

/* True if a file found in the mirror is the one that was seen, its name or names included but for the last one. */
bool mirror_file_is_same(const struct stat *st, const Entry *seen);

/* 0, SAVE_CHANGED, SAVE_GONE, SAVE_BUSY or a negative errno. */
int mirror_file_open(MirrorFile *ret, int mirrorfd, const Entry *seen);
void mirror_file_done(MirrorFile *file);

/* 0 if it is still what was seen, but for its name: that may be gone (.st.st_nlink is 0 then). Else
 * SAVE_CHANGED. */
int mirror_file_check(MirrorFile *file);
