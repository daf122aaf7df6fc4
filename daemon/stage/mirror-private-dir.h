/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Our own corner of a mirror: the directory .shmstaged at its top, on the same mount, readable by us only. It marks the mirror
 * as ours, holds the lock against a second daemon, and is where things get their names before they are renamed into place. */

#include "base/base.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct Staging {
        int mirrorfd;              /* the root of the mirror, borrowed */
        int fd;                    /* .shmstaged */
        int lockfd;
        bool adopted;              /* it was there: a run before us did not end with a clean stop */
        atomic_uint_fast64_t last; /* of the names given out */
} Staging;

enum {
        STAGING_BUSY = 1, /* another daemon holds the lock; its process id is in *reterr_detail */
        STAGING_FOREIGN,  /* the mirror holds files and no mark of ours: a name of one is in *reterr_detail */
        STAGING_OTHER,    /* it is marked as the mirror of another source, which is in *reterr_detail */
};

/* Makes or adopts the corner. The names of @source and @mirror go into the mark. *reterr_detail is a new string, or NULL. */
int staging_open(Staging *ret, int mirrorfd, const char *mirror, const char *source, char **reterr_detail,
                 const char **reterr_what);

/* True if nothing is in the corner but what marks it. What else can be there could not be put back: it may be a client's. */
bool staging_is_bare(const Staging *staging);

/* The corner was removed from under us, as by "rm -rf" of the mirror. */
bool staging_is_gone(const Staging *staging);
/* Makes it anew, whatever else is in the mirror. 0 or a negative errno: then there is none. */
int staging_renew(Staging *staging, const char *mirror, const char *source);

/* Gives up the lock; with @remove the corner goes too, if nothing unknown is in it. */
void staging_close(Staging *staging, bool remove);

/* What a killed daemon left between two renames: old versions that the base knows, and copies that were not yet in place, are
 * removed; how many others there are is returned, they are left alone. */
int staging_clean(Staging *staging, const Manifest *base);

/* A name that nothing in the corner has. */
enum { STAGING_NAME_MAX = 48 };
char *staging_name(Staging *staging, char buffer[static STAGING_NAME_MAX]);

/* The same for a file of ours that has inode number @ino: after a crash it is told from what was exchanged for it by that. */
char *staging_name_for(Staging *staging, uint64_t ino, char buffer[static STAGING_NAME_MAX]);

/* Puts what stands at @name in the corner at @path of the mirror, by one rename. @expected is what stands at @path now, NULL for
 * nothing. If something else is found there, nothing is changed and the outcome is STAGING_OCCUPIED. What was replaced is removed.
 * A directory is replaced only if it is empty. */
enum { STAGING_OCCUPIED = 1 };
int staging_place(Staging *staging, const char *name, const char *path, const Entry *expected);

/* The same for data that gives way to something else than a newer version of it: STAGING_OCCUPIED also if somebody has it open for writing. */
int staging_place_idle(Staging *staging, const char *name, const char *path, const Entry *expected);
int staging_take_away_idle(Staging *staging, const char *path, const Entry *expected);

/* Takes what stands at @path away, if it is still @expected and, for a directory, empty; the same outcome if not. 0 also where nothing stands. */
int staging_take_away(Staging *staging, const char *path, const Entry *expected);
