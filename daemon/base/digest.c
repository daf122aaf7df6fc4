/* SPDX-License-Identifier: GPL-2.0-or-later */

/* XXH3-128 of a stream of bytes. See base/digest.h. */

#include "base/digest.h"

#include "base/xxh.h"

struct DigestStream {
        const XxhForm *hasher;
        void *state;
};

int digest_stream_new(DigestStream **ret) {
        _cleanup_(digest_stream_freep) DigestStream *stream = calloc(1, sizeof(*stream));

        if (!stream)
                return -ENOMEM;
        stream->hasher = xxh_form(0);
        stream->state = stream->hasher->state_new();
        if (!stream->state)
                return -ENOMEM;
        digest_stream_reset(stream);
        *ret = TAKE_PTR(stream);
        return 0;
}

DigestStream *digest_stream_free(DigestStream *stream) {
        if (stream && stream->state)
                stream->hasher->state_free(stream->state);
        free(stream);
        return NULL;
}

void digest_stream_reset(DigestStream *stream) {
        stream->hasher->reset(stream->state);
}

void digest_stream_update(DigestStream *stream, const void *data, size_t length) {
        stream->hasher->update(stream->state, data, length);
}

void digest_stream_zeros(DigestStream *stream, uint64_t length) {
        static const uint8_t zeros[64 * 1024];

        while (length > 0) {
                size_t n = (size_t) MIN(length, (uint64_t) sizeof(zeros));

                digest_stream_update(stream, zeros, n);
                length -= n;
        }
}

Digest digest_stream_get(DigestStream *stream) {
        Digest digest;

        stream->hasher->get(stream->state, digest.bytes);
        return digest;
}

char *digest_to_hex(const Digest *digest, char buffer[static DIGEST_HEX_MAX]) {
        static const char hex[] = "0123456789abcdef";

        for (size_t i = 0; i < sizeof(digest->bytes); i++) {
                buffer[2 * i] = hex[digest->bytes[i] >> 4];
                buffer[2 * i + 1] = hex[digest->bytes[i] & 15];
        }
        buffer[2 * sizeof(digest->bytes)] = '\0';
        return buffer;
}

static int hex_value(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int digest_from_hex(const char *hex, Digest *ret) {
        Digest digest;

        for (size_t i = 0; i < sizeof(digest.bytes); i++) {
                int high = hex_value(hex[2 * i]), low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);

                if (low < 0)
                        return -EINVAL;
                digest.bytes[i] = (uint8_t) (high << 4 | low);
        }
        *ret = digest;
        return 0;
}
