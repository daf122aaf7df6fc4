/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One file from the source into an invisible temporary of the mirror, digested on the way on both sides.
 *
 * Any number of workers may help with one file: each calls copy_work(), takes chunks to copy (stage/copy-method.h
 * has the ways), and behind the copying the digests run in file order: one over the mirror's bytes (through its
 * mapping), and, unless the digest of the source's bytes is on record, one over these: in the buffer of the worker
 * that has read them, or, by sendfile, from the page cache that the copy has just filled. What of the source was not
 * in the page cache before is dropped from it behind the digests. Pages of 2 MiB that were not to be had when the
 * room was reserved are asked for once more. The temporary is an O_TMPFILE: a daemon that is killed leaves none. */

#include "base/base.h"
#include "base/claim.h"
#include "base/ratelimit.h"
#include "stage/copy-method.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct CopyOptions {
        uint64_t chunk_size;            /* bytes, a multiple of 4 KiB */
        ClaimKind claim;                /* a digest of this kind is computed too, of the copy; CLAIM_NONE for none */
        CopyMethod method;              /* as configured */
        DirectioRefusals *refusals;       /* of the mirror; borrowed, may be NULL */
        /* the digest of these bytes is known, and the caller compares it: only the copy is digested */
        bool on_record;
        bool read_again;                /* drop the source's page cache first: the bytes there are suspected */
        RateLimit *limit;               /* of what is read from the source; borrowed, may be NULL */
        const atomic_bool *cancel;      /* set by another thread */
        atomic_uint_fast64_t *progress; /* bytes copied are added */
} CopyOptions;

typedef struct CopyResult {
        Digest source, mirror;  /* if it is on record, both are the copy's */
        Claim claim;            /* as asked for */
        uint64_t huge_bytes;    /* of those measured, mapped by 2 MiB pages */
        uint64_t measured_bytes;
        uint64_t direct_bytes;  /* came past the page cache */
        CopyMethod method;      /* the way that it came */
} CopyResult;

typedef struct Copy Copy;

enum {
        COPY_SOURCE_CHANGED = 1, /* it is not, or no longer, the file that the scan saw */
        COPY_NO_ROOM,            /* the temporary could not be reserved in full */
        COPY_MISMATCH,           /* what arrived is not what was read: both digests are in the result */
        COPY_CANCELLED,
};

/* Opens the source beneath @sourcefd, checks that it is what @source says, and makes and reserves the temporary in
 * the directory @stagingfd, without holes where the source has data and with holes where it has none. Negative
 * errno: *reterr_what names the step. */
int copy_new(Copy **ret, int sourcefd, const Entry *source, int stagingfd, const CopyOptions *options,
             const char **reterr_what);
Copy *copy_free(Copy *copy);
DEFINE_CLEANUP(Copy, copy_free)

/* How many workers can usefully help. */
unsigned copy_useful_workers(const Copy *copy);

/* Copies and digests until nothing is left for this thread. Any thread, several at once. */
void copy_work(Copy *copy);

/* After the last copy_work() has returned. 0: the temporary holds the file, verified. */
int copy_finish(Copy *copy, CopyResult *ret, const char **reterr_what, uint64_t *reterr_offset);

/* Of the temporary and of the source, borrowed: for publish. */
int copy_mirror_fd(const Copy *copy);
int copy_source_fd(const Copy *copy);
