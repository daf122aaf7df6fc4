/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file of the mirror that is to be read: opened once, so that a deletion meanwhile does no harm, compared with what
 * a scan saw of it, and not open for writing elsewhere. The latter is found out with a read lease (F_SETLEASE: EAGAIN
 * while there is any writable descriptor or writable shared mapping), which is held until the file is closed. */

#include "base/base.h"
#include "save/outcome.h"
#include "tree/manifest.h"

#include <sys/stat.h>

typedef struct MirrorFile {
        int fd;
        const Entry *seen; /* borrowed */
        struct stat st;    /* of the last check */
        bool observed;     /* since mirror_file_observe() */
} MirrorFile;

/* True if @st is of the file that was seen, unchanged. Its last name may be gone. */
bool mirror_file_is_same(const struct stat *st, const Entry *seen);

/* 0, SAVE_CHANGED, SAVE_GONE, SAVE_BUSY or a negative errno. */
int mirror_file_open(MirrorFile *ret, int mirrorfd, const Entry *seen);
void mirror_file_done(MirrorFile *file);

/* From now on mirror_file_check() tells if a process opens it for writing: a store through a mapping moves no time on a
 * tmpfs. Such a process need not wait. 0, or SAVE_BUSY; also 0 where that cannot be found out. */
int mirror_file_observe(MirrorFile *file);

/* 0 if it is still what was seen, else SAVE_CHANGED, or SAVE_BUSY if a process may have written to it without a trace.
 * Its last name may be gone: .st.st_nlink is 0 then. */
int mirror_file_check(MirrorFile *file);
