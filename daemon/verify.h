/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads a file that is already in place and says what its digest is. */

#include "base.h"
#include "digest.h"

#include <stdatomic.h>

typedef struct VerifyOptions {
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* bytes read are added */
} VerifyOptions;

/* The digest of the file at @path beneath @dirfd, read without filling its holes, and without leaving in the page cache what
 * was not there. 0, -ECANCELED or a negative errno. Any thread. */
int verify_digest(int dirfd, const char *path, const VerifyOptions *options, Digest *ret);

/* The same for an open file. */
int verify_open_digest(int fd, const VerifyOptions *options, Digest *ret);
