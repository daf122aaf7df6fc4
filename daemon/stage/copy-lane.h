/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A digest that follows the copying of one file through its chunks in order: of the source's bytes, of the copy's,
 * or of what the file's name states. Holes between the chunks are digested as what they read as. What is .busy or
 * .next belongs to the owner's lock, the rest to whoever is at it. */

#include "base/base.h"
#include "base/claim.h"
#include "base/digest.h"
#include "stage/chunks.h"

typedef struct CopyLane {
        bool used;            /* set once */
        bool by_copier;       /* set once: whoever copies digests on the way, each chunk in its turn */
        DigestStream *stream; /* owned by who made it */
        ClaimStream *claim;   /* in its place */
        uint64_t position;    /* bytes digested */
        size_t next;          /* chunk */
        bool busy;
} CopyLane;

/* What was seen of the pages of a mapping. */
typedef struct CopyLanePages {
        uint64_t huge_bytes, measured_bytes; /* in pages of 2 MiB, of those that were looked at */
        bool collapse_fails;                 /* no more of them are to be had */
} CopyLanePages;

/* Up to so many bytes are read at once. */
enum { COPY_LANE_READ_MAX = 256 * 1024 };

enum { COPY_LANE_SHORT = 1 };

/* @length bytes that lie at @offset, and what hole there is before them. */
void copy_lane_update(CopyLane *lane, uint64_t offset, const void *data, size_t length);

/* A hole up to @offset. */
void copy_lane_skip(CopyLane *lane, uint64_t offset);

/* A chunk, with read(). 0; COPY_LANE_SHORT: the file ends before; a negative errno at *reterr_offset. */
int copy_lane_digest_by_reading(CopyLane *lane, int fd, const Chunk *chunk, uint64_t *reterr_offset);

/* The same through a mapping, a window at a time, because what is mapped counts as ours. Adds to @pages; where pages
 * of 2 MiB are missing although the filesystem gives them, they are asked for once more (a page may have become free
 * since the room was reserved). */
int copy_lane_digest_mapping(CopyLane *lane, int fd, const Chunk *chunk, CopyLanePages *pages, uint64_t *reterr_offset);
