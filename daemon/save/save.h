/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One thing from the mirror to the disk, whole or not at all.
 *
 * The steps for a file: it is opened and must not be open for writing elsewhere (save/mirror-file.h); where its name
 * states no digest, its structure is checked; it is copied into a temporary on the disk, synced and read back
 * (save/copy-to-disk.h); and by one rename it is put in place, and the directories are synced (save/disk.h). If the
 * mirror's file has changed by then, nothing is put in place.
 *
 * save-file.c has the content of files, save.c everything else. Blocks; for a worker. */

#include "base/base.h"
#include "base/claim.h"
#include "save/disk.h"
#include "save/outcome.h"
#include "tree/manifest.h"

typedef enum SaveKind {
        /* file, directory, symbolic link or hard link (ENTRY_HARDLINK: of its first name, if .first says what that is
         * on disk; else it is saved as a file of its own) */
        SAVE_CONTENT,
        SAVE_ATTRIBUTES, /* owner, mode, mtime only: the bytes must still have the digest of @agreed */
        /* a file that was renamed: a hard link to @from, or a copy where there are no hard links; it becomes
         * SAVE_CONTENT if it was altered too */
        SAVE_LINKED,
        SAVE_BESIDE,     /* a file: its content goes to conflicts/, and nothing to its path */
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
        const Entry *mirror;   /* as the scan saw it; NULL for SAVE_REMOVAL */
        const Entry *expected; /* what the scan saw on disk; NULL for nothing */
        const Entry *agreed;   /* the base's entry, or NULL. If only the time differs from it, no bytes are saved */
        const char *from;      /* SAVE_LINKED: a path on disk that has the same bytes */
        /* its entry of the source, with the base's digest. The bytes are compared with that before: with ENTRY_UNPROVEN
         * the mirror's, with ENTRY_RACY those on disk */
        const Entry *from_expected;
        DiskObject first;      /* ENTRY_HARDLINK: what its first name is on disk, with its bytes; zeros: not known */
        bool first_in_doubt;   /* that has to be found out before, as if it is not known and something is there */
        Digest first_digest;   /* if .first_has_digest: of its bytes */
        bool first_has_digest;
        Claim claim;           /* of the name */
        bool keep;             /* what is replaced goes to conflicts/: both have changed, and the mirror's is newer */
        bool trash;            /* SAVE_REMOVAL: to the trash */
        bool anyway;           /* a stop: do not check the structure, and do not wait for what is in doubt */
        bool keep_unless_agreed; /* .keep, and what is kept is removed if it has the bytes of .agreed */
        Entry unlisted;        /* what the scan did not list there, because it is not selected: then .expected */
        /* results */
        SaveOutcome outcome;
        bool found;            /* SAVE_DONE, and the bytes were on disk already: none were written */
        bool gone;             /* SAVE_DONE, but the file was deleted or replaced in the mirror meanwhile */
        /* SAVE_DONE, except for removals: strings borrowed from .mirror; inode and ctime of the mirror's; the digest of
         * a file */
        Entry entry;
        /* The same as the disk has it, and the next scan of the source will see it: inode, ctime, the text of a link;
         * on some filesystems owner, mode or mtime differ too. Not for SAVE_BESIDE */
        Entry disk;
        char *text;            /* owned, see save_done() */
        char *target;          /* of .disk, where it is not the mirror's text; owned */
        char *kept;            /* path of the other version in conflicts/, from the source's root; owned */
        int error;             /* errno, positive */
        const char *what;      /* the step that failed, a literal */
        uint64_t bytes;        /* written */
} Save;

/* May be called again: results of an earlier attempt are dropped. */
void save_run(Save *save, const SaveOptions *options);
void save_done(Save *save);
