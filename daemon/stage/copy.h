/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One file from the source into a temporary file in the mirror, digested on both sides meanwhile.
 *
 * Any number of workers may help with one file. Each calls copy_work() and takes chunks to copy (stage/copy-method.h
 * has the ways to do that); behind the copying, the digests run in file order: one over the mirror's bytes (through
 * their mapping) and, unless the digest of the source's bytes is on record, one over these: in the buffer of the worker
 * that has read them or, with sendfile, from the page cache that the copy has just filled. What was not in the page
 * cache before is dropped from it behind the digests. Pages of 2 MiB that could not be had when the space was reserved
 * are requested once more. The temporary file is an O_TMPFILE: it is gone if the daemon is killed. */

#include "base/base.h"
#include "base/claim.h"
#include "base/ratelimit.h"
#include "stage/copy-method.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct CopyOptions {
        uint64_t chunk_size;            /* bytes, a multiple of 4 KiB */
        ClaimKind claim;                /* a digest of this kind is computed of the copy too; CLAIM_NONE for none */
        CopyMethod method;              /* as configured */
        DirectioRefusals *refusals;     /* of the mirror; borrowed, may be NULL */
        bool on_record;                 /* the caller knows the digest and compares it: only the copy is digested */
        bool read_again;                /* drop the source's page cache first, because the bytes there are suspect */
        RateLimit *limit;               /* of what is read from the source; borrowed, may be NULL */
        const atomic_bool *cancel;      /* set by another thread */
        atomic_uint_fast64_t *progress; /* bytes copied are added */
} CopyOptions;

typedef struct CopyResult {
        Digest source, mirror;   /* with .on_record, both are that of the copy */
        Claim claim;             /* as requested */
        uint64_t huge_bytes;     /* in pages of 2 MiB, */
        uint64_t measured_bytes; /* of so many that were measured */
        uint64_t direct_bytes;   /* read past the page cache */
        CopyMethod method;       /* by which most of it was copied */
} CopyResult;

typedef struct Copy Copy;

enum {
        COPY_SOURCE_CHANGED = 1, /* it is not, or no longer, the file that the scan found */
        COPY_NO_ROOM,            /* there is not enough space for the temporary file */
        COPY_MISMATCH,           /* the copy is not what was read: both digests are in the result */
        COPY_CANCELLED,
};

/* Opens the source beneath @sourcefd, checks that it is as @source says, and creates the temporary file in the
 * directory @stagingfd, with space where the source has data and holes where it has none. 0, a positive outcome, or a
 * negative errno with the step in *reterr_what, a verb that takes the path. */
int copy_new(Copy **ret, int sourcefd, const Entry *source, int stagingfd, const CopyOptions *options,
             const char **reterr_what);
Copy *copy_free(Copy *copy);
DEFINE_CLEANUP(Copy, copy_free)

/* How many workers can usefully help. */
unsigned copy_useful_workers(const Copy *copy);

/* Copies and digests until nothing is left for this thread. Any thread, several at once. */
void copy_work(Copy *copy);

/* After the last copy_work() has returned. 0: the temporary file has the contents, verified; else as copy_new(), with
 * the place in the file. */
int copy_finish(Copy *copy, CopyResult *ret, const char **reterr_what, uint64_t *reterr_offset);

/* The descriptors of the temporary file and of the source, borrowed: for publish_file(). */
int copy_mirror_fd(const Copy *copy);
int copy_source_fd(const Copy *copy);
