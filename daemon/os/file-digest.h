/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads a file that is already in place and says what its digest is. */

#include "base/base.h"
#include "base/digest.h"
#include "base/ratelimit.h"

#include <stdatomic.h>

typedef struct FileDigestOptions {
        RateLimit *limit;               /* of what is read; borrowed, NULL for none */
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* bytes read are added */
} FileDigestOptions;

/* The digest of the file at @path beneath @dirfd, read without filling its holes, and without leaving in the page
 * cache what was not there. 0, -ECANCELED or a negative errno. Any thread. */
int file_digest_at(int dirfd, const char *path, const FileDigestOptions *options, Digest *ret);

/* The same for an open file. */
int file_digest_of(int fd, const FileDigestOptions *options, Digest *ret);

/* The same in pieces, for who has not the time to read a large file at once. It may change hands between calls. */
typedef struct FileDigestVerification FileDigestVerification;

/* Takes hold of an open file, which stays the caller's. -ESTALE if it is no regular file. */
int file_digest_verification_new(FileDigestVerification **ret, int fd);
FileDigestVerification *file_digest_verification_free(FileDigestVerification *verification);
DEFINE_CLEANUP(FileDigestVerification, file_digest_verification_free)

/* Reads on, up to @max bytes. 0: that was all, and *ret is the digest; FILE_DIGEST_MORE; or a negative errno. */
enum { FILE_DIGEST_MORE = 1 };
int file_digest_verification_continue(FileDigestVerification *verification, uint64_t max,
                                      const FileDigestOptions *options, Digest *ret);
