/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How the chunks of one file get from the source into its temporary file in the mirror, and which way is chosen:
 *
 *   sendfile  through the source's page cache, written by the kernel; works for every file. The source's bytes can be
 *             digested from the page cache afterwards.
 *   direct    O_DIRECT (os/directio.h): no page cache, and a fraction of the processor time.
 *   buffered  pread(), where direct reads do not pay: the filesystem refuses them, the bytes are in the page cache
 *             anyway, or the file is small.
 *
 * Direct and buffered reads go straight into the mapped pages of the mirror if the digest of the bytes is on record:
 * comparing the copy with it is enough, although the bytes that were read exist nowhere but in the mirror. Without a
 * record, or where the mirror has pages of 4 KiB (each would be a page fault and a separate piece for the disk), they
 * go into a buffer of the worker, are digested there while they are in the processor's cache, and are written from
 * there. That takes half the processor time of sendfile() with a second reading of the page cache.
 *
 * CopyMethod=auto means sendfile for a file that is not cached and cannot be read directly. */

#include "base/base.h"
#include "base/ratelimit.h"
#include "config/config.h"
#include "os/directio.h"
#include "plan/fit.h"
#include "stage/chunks.h"

/* One file on its way. Any number of workers move its chunks at once. */
typedef struct CopyMover {
        CopyMethod method;      /* as configured */
        enum { COPY_MOVER_SENDFILE, COPY_MOVER_MAPPED, COPY_MOVER_BUFFER } way; /* as chosen */
        DirectioFile direct;    /* of the source; closed if it cannot be read directly */
        int sourcefd, mirrorfd; /* borrowed */
        uint64_t size, data;    /* of the file; of what is not in holes; bytes */
        RateLimit *limit;       /* borrowed; NULL for none */
        const atomic_bool *cancel;         /* borrowed; NULL for never */
        atomic_uint_fast64_t *progress;    /* bytes read are added; borrowed */
        atomic_uint_fast64_t direct_bytes; /* read directly so far */
} CopyMover;

/* What each worker has of its own. */
typedef struct CopyWorker {
        int outfd;       /* for sendfile: an open file description of the temporary file, for this worker alone */
        uint8_t *buffer; /* for COPY_MOVER_BUFFER: copy_method_buffer_size() bytes, aligned to that or to a page */
        /* For COPY_MOVER_BUFFER: called with all bytes that were read, in order within a chunk, before they are
         * written. A result other than 0 ends the move, which returns it. NULL for none. */
        int (*seen)(void *userdata, const Chunk *chunk, uint64_t offset, const void *data, size_t length);
        void *userdata;
} CopyWorker;

/* Chooses the way for a file that is open at @sourcefd and whose space is reserved at @mirrorfd. @method is that of the
 * configuration; one that does not suit the file gives way to the next, sendfile last. @on_record: its digest is known.
 * @refusals may be NULL. The caller sets .limit, .cancel and .progress. */
void copy_method_init(CopyMover *ret, CopyMethod method, bool on_record, int sourcefd, int mirrorfd, uint64_t size,
                      const Chunks *chunks, DirectioRefusals *refusals);
void copy_method_done(CopyMover *mover);

/* The method by which most of the file was copied, when it has been. */
CopyMethod copy_method_used(const CopyMover *mover);

/* As CopyMethod= has it: a literal, NULL for COPY_METHOD_AUTO. */
const char *copy_method_name(CopyMethod method);

/* 0 if no buffer is needed. At most FIT_COPY_BUFFER, because the kernel does not clear a page of 2 MiB that is written
 * as a whole. */
size_t copy_method_buffer_size(const CopyMover *mover);

enum { COPY_MOVER_SHORT = 1, COPY_MOVER_CANCELLED };

/* Where a move failed, and in which of two steps. By sendfile the kernel does not say which of them; it is reported as
 * a read. */
#define COPY_MOVER_READ "read"
#define COPY_MOVER_WRITE "write the copy of"
typedef struct CopyMoverError {
        uint64_t offset;
        const char *what; /* a literal */
} CopyMoverError;

/* Moves one chunk. Several threads at once, each another chunk. 0; COPY_MOVER_SHORT: the source ends before the chunk
 * does; COPY_MOVER_CANCELLED; or a negative errno, with *reterr. */
int copy_method_move(CopyMover *mover, const Chunk *chunk, const CopyWorker *worker, CopyMoverError *reterr);
