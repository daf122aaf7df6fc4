/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Copies a file of the mirror into a new temporary on the disk, with everything that it will have there: its data
 * (holes stay holes), owner, mode without set-id and sticky bits, user xattrs and mtime. Then fsync() and, past the
 * page cache, reading it back and comparing. Room is reserved first. Memory and dirty pages are bounded, whatever the
 * size, and nothing of it stays in the page cache. */

#include "base/base.h"
#include "base/claim.h"
#include "base/digest.h"
#include "save/disk.h"
#include "save/mirror-file.h"
#include "save/outcome.h"

#include <stdatomic.h>

typedef struct CopyToDiskOptions {
        Disk *disk;
        const Claim *claim;             /* the digest that its name states, or CLAIM_NONE */
        bool own_owner;                 /* do not set the owner */
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* bytes read are added */
} CopyToDiskOptions;

typedef struct CopyToDiskResult {
        int fd;                   /* of the temporary, for reading; the caller's */
        char name[DISK_NAME_MAX]; /* of the temporary */
        Digest digest;
} CopyToDiskResult;

/* 0 or SAVE_CHANGED, SAVE_BAD (*reterr_text says what its digest is, a new string), SAVE_GARBLED (twice something else
 * was read back), SAVE_CANCELLED. -ENOSPC if no room can be reserved or, where a filesystem cannot reserve, too little
 * is free. Nothing is left of what fails. The bytes that were written are added to @bytes. */
int copy_to_disk(MirrorFile *file, const CopyToDiskOptions *options, CopyToDiskResult *ret, uint64_t *bytes,
                  char **reterr_text, const char **reterr_what);
