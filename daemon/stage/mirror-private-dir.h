/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Our own corner of a mirror: the directory .shmstaged at its top, on the same mount, readable by us only. It marks
 * the mirror as ours, holds the lock against a second daemon, and is where things get their names before they are
 * renamed into place. */

#include "base/base.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct MirrorPrivateDir {
        int mirrorfd;              /* the root of the mirror, borrowed */
        int fd;                    /* .shmstaged */
        int lockfd;
        bool adopted;              /* it was there: a run before us did not end with a clean stop */
        atomic_uint_fast64_t last; /* of the names given out */
} MirrorPrivateDir;

enum {
        MIRROR_PRIVATE_DIR_BUSY = 1, /* another daemon holds the lock; its process id is in *reterr_detail */
        /* the mirror holds files and no mark of ours: a name of one is in *reterr_detail */
        MIRROR_PRIVATE_DIR_FOREIGN,
        MIRROR_PRIVATE_DIR_OTHER,    /* it is marked as the mirror of another source, which is in *reterr_detail */
};

/* Makes or adopts the corner. The names of @source and @mirror go into the mark. *reterr_detail is a new string, or
 * NULL. */
int mirror_private_dir_open(MirrorPrivateDir *ret, int mirrorfd, const char *mirror, const char *source,
                            char **reterr_detail, const char **reterr_what);

/* True if nothing is in the corner but what marks it. What else can be there could not be put back: it may be a
 * client's. */
bool mirror_private_dir_is_empty(const MirrorPrivateDir *private_dir);

/* The corner was removed from under us, as by "rm -rf" of the mirror. */
bool mirror_private_dir_is_gone(const MirrorPrivateDir *private_dir);
/* Makes it anew, whatever else is in the mirror. 0 or a negative errno: then there is none. */
int mirror_private_dir_recreate(MirrorPrivateDir *private_dir, const char *mirror, const char *source);

/* Gives up the lock; with @remove the corner goes too, if nothing unknown is in it. */
void mirror_private_dir_close(MirrorPrivateDir *private_dir, bool remove);

/* What a killed daemon left between two renames: old versions that the base knows, and copies that were not yet in
 * place, are removed; how many others there are is returned, they are left alone. */
int mirror_private_dir_clean(MirrorPrivateDir *private_dir, const Manifest *base);

/* A name that nothing in the corner has. */
enum { MIRROR_PRIVATE_DIR_NAME_MAX = 48 };
char *mirror_private_dir_name(MirrorPrivateDir *private_dir, char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]);

/* The same for a file of ours that has inode number @ino: after a crash it is told from what was exchanged for it by
 * that. */
char *mirror_private_dir_name_for(MirrorPrivateDir *private_dir, uint64_t ino,
                                  char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]);

/* Puts what stands at @name in the corner at @path of the mirror, by one rename. @expected is what stands at @path
 * now, NULL for nothing. If something else is found there, nothing is changed and the outcome is
 * MIRROR_PRIVATE_DIR_OCCUPIED. What was replaced is removed. A directory is replaced only if it is empty. */
enum { MIRROR_PRIVATE_DIR_OCCUPIED = 1 };
int mirror_private_dir_publish(MirrorPrivateDir *private_dir, const char *name, const char *path,
                               const Entry *expected);

/* The same for data that gives way to something else than a newer version of it: MIRROR_PRIVATE_DIR_OCCUPIED also if
 * somebody has it open for writing. */
int mirror_private_dir_publish_idle(MirrorPrivateDir *private_dir, const char *name, const char *path,
                                    const Entry *expected);
int mirror_private_dir_remove_idle(MirrorPrivateDir *private_dir, const char *path, const Entry *expected);

/* Takes what stands at @path away, if it is still @expected and, for a directory, empty; the same outcome if not. 0
 * also where nothing stands. */
int mirror_private_dir_remove(MirrorPrivateDir *private_dir, const char *path, const Entry *expected);
