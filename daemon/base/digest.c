/* SPDX-License-Identifier: GPL-2.0-or-later */

/* XXH3-128 of a stream of bytes. See base/digest.h. */

#include "base/digest.h"

#include "base/hex.h"
#include "base/xxh.h"

struct DigestStream {
        const XxhVariant *variant;
        void *state;
};

int digest_stream_new(DigestStream **ret) {
        _cleanup_(digest_stream_freep) DigestStream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return -ENOMEM;
        stream->variant = xxh_variant(0);
        stream->state = stream->variant->state_new();
        if (!stream->state)
                return -ENOMEM;
        *ret = TAKE_PTR(stream);
        return 0;
}

DigestStream *digest_stream_free(DigestStream *stream) {
        if (stream && stream->state)
                stream->variant->state_free(stream->state);
        free(stream);
        return NULL;
}

void digest_stream_update(DigestStream *stream, const void *data, size_t length) {
        stream->variant->update(stream->state, data, length);
}

void digest_stream_zeros(DigestStream *stream, uint64_t length) {
        static const uint8_t zeros[64 * KIB];

        while (length > 0) {
                size_t n = (size_t) MIN(length, (uint64_t) sizeof(zeros));

                digest_stream_update(stream, zeros, n);
                length -= n;
        }
}

Digest digest_stream_get(DigestStream *stream) {
        Digest digest;

        stream->variant->get(stream->state, digest.bytes);
        return digest;
}

char *digest_to_hex(const Digest *digest, char buffer[static DIGEST_HEX_MAX]) {
        return hex_encode(digest->bytes, sizeof(digest->bytes), buffer);
}

int digest_from_hex(const char *hex, Digest *ret) {
        Digest digest;

        if (!hex_decode(hex, sizeof(digest.bytes), false, digest.bytes))
                return -EINVAL;
        *ret = digest;
        return 0;
}
