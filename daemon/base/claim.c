/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Digests that file names state, and the same digests of what the files hold. See base/claim.h. */

#include "base/claim.h"

#include "base/hex.h"

#include <gcrypt.h>

struct ClaimStream {
        gcry_md_hd_t md;
        ClaimKind kind;
};

static size_t claim_length(ClaimKind kind) {
        return kind == CLAIM_SHA256 ? 32 : kind == CLAIM_GIT_BLOB ? 20 : 0;
}

int claim_init(void) {
        if (!gcry_check_version(GCRYPT_VERSION))
                return -ENOSYS;
        if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
                return 0; /* another library of this process did it */
        /* Nothing here is a secret, and locked memory would need a privilege. */
        (void) gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
        (void) gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
        return 0;
}

int claim_from_hex(ClaimKind kind, const char *hex, size_t length, Claim *ret) {
        Claim claim = { .kind = kind };

        if (kind == CLAIM_NONE || length != claim_length(kind) * 2 ||
            !hex_decode(hex, length / 2, true, claim.bytes))
                return -EINVAL;
        *ret = claim;
        return 0;
}

char *claim_to_hex(const Claim *claim, char buffer[static CLAIM_HEX_MAX]) {
        return hex_encode(claim->bytes, claim_length(claim->kind), buffer);
}

int claim_stream_new(ClaimStream **ret, ClaimKind kind, uint64_t size) {
        _cleanup_(claim_stream_freep) ClaimStream *stream = calloc(1, sizeof(*stream));
        gcry_error_t error;
        char header[32];
        int n;

        assert(kind != CLAIM_NONE);
        if (!stream)
                return -ENOMEM;
        stream->kind = kind;
        error = gcry_md_open(&stream->md, kind == CLAIM_SHA256 ? GCRY_MD_SHA256 : GCRY_MD_SHA1, 0);
        if (error) {
                stream->md = NULL;
                return gcry_err_code(error) == GPG_ERR_ENOMEM ? -ENOMEM : -ENOSYS;
        }
        if (kind == CLAIM_GIT_BLOB) {
                n = snprintf(header, sizeof(header), "blob %llu", (unsigned long long) size);
                gcry_md_write(stream->md, header, (size_t) n + 1); /* with the NUL */
        }
        *ret = TAKE_PTR(stream);
        return 0;
}

ClaimStream *claim_stream_free(ClaimStream *stream) {
        if (!stream)
                return NULL;
        gcry_md_close(stream->md);
        free(stream);
        return NULL;
}

void claim_stream_update(ClaimStream *stream, const void *data, size_t length) {
        gcry_md_write(stream->md, data, length);
}

void claim_stream_zeros(ClaimStream *stream, uint64_t length) {
        static const uint8_t zeros[64 * KIB];

        while (length > 0) {
                size_t n = (size_t) MIN(length, (uint64_t) sizeof(zeros));

                gcry_md_write(stream->md, zeros, n);
                length -= n;
        }
}

Claim claim_stream_get(ClaimStream *stream) {
        Claim claim = { .kind = stream->kind };

        memcpy(claim.bytes, gcry_md_read(stream->md, 0), claim_length(stream->kind));
        return claim;
}

bool claim_equal(const Claim *a, const Claim *b) {
        return a->kind == b->kind && memcmp(a->bytes, b->bytes, claim_length(a->kind)) == 0;
}
