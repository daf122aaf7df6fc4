/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether what is on one side now is the object that the base names for that side, and whether it has the base's bytes.
 * Pure.
 *
 * Size and mtime alone never make two files the same: a file is known by its inode, size, mtime and ctime, and by what
 * was reported of it. Where any of these differs, its bytes decide, which somebody has to read. A ctime that differs
 * alone means that the object was touched: on tmpfs and ext4 alike it moves when another name of the inode is
 * renamed, linked or unlinked, and with owner and mode.
 *
 * Three things make a comparison of times worthless, and each has a flag:
 *
 * - ENTRY_RACY: a change that comes right after a file was seen may leave the same times: within a tick of the kernel's
 *   clock, or within 2 s where times are whole seconds. Such a file waits; at the first start it is staged and compared
 *   once more. A save over one keeps what is there.
 * - ENTRY_NO_INODE: inode numbers are not stable (fs_has_stable_inodes(): FUSE, SMB, 9p, vfat, exFAT, folders shared by
 *   VirtualBox and VMware). Size, mtime and ctime stand in for them, and two names count as one file only if both have
 *   been read and have one digest. Where more names show a number than the file has links, they are not tied at all.
 * - ENTRY_UNPROVEN: a store through a mapping need not leave a trace on tmpfs. Each close after writing that the watch
 *   reports marks the files that it may mean, by inode; after a crash, a restart that kept the mirror, or lost events,
 *   all of them are marked. A file whose save is on its way is not in the base yet: its save brings the mark there. */

#include "base/base.h"
#include "tree/manifest.h"

typedef enum PairState {
        PAIR_UNSURE,  /* it may have the base's bytes or other ones: they have to be compared */
        PAIR_ABSENT,
        PAIR_SAME,    /* the very object of the base, with its bytes */
        PAIR_TOUCHED, /* likewise; only its ctime has moved, and nothing was reported that could have changed bytes */
        PAIR_OTHER,   /* something else, or other bytes */
} PairState;

/* The object is that of the base. */
static inline bool pair_is_known(PairState state) {
        return state == PAIR_SAME || state == PAIR_TOUCHED;
}

/* @base is not NULL; @source and @mirror are, if nothing is there. For anything but files and hard links there is only
 * absent, same and other. @watched: every close after writing on that side was reported since the scan before.
 *
 * A base that is a record (ENTRY_RECORD) may be asked about the disk. One with ENTRY_UNPROVEN and a digest is PAIR_SAME
 * if it is the same object, whatever its ctime: what that means is up to the caller. */
PairState pair_disk(const Entry *base, const Entry *source, bool watched);
PairState pair_mirror(const Entry *base, const Entry *mirror, bool watched);

/* All that is unsure about the disk's object is that it was seen so soon after its last change. */
bool pair_is_only_racy(const Entry *base, const Entry *source);

/* A comparison found that the two have different bytes, and both are still the objects that were compared. */
bool pair_is_different(const Entry *base, const Entry *source, const Entry *mirror);

/* Two entries may be the same thing: files of one size, links of one text, directories. */
bool pair_is_alike(const Entry *a, const Entry *b);

/* Two entries share their inode with the same name, or with none. */
bool pair_is_tied_alike(const Entry *a, const Entry *b);

/* Adds ENTRY_UNPROVEN to the doubts (PlanInput) about entries of @base whose object in the mirror has another ctime, or
 * is not under its name any more, for a reason that was not watched: its bytes may be other ones. */
void pair_mark_unproven(const Manifest *base, const Manifest *mirror, bool watched, uint16_t *doubts);

/* The same of the disk: adds ENTRY_DISK_WRITTEN where the ctime of the base's object has moved unwatched. Else, if it
 * cannot be read right now, it would be taken by the next scan, which is watched, for only touched. */
void pair_mark_disk_unproven(const Manifest *base, const Manifest *source, bool watched, uint16_t *doubts);

/* Of the names of one file in a scanned tree, the one that the base knows as the file becomes the file again, where a
 * new name comes before it in path order: else the file would look new, and its old name like a link to it. @disk: the
 * tree is the source, not the mirror. 0 or -ENOMEM. Before planning. */
int pair_keep_first_names(Manifest *tree, const Manifest *base, bool disk);

/* Where inode numbers are not stable, two files may have one. Their names count as names of one file only if the base
 * has the same digest for both; else each becomes a file of its own. Before planning. */
void pair_untie(Manifest *source, const Manifest *base);
