/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What our corner of the disk consists of: directories, places below a time, and names that tell what is under
 * them. Who puts what there is in save/disk.h.
 *
 * Functions return 0 (or a descriptor) or a negative errno. The corner is opened anew each time, beneath the
 * root and through no symbolic link, so that one that was removed is simply made again. */

#include "base/base.h"
#include "tree/manifest.h"

#include <sys/stat.h>

#define DISK_PRIVATE_DIR_TMP "tmp"
#define DISK_PRIVATE_DIR_TRASH "trash"
#define DISK_PRIVATE_DIR_CONFLICTS "conflicts"

/* Opens a directory of the corner; with @make, makes and syncs what is missing. */
int disk_private_dir_open(int rootfd, const char *directory, bool make);

/* True if what fstatat() found as @name is still what the plan saw. */
bool disk_private_dir_is_expected(int dirfd, const char *name, const struct stat *st, const Entry *expected);

/* --- names in tmp/ --- */

enum { DISK_PRIVATE_DIR_NAME_MAX = 96, DISK_PRIVATE_DIR_PREFIX_MAX = 24 };

/* PREFIX-NUMBER: made by us, never exchanged. */
char *disk_private_dir_name(char buffer[static DISK_PRIVATE_DIR_NAME_MAX], const char *prefix, uint64_t number);
/* PREFIX-NUMBER-INODE-INODE-MTIME, for the time of a rename: either still ours, of the first inode (0: there is
 * none), or what we replace, known by the second and its mtime; anything else is somebody's that came between.
 * Without @replaced always somebody's. */
char *disk_private_dir_exchange_name(char buffer[static DISK_PRIVATE_DIR_NAME_MAX], const char *prefix,
                                     uint64_t number, uint64_t ino, const struct stat *replaced);
typedef enum DiskNameOwner {
        DISK_NAME_FOREIGN, /* another daemon's: not to be touched */
        DISK_NAME_OURS,     /* may go */
        DISK_NAME_CLIENTS,
} DiskNameOwner;
/* @st: what stands at @name. The number in it goes to *ret_number but for DISK_NAME_FOREIGN. */
DiskNameOwner disk_private_dir_owner(const char *prefix, const char *name, const struct stat *st, uint64_t *ret_number);

/* --- places: DIRECTORY/TIME/PATH --- */

typedef struct DiskSlot {
        char *path; /* from the root of the source */
        int fd;     /* the directory to rename into */
        const char *name; /* in it; part of .path */
        size_t top;       /* so much of .path was there before: the directory of the corner */
} DiskSlot;

#define DISK_SLOT_EMPTY { .path = NULL, .fd = -1 }

/* A place that nothing has, below the time of now. */
int disk_private_dir_slot_make(DiskSlot *ret, int rootfd, const char *directory, const char *path);
/* Syncs what was made for it, from below. */
int disk_private_dir_slot_sync(const DiskSlot *place, int rootfd);
/* Removes what was made for it if nothing was put there. */
void disk_private_dir_slot_unmake(const DiskSlot *place, int rootfd);
void disk_private_dir_slot_done(DiskSlot *place);

/* Renames @name of our directory @fd to a place for @path that is made for it, and syncs that. *ret_kept, if
 * wanted, is its path from the root, a new string. */
int disk_private_dir_slot_put(int rootfd, const char *directory, const char *path, int fd, const char *name,
                              char **ret_kept);

/* How long ago the time of a place was, in microseconds, 0 if it lies ahead. @st is of its directory. Nothing
 * was put there earlier than its ctime says, nor, in this boot, before the machine had been up for so long:
 * whichever says the least counts, because a clock that was set may make it look old. -EINVAL if @name is none
 * of ours. */
int disk_private_dir_slot_age(const char *name, const struct stat *st, uint64_t *ret_usec);

/* Removes what is below @name in @dirfd and itself. Follows nothing. */
int disk_private_dir_remove_tree(int dirfd, const char *name);
/* Adds files below, and the bytes of those that have no other name. */
int disk_private_dir_count_tree(int dirfd, const char *name, uint64_t *bytes, uint64_t *files);
