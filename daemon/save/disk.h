/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Our corner of the disk: .shmstaged at the top of the source, on its filesystem, mode 0700, made when it is
 * first needed.
 *
 *      tmp/        what is being saved, under names that tell whose it is and which inode it must be
 *      trash/      what was deleted, as TIME/PATH, for as long as TrashKeep= says
 *      conflicts/  of two versions of a file the older one, as TIME/PATH; never removed by us
 *
 * Nothing is ever overwritten or removed here that was not seen before: what stands at a place is compared with
 * what the plan expected, by the rename itself where the filesystem can exchange names (renameat2(2):
 * RENAME_EXCHANGE, RENAME_NOREPLACE), and right before it where it cannot (NFS, FUSE, vfat: there a moment
 * remains). Every path is reached beneath the root, through no symbolic link. Functions block, are for workers,
 * and may run on several at once. */

#include "base/base.h"
#include "os/rename.h"
#include "save/disk-private-dir.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct Disk {
        int rootfd;                /* of the source, borrowed */
        char prefix[DISK_PRIVATE_DIR_PREFIX_MAX]; /* of our temporaries: no other machine's or mirror's daemon has it */
        atomic_uint_fast64_t last; /* of the numbers given out */
} Disk;

/* @mirror: the mirror's name. Touches nothing. */
void disk_init(Disk *disk, int rootfd, const char *mirror);

/* The same with a descriptor of our own, which disk_close() closes. 0 or a negative errno, also if @sourcefd is -1. */
int disk_open(Disk *disk, int sourcefd, const char *mirror);
void disk_close(Disk *disk);

/* A number that no temporary of ours has. */
static inline uint64_t disk_number(Disk *disk) {
        return atomic_fetch_add(&disk->last, 1) + 1;
}

/* What a killed daemon left in tmp/ under our prefix: removed if it is ours, moved to conflicts/ if an exchange
 * had put somebody's file there. Returns how many of the latter there were, or a negative errno. A source
 * without our corner has none. */
int disk_clean(Disk *disk);

enum { DISK_NAME_MAX = DISK_PRIVATE_DIR_NAME_MAX };

enum {
        DISK_OCCUPIED = RENAME_OCCUPIED, /* something else stands there than was expected, and is left alone */
        DISK_NO_LINKS,     /* the filesystem has no hard links, or not that many to one file */
        DISK_LEADS_OUT,
};

/* 0 if at @path stands what is @expected (NULL: nothing), or nothing, else DISK_OCCUPIED. A look only: it may
 * be otherwise right after. */
int disk_look(Disk *disk, const char *path, const Entry *expected);

/* A new regular file in tmp/, opened O_RDWR, mode 0600; its name (within tmp/) in @name. */
int disk_new_file(Disk *disk, char name[static DISK_NAME_MAX]);
/* The same for a symbolic link with the owner and mtime of @entry and the text @target, and for a hard link to
 * @path, which must be what is @expected: else DISK_OCCUPIED, or DISK_NO_LINKS. */
int disk_new_symlink(Disk *disk, const Entry *entry, const char *target, char name[static DISK_NAME_MAX]);
int disk_new_link(Disk *disk, const char *path, const Entry *expected, char name[static DISK_NAME_MAX]);
/* What a symbolic link @entry of the mirror at @mirror_path has to say on the disk: 0 and a new string, or NULL
 * if what it says already. DISK_LEADS_OUT of the tree, by itself or by links of the disk on its way; those of
 * the mirror do not count, because one may stand for what did not fit. */
int disk_link_target(Disk *disk, const char *mirror_path, const Entry *entry, char **ret);
void disk_drop(Disk *disk, const char *name);

/* Renames tmp/@name to @path, whose parent directories exist, and syncs both directories. @expected is what the
 * plan saw there (type, size, mtime, inode; a directory is never replaced), NULL for nothing. If it has gone
 * since, that is no hindrance. What is replaced is removed, or with @keep moved to conflicts/ first (then
 * *ret_kept, if wanted, is its path from the root, a new string). Else DISK_OCCUPIED: something else is there,
 * all is as it was, but tmp/@name stays for the caller to drop. */
int disk_place(Disk *disk, const char *name, const char *path, const Entry *expected, bool keep, char **ret_kept);

/* Puts tmp/@name into conflicts/ as a version of @path. */
int disk_place_conflict(Disk *disk, const char *name, const char *path, char **ret_kept);

/* Makes a directory with owner and mode of @entry, and syncs its parent; one that is there already is left as
 * it is. DISK_OCCUPIED: something else is there. */
int disk_make_directory(Disk *disk, const Entry *entry);

/* Gives what stands at @entry's path owner (but for @own_owner), mode and mtime of @entry if it is still what
 * was @expected, a file or a directory, and syncs it: *ret is what it is then. Else DISK_OCCUPIED; -ENOENT
 * where nothing stands. */
int disk_set_attributes(Disk *disk, const Entry *entry, const Entry *expected, bool own_owner, struct stat *ret);

/* Takes what stands at @path away if it is still @expected: to the trash, or for good without @trash. A
 * directory goes if it is empty (never to the trash). Else DISK_OCCUPIED. 0 also where nothing stands. Syncs. */
int disk_remove(Disk *disk, const char *path, const Entry *expected, bool trash);

/* The same, to conflicts/ (then *ret_kept is its path from the root, a new string): of files and links. */
int disk_set_aside(Disk *disk, const char *path, const Entry *expected, char **ret_kept);

/* Removes from the trash what was put there more than @keep_usec ago by the realtime clock, and with a clock
 * that jumps rather too late than too early. Returns a negative errno or 0. */
int disk_empty_trash(Disk *disk, uint64_t keep_usec);
/* Removes what was put there first. Positive if something was, 0 if the trash is empty. */
int disk_empty_oldest(Disk *disk);
/* What is in the trash: files, and bytes on disk of those that have no other name. */
int disk_count_trash(Disk *disk, uint64_t *ret_bytes, uint64_t *ret_files);
/* Positive if something is in it. */
int disk_has_trash(Disk *disk);
/* True if so many bytes may fit on the disk when the trash is empty, as far as that can be known. */
bool disk_fits_without_trash(Disk *disk, uint64_t bytes);
