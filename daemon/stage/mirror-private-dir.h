/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The private directory of a mirror: .shmstaged at its top, on the same mount, and accessible to us only. It marks the
 * mirror as ours, holds the lock against a second daemon, and is where files get their names before they are renamed
 * into place. Blocks only on the tmpfs. The renames may be called from any thread, the rest from one at a time. */

#include "base/base.h"
#include "os/tree-access.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct MirrorPrivateDir {
        int mirrorfd;              /* the root of the mirror, borrowed */
        int fd;                    /* .shmstaged, owned */
        int lockfd;                /* owned */
        bool adopted;              /* it was there already: the last run did not end with a clean stop */
        atomic_uint_fast64_t last; /* number of the last name that was given out */
} MirrorPrivateDir;

/* Outcomes of mirror_private_dir_open(), and what is in *reterr_detail then. */
enum {
        MIRROR_PRIVATE_DIR_BUSY = 1, /* another daemon holds the lock: its process id */
        MIRROR_PRIVATE_DIR_FOREIGN,  /* the mirror contains files, and no mark of ours: the name of one */
        MIRROR_PRIVATE_DIR_OTHER,    /* it is marked as the mirror of another source: that source */
};

/* Creates the private directory, or adopts the one of an earlier run with the same @source and @mirror. *reterr_detail
 * is a new string, or NULL. On a negative errno *reterr_what is the step, a verb that takes the target. */
int mirror_private_dir_open(MirrorPrivateDir *ret, int mirrorfd, const char *mirror, const char *source,
                            char **reterr_detail, const char **reterr_what);

/* True if only lock and mark are in it. Anything else could not be moved back, and may be a client's. */
bool mirror_private_dir_is_empty(const MirrorPrivateDir *private_dir);

/* True if it was removed by another process, as by "rm -rf" of the mirror. */
bool mirror_private_dir_is_gone(const MirrorPrivateDir *private_dir);
/* Creates it again, whatever else is in the mirror. 0, or a negative errno: then there is none. */
int mirror_private_dir_recreate(MirrorPrivateDir *private_dir, const char *mirror, const char *source);

/* Gives up the lock; with @remove the directory is removed too, if only lock and mark are in it. */
void mirror_private_dir_close(MirrorPrivateDir *private_dir, bool remove);

/* Removes what a daemon that was killed between two renames has left: old versions that are in the base, and copies
 * that were not in place yet. Returns how many other files there are, which are left alone, or a negative errno. */
int mirror_private_dir_clean(MirrorPrivateDir *private_dir, const Manifest *base);

/* A name that nothing in the private directory has. */
enum { MIRROR_PRIVATE_DIR_NAME_MAX = 48 };
char *mirror_private_dir_name(MirrorPrivateDir *private_dir, char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]);

/* The same for a file of ours with inode number @ino, which the name contains: after a crash that distinguishes it from
 * a client's file that was exchanged for it. */
char *mirror_private_dir_name_for(MirrorPrivateDir *private_dir, uint64_t ino,
                                  char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]);

/* For a link or a directory, whose inode number is known only once it has a name: a name under which it is created, and
 * its renaming to the one for its inode number, which is written to @name. Under the first one there is never anything
 * of a client's. 0 or a negative errno. */
char *mirror_private_dir_name_new(MirrorPrivateDir *private_dir, char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]);
int mirror_private_dir_name_created(MirrorPrivateDir *private_dir, char name[static MIRROR_PRIVATE_DIR_NAME_MAX]);

/* Moves @name in the private directory to @path in the mirror, by one rename, and removes what it replaces. @expected
 * is what is at @path now, NULL for nothing. TREE_OCCUPIED if something else is there, or a directory that is not
 * empty; TREE_BUSY if a process has the file there open or mapped for writing: what it still writes would be lost, also
 * if the file gives way to a newer version of itself. Then nothing has changed. */
int mirror_private_dir_publish(MirrorPrivateDir *private_dir, const char *name, const char *path,
                               const Entry *expected);

/* True while a process has the file @entry of the mirror open or mapped for writing. */
bool mirror_private_dir_is_busy(const MirrorPrivateDir *private_dir, const Entry *entry);

/* Removes what is at @path under the same conditions, and with the same outcomes. 0 also if nothing is there. */
int mirror_private_dir_remove(MirrorPrivateDir *private_dir, const char *path, const Entry *expected);

/* The same for what is unfinished and not to be saved, also while a process is writing it. */
int mirror_private_dir_discard(MirrorPrivateDir *private_dir, const char *path, const Entry *expected);
