/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One thing from the mirror to the disk, whole or not at all.
 *
 * A file: opened once (a deletion meanwhile costs nothing), seen that nobody has it open for writing (a read
 * lease, F_SETLEASE: EAGAIN while any writable descriptor or writable shared mapping exists; it is given back
 * at once), its structure checked where its name states no digest; then room is reserved on disk, its data
 * copied (holes stay holes) and digested on the way, read back from the disk, owner, mode (without set-id and
 * sticky bits), user xattrs and mtime set, fsync, and by one rename put in place, directories synced. If the
 * mirror's file has changed by then, nothing is put in place. Blocks; for a worker. */

#include "base/base.h"
#include "base/claim.h"
#include "save/disk.h"
#include "save/outcome.h"
#include "tree/manifest.h"

typedef enum SaveKind {
        /* file, directory, symbolic link or hard link (ENTRY_HARDLINK: of its first name, which is on disk) */
        SAVE_CONTENT,
        SAVE_ATTRIBUTES, /* owner, mode, mtime only: the bytes must still have the digest of @agreed */
        /* a file that was moved: on disk a hard link to @from; falls back to SAVE_CONTENT where there are no links */
        SAVE_LINKED,
        SAVE_BESIDE,     /* a file: its content into conflicts/, nothing is put at its path */
        SAVE_REMOVAL,    /* deleted in the mirror: remove it on disk, see .trash */
} SaveKind;

typedef struct SaveOptions {
        Disk *disk;
        int mirrorfd;              /* root of the mirror */
        const char *mirror_path;   /* absolute: a link into it is saved as a relative one */
        const atomic_bool *cancel; /* NULL for none */
        atomic_uint_fast64_t *progress; /* bytes read are added */
        bool own_owner;            /* owners cannot be kept (not root) */
} SaveOptions;

typedef struct Save {
        SaveKind kind;
        const Entry *mirror;   /* as the look saw it; NULL for SAVE_REMOVAL */
        const Entry *expected; /* what stands on disk; NULL for nothing */
        /* the base's entry, or NULL. Same inode, size and digest but another mtime: attributes only */
        const Entry *agreed;
        const char *from;      /* SAVE_LINKED: a path on disk that has the same bytes, an entry of the source */
        const Entry *from_expected;
        Claim claim;           /* of the name */
        bool keep;             /* what is replaced goes to conflicts/: both have changed, and the mirror's is newer */
        bool trash;            /* SAVE_REMOVAL: to the trash */
        bool anyway;           /* at a stop: the structure is not asked */
        /* results */
        SaveOutcome outcome;
        /* SAVE_DONE of a file that was deleted or replaced in the mirror meanwhile: what is on disk is what was
         * there before */
        bool gone;
        /* SAVE_DONE but for removals: strings borrowed from .mirror, inode and ctime of the mirror's, digest if a file */
        Entry entry;
        Entry disk; /* the same with what the disk made of it (inode, ctime; on some filesystems owner, mode, a coarser mtime; the text of a link): what the
                                * next look at the source will see. Not for SAVE_BESIDE */
        char *text;            /* owned, see save_done() */
        char *target;          /* of .disk, where it is not the mirror's text; owned */
        char *kept;            /* where in conflicts/ the other version is, from the source's root; owned */
        int error;             /* errno, positive */
        const char *what;      /* the step that failed, a literal */
        uint64_t bytes;        /* written */
} Save;

/* May be called again: results of an earlier attempt are dropped. */
void save_run(Save *save, const SaveOptions *options);
void save_done(Save *save);
