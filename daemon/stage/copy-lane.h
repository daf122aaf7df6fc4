/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One digest that follows the copying of a file through its chunks in order: of the source's bytes, of the copy's
 * bytes, or the one that the file's name states. Holes between the chunks are digested as the zeros that they are read
 * as. .busy and .next are under the lock of the owner (stage/copy.c); the rest belongs to the thread that has set
 * .busy. */

#include "base/base.h"
#include "base/claim.h"
#include "base/digest.h"
#include "stage/chunks.h"

typedef struct CopyLane {
        bool used;            /* set once */
        bool by_copier;       /* set once: each worker digests the chunk that it copies, when it is its turn */
        DigestStream *stream; /* owned by the owner of the lane; NULL: .claim is used */
        ClaimStream *claim;   /* likewise */
        uint64_t position;    /* bytes digested */
        size_t next;          /* index of the next chunk */
        bool busy;            /* a worker digests that chunk */
} CopyLane;

/* The measured pages of a mapping. */
typedef struct CopyLanePages {
        uint64_t huge_bytes;     /* in pages of 2 MiB, */
        uint64_t measured_bytes; /* of so many */
        bool collapse_fails;     /* the kernel has no more pages of 2 MiB to give */
} CopyLanePages;

/* So many bytes are read at once at most. */
enum { COPY_LANE_READ_MAX = 256 * 1024 };

enum { COPY_LANE_SHORT = 1 };

/* Digests the hole up to @offset, and then @length bytes that are at @offset. */
void copy_lane_update(CopyLane *lane, uint64_t offset, const void *data, size_t length);

/* Digests the hole up to @offset. */
void copy_lane_skip(CopyLane *lane, uint64_t offset);

/* Digests a chunk with read(). 0; COPY_LANE_SHORT: the file ends before the chunk does; or a negative errno, at
 * *reterr_offset. */
int copy_lane_digest_by_reading(CopyLane *lane, int fd, const Chunk *chunk, uint64_t *reterr_offset);

/* The same through a mapping; a window at a time, because mapped pages count as memory of the daemon. Adds to @pages.
 * Where pages of 2 MiB are missing although the filesystem provides them, they are requested once more: some
 * may have become free since the space was reserved. */
int copy_lane_digest_mapping(CopyLane *lane, int fd, const Chunk *chunk, CopyLanePages *pages, uint64_t *reterr_offset);
