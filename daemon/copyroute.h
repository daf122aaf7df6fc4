/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How the chunks of one file get from the source into its temporary in the mirror, and the choice between the ways:
 *
 * sendfile  Through the source's page cache; the kernel writes. Serves every file. What was read can be digested once more from the page cache,
 *           so it is the way of all bytes that nothing is known of. Writers of one file wait for each other.
 * direct    O_DIRECT into the mapped pages of the mirror: no page cache, a fraction of the processor time, any number of readers at once.
 *           What was read is nowhere but in the mirror, so only its digest on record can vouch for it.
 * buffered  pread() into the mapped pages, where direct does not fit: the filesystem refuses, or the bytes are in the page cache anyway.
 *
 * Into pages of 4 KiB the last two are slower than the first: each page is a fault, and a piece of its own for the disk. */

#include "base.h"
#include "chunks.h"
#include "config.h"
#include "directio.h"
#include "ratelimit.h"

typedef struct CopyRoute {
        CopyMethod method;  /* AUTO: mapped, direct or buffered as it fits each chunk */
        int sourcefd, mirrorfd; /* borrowed */
        uint64_t size;      /* of the file */
        bool mapped;        /* false: sendfile */
        DirectFile direct;
        RateLimit *limit;   /* borrowed; NULL for none */
        const atomic_bool *cancel;
        atomic_uint_fast64_t *progress; /* bytes are added */
        atomic_uint_fast64_t direct_bytes; /* came past the page cache */
} CopyRoute;

/* For a file that is open at @sourcefd and whose room is reserved at @mirrorfd. @on_record: its digest is known. @method is what the configuration
 * says; a way that does not fit gives way to the next, sendfile last. @refusals may be NULL. */
void copyroute_init(CopyRoute *ret, CopyMethod method, bool on_record, int sourcefd, int mirrorfd, uint64_t size, const Chunks *chunks,
                    DirectRefusals *refusals);
/* The way that most of the file came, once it has, as CopyMethod= has it. A literal. */
const char *copyroute_name(const CopyRoute *route);

void copyroute_done(CopyRoute *route);

enum { COPYROUTE_SHORT = 1, COPYROUTE_CANCELLED };

/* Moves one chunk; several threads at once, each another chunk. By sendfile they write to @outfd, a description of the temporary that is the caller's
 * alone; it is not used otherwise. Negative errno: a read at *reterr_offset failed. COPYROUTE_SHORT: the source ends before the chunk does. */
int copyroute_move(CopyRoute *route, const Chunk *chunk, int outfd, uint64_t *reterr_offset);
