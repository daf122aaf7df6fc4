/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How the chunks of one file get from the source into its temporary in the mirror, and the choice between the ways:
 *
 * sendfile  Through the source's page cache; the kernel writes. Serves every file. What was read can be digested
 * once more from the page cache. direct    O_DIRECT: no page cache, a fraction of the processor time. buffered
 * pread(), where direct does not fit: the filesystem refuses, the bytes are in the page cache anyway, or the file is
 * small.
 *
 * The last two go into the mapped pages of the mirror if the digest of the bytes is on record, which then vouches
 * for them: what was read is nowhere but in the mirror. Any number of workers do that at once. Else, and where the
 * mirror has pages of 4 KiB (each would be a fault, and a piece of its own for the disk), they go into a buffer of
 * the worker, where what was read is digested while it is in the processor's cache, and are written from there. That
 * takes half of the processor time that sendfile() and a second reading of the page cache take.
 *
 * By itself a file that is cold, and that cannot be read directly, goes by sendfile. */

#include "base/base.h"
#include "base/ratelimit.h"
#include "config/config.h"
#include "os/directio.h"
#include "plan/fit.h"
#include "stage/chunks.h"

typedef struct CopyMover {
        CopyMethod method;  /* as configured */
        int sourcefd, mirrorfd; /* borrowed */
        uint64_t size, data; /* of the file, and of what is in it without the holes */
        enum { COPY_MOVER_SENDFILE, COPY_MOVER_MAPPED, COPY_MOVER_BUFFER } way;
        DirectioFile direct;
        RateLimit *limit;   /* borrowed; NULL for none */
        const atomic_bool *cancel;
        atomic_uint_fast64_t *progress; /* bytes are added */
        atomic_uint_fast64_t direct_bytes; /* came past the page cache */
} CopyMover;

/* What a worker brings along. */
typedef struct CopyWorker {
        int outfd;       /* a description of the temporary that is this worker's alone, for sendfile */
        uint8_t *buffer; /* for COPY_MOVER_BUFFER: copy_method_buffer_size() bytes, aligned to that or to a page */
        /* By COPY_MOVER_BUFFER: sees all that was read, in order within a chunk, before it is written. NULL for
         * nobody. Other than 0 ends the move, which returns it. */
        int (*seen)(void *userdata, const Chunk *chunk, uint64_t offset, const void *data, size_t length);
        void *userdata;
} CopyWorker;

/* For a file that is open at @sourcefd and whose room is reserved at @mirrorfd. @on_record: its digest is known.
 * @method is what the configuration says; a way that does not fit gives way to the next, sendfile last. @refusals
 * may be NULL. */
void copy_method_init(CopyMover *ret, CopyMethod method, bool on_record, int sourcefd, int mirrorfd, uint64_t size,
                      const Chunks *chunks, DirectioRefusals *refusals);
/* The way that most of the file came, once it has. */
CopyMethod copy_method_used(const CopyMover *route);
/* As CopyMethod= has it: a literal, NULL for COPY_METHOD_AUTO. */
const char *copy_method_name(CopyMethod method);

void copy_method_done(CopyMover *route);

/* 0 where none is needed. At most FIT_COPY_BUFFER: a page of 2 MiB that is written whole is not cleared before. */
size_t copy_method_buffer_size(const CopyMover *route);

enum { COPY_MOVER_SHORT = 1, COPY_MOVER_CANCELLED };

/* Where and in which step a move failed: COPY_MOVER_READ, or COPY_MOVER_WRITE (of the copy). By sendfile the kernel
 * does not say which, and it is told as a read. */
#define COPY_MOVER_READ "read"
#define COPY_MOVER_WRITE "write the copy of"
typedef struct CopyMoverError {
        uint64_t offset;
        const char *what; /* a literal */
} CopyMoverError;

/* Moves one chunk; several threads at once, each another chunk. Negative errno: *reterr says where.
 * COPY_MOVER_SHORT: the source ends before the chunk does. */
int copy_method_move(CopyMover *route, const Chunk *chunk, const CopyWorker *worker, CopyMoverError *reterr);
