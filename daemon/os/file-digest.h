/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads a file that is already in place and says what its digest is. */

#include "base/base.h"
#include "base/digest.h"
#include "base/ratelimit.h"

#include <stdatomic.h>

typedef struct VerifyOptions {
        RateLimit *limit;               /* of what is read; borrowed, NULL for none */
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* bytes read are added */
} VerifyOptions;

/* The digest of the file at @path beneath @dirfd, read without filling its holes, and without leaving in the page cache what
 * was not there. 0, -ECANCELED or a negative errno. Any thread. */
int verify_digest(int dirfd, const char *path, const VerifyOptions *options, Digest *ret);

/* The same for an open file. */
int verify_open_digest(int fd, const VerifyOptions *options, Digest *ret);

/* The same in pieces, for who has not the time to read a large file at once. It may change hands between calls. */
typedef struct Verification Verification;

/* Takes hold of an open file, which stays the caller's. -ESTALE if it is no regular file. */
int verification_new(Verification **ret, int fd);
Verification *verification_free(Verification *verification);
DEFINE_CLEANUP(Verification, verification_free)

/* Reads on, up to @max bytes. 0: that was all, and *ret is the digest; VERIFICATION_MORE; or a negative errno. */
enum { VERIFICATION_MORE = 1 };
int verification_go_on(Verification *verification, uint64_t max, const VerifyOptions *options, Digest *ret);
