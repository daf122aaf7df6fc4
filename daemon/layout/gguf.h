/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How long a GGUF file must be, from its own header: versions 2 and 3, little-endian. For layout/structure.c.
 *
 * Layout: magic, version, number of tensors, number of key-value pairs; the pairs (vocabularies among them); for
 * each tensor name, dimensions, type and offset; padding up to a multiple of general.alignment; the tensors. */

#include "base/base.h"

/* 0 and the least length in bytes; GGUF_UNKNOWN: a version, type or size that this does not know; GGUF_CUT_OFF: the
 * header does not end within @size; GGUF_ABSURD: the numbers in it overflow; or a negative errno. Reads at most
 * 64 MiB, in small pieces. */
enum { GGUF_UNKNOWN = 1, GGUF_CUT_OFF, GGUF_ABSURD };
int gguf_length(int fd, uint64_t size, uint64_t *ret);
