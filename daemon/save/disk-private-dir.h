/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The private directory on the disk: its directories, its slots (DIRECTORY/TIME/PATH) and the names of temporaries,
 * which say what is under them. save/disk.h says what is put there and when.
 *
 * Functions return 0 (or a descriptor) or a negative errno. The directory is opened again each time, beneath the root
 * and through no symbolic link, so that one that was removed is made again. */

#include "base/base.h"
#include "os/tree-access.h"
#include "tree/manifest.h"

#include <sys/stat.h>

#define DISK_PRIVATE_DIR_TMP "tmp"
#define DISK_PRIVATE_DIR_TRASH "trash"
#define DISK_PRIVATE_DIR_CONFLICTS "conflicts"

/* Opens one of its directories; with @make, makes and syncs what is missing. */
int disk_private_dir_open(int rootfd, const char *directory, bool make);

/* What the plan saw on disk as files are known there. The ctime does not count: links that were made for other names
 * have moved it since. */
FileIdentity disk_private_dir_identity(const Entry *expected);

/* Whether what is at @at is still what the plan saw: *ret is what it is known by now. TREE_OCCUPIED, TREE_ABSENT. */
int disk_private_dir_look(TreeName at, const Entry *expected, FileIdentity *ret);

/* --- names in tmp/ --- */

enum { DISK_PRIVATE_DIR_NAME_MAX = 96, DISK_PRIVATE_DIR_PREFIX_MAX = 24 };

/* PREFIX-NUMBER: made by us, never exchanged. */
char *disk_private_dir_name(char buffer[static DISK_PRIVATE_DIR_NAME_MAX], const char *prefix, uint64_t number);
/* PREFIX-NUMBER-INODE-INODE-MTIME, for the time of an exchange: what is under this name is either still ours, with
 * the first inode (0: there is none), or what we replace, known by the second inode and its mtime. Anything else is a
 * client's that came in between; without @replaced, everything that is not ours is. */
char *disk_private_dir_exchange_name(char buffer[static DISK_PRIVATE_DIR_NAME_MAX], const char *prefix,
                                     uint64_t number, uint64_t ino, const FileIdentity *replaced);
typedef enum DiskNameOwner {
        DISK_NAME_FOREIGN, /* another daemon's: not to be touched */
        DISK_NAME_OURS,    /* may be removed */
        DISK_NAME_CLIENTS, /* must not get lost */
} DiskNameOwner;
/* @st: of @name. The number in the name goes to *ret_number, except for DISK_NAME_FOREIGN. */
DiskNameOwner disk_private_dir_owner(const char *prefix, const char *name, const struct stat *st, uint64_t *ret_number);

/* --- slots: DIRECTORY/TIME/PATH --- */

typedef struct DiskSlot {
        char *path;       /* from the root of the source */
        int fd;           /* the directory to rename into */
        const char *name; /* in that directory; part of .path */
        size_t top;       /* how much of .path was there before: trash/ or conflicts/ itself */
} DiskSlot;

#define DISK_SLOT_EMPTY { .path = NULL, .fd = -1 }

/* Makes a slot that is empty, below the present time. */
int disk_private_dir_slot_make(DiskSlot *ret, int rootfd, const char *directory, const char *path);
/* Syncs the directories that were made for it, the lowest first. */
int disk_private_dir_slot_sync(const DiskSlot *slot, int rootfd);
/* Removes the directories that were made for it, as far as they are empty. */
void disk_private_dir_slot_unmake(const DiskSlot *slot, int rootfd);
void disk_private_dir_slot_done(DiskSlot *slot);

/* Renames @name of our directory @fd into a new slot for @path, and syncs that. *ret_kept, if wanted, is its path from
 * the root, a new string. */
int disk_private_dir_slot_put(int rootfd, const char *directory, const char *path, int fd, const char *name,
                              char **ret_kept);

/* The age of the slot whose time is @name and whose directory has @st, in microseconds; 0 if its time lies ahead. A
 * clock that was set may make it seem old, so its ctime and, within the same boot, the uptime in its name count too,
 * whichever makes it the youngest. -EINVAL if the name is none of ours. */
int disk_private_dir_slot_age(const char *name, const struct stat *st, uint64_t *ret_usec);

/* --- trees --- */

/* Calls @act for each name in the directory @name of @dirfd, until it returns something else than 0: then returns that,
 * else 0 or a negative errno. @dirfd of @act is the directory itself. */
int disk_private_dir_for_each(int dirfd, const char *name, int (*act)(int dirfd, const char *name, void *userdata),
                              void *userdata);

/* Removes @name in @dirfd and everything below it. Follows no links. */
int disk_private_dir_remove_tree(int dirfd, const char *name);
/* Adds up the files below @name, and the bytes of those that have no other name. */
int disk_private_dir_count_tree(int dirfd, const char *name, uint64_t *bytes, uint64_t *files);
