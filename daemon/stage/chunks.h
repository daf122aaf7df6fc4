/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A file cut into chunks of data, which are what workers copy. Between them are its holes. */

#include "base/base.h"

typedef struct Chunk {
        uint64_t offset, length; /* bytes */
        bool was_cached;         /* most of it was in the page cache before it was read */
        uint64_t cached_parts;   /* a bit for each part, see chunks_part(): some of it was */
        bool copied;             /* used by stage/copy.c, under its lock */
} Chunk;

typedef struct Chunks {
        Chunk *items; /* in the order of the file, owned */
        size_t n;
        bool sparse;  /* the file has holes */
} Chunks;

/* The size of the parts of a chunk, in bytes: whole pages, at most 64 parts. */
uint64_t chunks_part(const Chunk *chunk);

/* Cuts the first @size bytes of @fd into chunks of at most @chunk_size. @room is how much of it the scan measured as
 * data: if that is all, the file is not searched for holes. Reads no data. 0 or a negative errno. */
int chunks_init(Chunks *ret, int fd, uint64_t size, uint64_t room, uint64_t chunk_size);
void chunks_done(Chunks *chunks);
