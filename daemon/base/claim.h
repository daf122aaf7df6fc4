/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The digest that a client puts into a file's name: SHA-256 (Ollama "sha256-<64 hex>", Hugging Face LFS blobs
 * "<64 hex>") or a git blob id (Hugging Face "<40 hex>": SHA-1 of "blob <size>\0" and the content). The only user of
 * libgcrypt. */

#include "base/base.h"

typedef enum ClaimKind { CLAIM_NONE, CLAIM_SHA256, CLAIM_GIT_BLOB } ClaimKind;

typedef struct Claim {
        ClaimKind kind;
        uint8_t bytes[32]; /* CLAIM_GIT_BLOB uses the first 20 */
} Claim;

enum { CLAIM_HEX_MAX = 65 };

/* Call it once, before the first stream and before there are other threads. 0, or -ENOSYS if the library is older
 * than the one that the program was built with. */
int claim_init(void);

/* 0, or -EINVAL unless @hex is exactly 64 (CLAIM_SHA256) or 40 (CLAIM_GIT_BLOB) hex digits of either case, @length
 * of them. */
int claim_from_hex(ClaimKind kind, const char *hex, size_t length, Claim *ret);
char *claim_to_hex(const Claim *claim, char buffer[static CLAIM_HEX_MAX]);

/* Computes such a digest over a stream of bytes. @size is that of the whole file (the git blob id begins with it). A
 * stream is used by one thread at a time. */
typedef struct ClaimStream ClaimStream;
int claim_stream_new(ClaimStream **ret, ClaimKind kind, uint64_t size);
ClaimStream *claim_stream_free(ClaimStream *stream);
DEFINE_CLEANUP(ClaimStream, claim_stream_free)
void claim_stream_update(ClaimStream *stream, const void *data, size_t length);
void claim_stream_zeros(ClaimStream *stream, uint64_t length); /* what a hole reads as */
Claim claim_stream_get(ClaimStream *stream); /* ends the stream */

bool claim_equal(const Claim *a, const Claim *b);
