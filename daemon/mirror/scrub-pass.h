/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One pass over the files of a mirror: each is read once, a slice at a time, and its digest is compared with the one
 * that was verified when it was staged or saved.
 *
 * A file that differs from the base in size, mtime, ctime or inode, or is open for writing, is not judged here: the
 * next scan decides about it. Blocks; belongs to one thread at a time. */

#include "base/base.h"
#include "base/pathset.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct ScrubPass ScrubPass;

/* A file that is not what it was. Begins as zeros. */
typedef struct ScrubFinding {
        Entry entry;    /* as the base has it, and the mirror too except for the bytes */
        Digest found;
        /* positive errno: it could not be read (memory known by the kernel to be bad gives EIO); 0: .found is valid */
        int error;
        bool has_links; /* the inode has other names */
} ScrubFinding;
void scrub_pass_finding_done(ScrubFinding *finding);

/* A pass over all files that @base says are in the mirror, with a digest: the first name of those that have several, no
 * links, nothing that is on disk only. */
int scrub_pass_new(ScrubPass **ret, const Manifest *base);
/* The same for some files only: @chosen is the sorted set of their names. */
int scrub_pass_new_of(ScrubPass **ret, const Manifest *base, const PathSet *chosen);
ScrubPass *scrub_pass_free(ScrubPass *pass);
DEFINE_CLEANUP(ScrubPass, scrub_pass_free)

/* Bytes and files of the pass; holes count as bytes. */
uint64_t scrub_pass_bytes(const ScrubPass *pass);
size_t scrub_pass_files(const ScrubPass *pass);

/* Reads on below @mirrorfd, for about @max bytes (a file costs 64 KiB more than it has). The cost is added to *cost.
 * 0: the pass is over; SCRUB_PASS_MORE; SCRUB_PASS_FOUND: a file is not what it was, and @ret, which the caller frees,
 * says which; or -ECANCELED, -ENOMEM. *ret_changed is set if a file differs from the base. */
enum { SCRUB_PASS_MORE = 1, SCRUB_PASS_FOUND };
int scrub_pass_read(ScrubPass *pass, int mirrorfd, uint64_t max, const atomic_bool *cancel, uint64_t *cost,
                    ScrubFinding *ret, bool *ret_changed);

/* Closes the file at hand, so that nothing keeps its memory if it is replaced. When the pass goes on, the file is read
 * from its beginning. */
void scrub_pass_let_go(ScrubPass *pass);

/* The files found good, sorted; the caller's from then on. */
Manifest *scrub_pass_take_good(ScrubPass *pass);

/* --- how fast, and when; pure --- */

/* Bytes per second at which @bytes are read within half of @span_usec; not less than 64 MiB. */
uint64_t scrub_pass_rate(uint64_t bytes, uint64_t span_usec);

/* Bytes to be read at a time: an eighth of a second at that rate, but no more than can be read in some 10 ms. */
uint64_t scrub_pass_slice(uint64_t rate);
