/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads a file and computes its digest. */

#include "base/base.h"
#include "base/digest.h"
#include "base/ratelimit.h"

#include <stdatomic.h>

typedef struct FileDigestOptions {
        RateLimit *limit;               /* for the reads; borrowed, NULL for none */
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* the bytes that were read are added */
} FileDigestOptions;

/* The digest of the file at @path beneath @dirfd. Reading fills no holes, and leaves nothing in the page cache that was
 * not there. 0 or a negative errno: -ECANCELED, or -ESTALE if the file is no regular file or became shorter. Any
 * thread. */
int file_digest_at(int dirfd, const char *path, const FileDigestOptions *options, Digest *ret);

/* The same for an open file. */
int file_digest_of(int fd, const FileDigestOptions *options, Digest *ret);

/* The same in pieces, for a caller that does other work in between. One thread at a time. */
typedef struct FileDigestVerification FileDigestVerification;

/* Borrows @fd. -ESTALE if it is no regular file. */
int file_digest_verification_new(FileDigestVerification **ret, int fd);
FileDigestVerification *file_digest_verification_free(FileDigestVerification *verification);
DEFINE_CLEANUP(FileDigestVerification, file_digest_verification_free)

/* Reads up to @max more bytes. 0 and the digest if that was the end of the file; FILE_DIGEST_MORE if not; or a negative
 * errno. */
enum { FILE_DIGEST_MORE = 1 };
int file_digest_verification_continue(FileDigestVerification *verification, uint64_t max,
                                      const FileDigestOptions *options, Digest *ret);
