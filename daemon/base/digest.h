/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* XXH3-128 of a stream of bytes, as `xxh128sum` prints it. */

#include "base/base.h"

enum { DIGEST_HEX_MAX = 33 };

/* The canonical (big-endian) form: the bytes in the order in which they are printed. */
typedef struct Digest {
        uint8_t bytes[16];
} Digest;

/* A stream is used by one thread at a time, and may pass to another between calls. */
typedef struct DigestStream DigestStream;
int digest_stream_new(DigestStream **ret);
DigestStream *digest_stream_free(DigestStream *stream);
DEFINE_CLEANUP(DigestStream, digest_stream_free)

void digest_stream_update(DigestStream *stream, const void *data, size_t length);
/* @length bytes of zeros: what a hole reads as. */
void digest_stream_zeros(DigestStream *stream, uint64_t length);
/* The digest of all bytes so far; the stream may go on. */
Digest digest_stream_get(DigestStream *stream);

static inline bool digest_equal(const Digest *a, const Digest *b) {
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

char *digest_to_hex(const Digest *digest, char buffer[static DIGEST_HEX_MAX]);
/* 0, or -EINVAL unless @hex starts with exactly 32 lower-case hex digits; what follows them is the caller's. */
int digest_from_hex(const char *hex, Digest *ret);
