/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What saves write to the disk and take from it, always by way of the private directory: .shmstaged at the top of the
 * source, on its filesystem, mode 0700, made when it is first needed.
 *
 *      tmp/        what is being saved, under names that say whose it is and which inode it must be
 *      trash/      what clients deleted, as TIME/PATH, for as long as TrashKeep= allows
 *      conflicts/  the older of two versions of a file, as TIME/PATH; never removed by us
 *
 * disk-temporary.c makes what is in tmp/, disk-place.c puts it in place and syncs it, trash.c takes away.
 *
 * Nothing is overwritten or removed that was not seen before: os/tree-rename.h says how, and where a short gap is
 * left. Every path is reached beneath the root and through no symbolic link. Functions block, are meant for workers,
 * and may run on several at once. */

#include "base/base.h"
#include "os/tree-attributes.h"
#include "os/tree-rename.h"
#include "save/disk-private-dir.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct Disk {
        int rootfd; /* of the source, borrowed unless disk_open() made it */
        char prefix[DISK_PRIVATE_DIR_PREFIX_MAX]; /* of our temporaries: no other machine's or mirror's daemon has it */
        atomic_uint_fast64_t last;                /* of the numbers given out */
        atomic_int keeps_inodes; /* see disk_keeps_inodes(): 0: not known yet, else 1 or -1 */
} Disk;

/* @mirror: the mirror's name. Touches nothing. */
void disk_init(Disk *disk, int rootfd, const char *mirror);

/* Inode numbers on it are stable. Blocking; any thread. */
bool disk_keeps_inodes(Disk *disk);

/* The same with a descriptor of our own, which disk_close() closes. 0 or a negative errno, also if @sourcefd is -1. */
int disk_open(Disk *disk, int sourcefd, const char *mirror);
void disk_close(Disk *disk);

/* A number that no temporary of ours has. */
static inline uint64_t disk_number(Disk *disk) {
        return atomic_fetch_add(&disk->last, 1) + 1;
}

enum { DISK_NAME_MAX = DISK_PRIVATE_DIR_NAME_MAX };

/* Positive outcomes. */
enum {
        DISK_OCCUPIED = TREE_OCCUPIED, /* the name is taken by something that was not expected; it is left alone */
        DISK_NO_LINKS = TREE_NO_LINKS, /* the filesystem has no hard links, or not that many to one file */
        DISK_LEADS_OUT,                /* a symbolic link that leads out of the tree */
};

/* 0 if nothing is at @path, or what is @expected there (NULL: nothing); else DISK_OCCUPIED. This may change at any
 * time. */
int disk_check_expected(Disk *disk, const char *path, const Entry *expected);

/* What the disk gets of @entry: without the owner if @own_owner. A filesystem that keeps no owners or modes will do. */
TreeAttributes disk_attributes(const Entry *entry, bool own_owner);

/* Gives what is at @entry's path the owner (unless @own_owner), mode and mtime of @entry, and syncs it, if it is
 * still the file or directory that was @expected: *ret is its state then. Else DISK_OCCUPIED; -ENOENT if there is
 * nothing. */
int disk_set_attributes(Disk *disk, const Entry *entry, const Entry *expected, bool own_owner, struct stat *ret);

/* --- temporaries, in tmp/ --- */

/* Clears tmp/ of what a daemon that was killed left there under our prefix: removed if it is ours, moved to conflicts/
 * if an exchange of names had put a client's file there. Returns how many of the latter there were, or a negative
 * errno. A source without a private directory has none. */
int disk_clean(Disk *disk);

/* A new regular file, opened O_RDWR, mode 0600; its name within tmp/ goes to @name. */
int disk_new_file(Disk *disk, char name[static DISK_NAME_MAX]);

/* A new symbolic link with the text @target and the owner and mtime of @entry. */
int disk_new_symlink(Disk *disk, const Entry *entry, const char *target, char name[static DISK_NAME_MAX]);

/* A new hard link to @path, which must be what is @expected: else DISK_OCCUPIED, or DISK_NO_LINKS. */
int disk_new_link(Disk *disk, const char *path, const Entry *expected, char name[static DISK_NAME_MAX]);

/* The text that the symbolic link @entry of the mirror at @mirror_path needs on the disk: 0 and a new string in *ret,
 * or NULL if it can stay as it is. DISK_LEADS_OUT if it leads out of the tree, by itself or by links that are on disk;
 * links in the mirror do not count, because one may be there for a file that did not fit. */
int disk_link_target(Disk *disk, const char *mirror_path, const Entry *entry, char **ret);

/* Removes a temporary that is not needed. */
void disk_drop(Disk *disk, const char *name);

/* --- into place --- */

/* Renames tmp/@name to @path, whose parent directory exists, and syncs both directories. @expected is what the plan
 * saw there (type, size, mtime, inode; a directory is never replaced), NULL for nothing; it may be gone by now. What
 * is replaced is removed, or with @keep moved to conflicts/ first (then *ret_kept, if wanted, is its path from the
 * root, a new string). DISK_OCCUPIED if something else is there: then nothing has changed, and tmp/@name is left for
 * the caller to drop. */
int disk_place(Disk *disk, const char *name, const char *path, const Entry *expected, bool keep, char **ret_kept);

/* Removes what disk_place() has kept there: it turned out to be nothing that could be lost. */
int disk_drop_kept(Disk *disk, const char *kept);

/* Moves tmp/@name to conflicts/ as a version of @path. */
int disk_place_conflict(Disk *disk, const char *name, const char *path, char **ret_kept);

/* Makes a directory with owner and mode of @entry, and syncs its parent. One that exists stays as it is.
 * DISK_OCCUPIED if something else is there. */
int disk_make_directory(Disk *disk, const Entry *entry);

/* --- away, and the trash --- */

/* Takes away what is at @path if it is still what was @expected, and syncs: to the trash, or for good without @trash.
 * A directory goes if it is empty, and never to the trash. Else DISK_OCCUPIED. 0 also if there is nothing. */
int disk_remove(Disk *disk, const char *path, const Entry *expected, bool trash);

/* Moves a file or link to conflicts/ in the same way; *ret_kept is its path from the root, a new string. */
int disk_set_aside(Disk *disk, const char *path, const Entry *expected, char **ret_kept);

/* Removes from the trash what was put there more than @keep_usec ago. The realtime clock says so, and if that jumps,
 * things go rather too late than too early. 0 or a negative errno. */
int disk_empty_trash(Disk *disk, uint64_t keep_usec);

/* Makes room on a full disk for a file of @bytes by removing what was put into the trash first, until the file should
 * fit; at least one, because a quota may be what is full. Positive if something was removed: try again. 0 if the trash
 * is empty, or so small that the file would not fit without it either. */
int disk_make_room(Disk *disk, uint64_t bytes);

/* Counts the trash: files, and the bytes on disk of those that have no other name. */
int disk_count_trash(Disk *disk, uint64_t *ret_bytes, uint64_t *ret_files);

/* Positive if anything is in it. */
int disk_has_trash(Disk *disk);
