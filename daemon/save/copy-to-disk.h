/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file of the mirror into a new temporary on the disk, with all that it will have there, synced, and read
 * back from the disk. Holes stay holes, of either file. No more than a window of what is written waits in the
 * page cache, and nothing stays there. One buffer, whatever the size. */

#include "base/base.h"
#include "base/claim.h"
#include "base/digest.h"
#include "save/disk.h"
#include "save/mirror-file.h"
#include "save/outcome.h"

#include <stdatomic.h>

typedef struct CopyToDiskOptions {
        Disk *disk;
        const Claim *claim;             /* what the content must have, unless CLAIM_NONE */
        bool own_owner;                 /* the owner is not carried */
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* bytes read are added */
} CopyToDiskOptions;

typedef struct CopyToDiskResult {
        int fd;                   /* of the temporary; the caller's */
        char name[DISK_NAME_MAX]; /* of the temporary */
        Digest digest;
} CopyToDiskResult;

/* 0 or SAVE_CHANGED, SAVE_BAD (*reterr_text says what its digest is, a new string), SAVE_GARBLED,
 * SAVE_CANCELLED. Reserves first: -ENOSPC comes then, or where a filesystem cannot reserve, from a look at what
 * is free. Of what fails nothing is left. @bytes: those that were written are added. */
int copy_to_disk(MirrorFile *file, const CopyToDiskOptions *options, CopyToDiskResult *ret, uint64_t *bytes,
                  char **reterr_text, const char **reterr_what);
