/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file cut into chunks of data. Holes are what lies between them. */

#include "base/base.h"

typedef struct Chunk {
        uint64_t offset, length; /* bytes */
        bool was_cached;         /* most of it was in the page cache before we came */
        uint64_t cached_parts;   /* a bit for each part, see chunks_part(): something of it was in the page cache */
        bool copied;             /* for copy */
} Chunk;

typedef struct Chunks {
        Chunk *items;
        size_t n;
        bool sparse; /* there are holes */
} Chunks;

/* A chunk has up to 64 parts of whole pages, all but the last of this size. */
uint64_t chunks_part(const Chunk *chunk);

/* Cuts the first @size bytes of @fd into chunks of at most @chunk_size. @room is what the scan measured as data:
 * where it is all, the file is not searched for holes. Reads no data. */
int chunks_init(Chunks *ret, int fd, uint64_t size, uint64_t room, uint64_t chunk_size);
void chunks_done(Chunks *chunks);
