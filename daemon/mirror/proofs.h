/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads in the background the files of a mirror that may have been written (ENTRY_UNPROVEN), and compares their bytes
 * with the digest in the base. Files of one inode are read once, by whichever of its names leads to it.
 *
 * A proof says something about a file only if nothing wrote to it since: one that is reported again while it is being
 * read, or before the result was taken, is read again, once for all reports until then. What is open for writing, or is
 * not there as the base says, is not read again before it is reported again, or the base has other names for it.
 *
 * Loop thread only, but for the proof that a job has in hand. */

#include "base/base.h"
#include "base/pathset.h"
#include "base/pool.h"
#include "config/config.h"
#include "mirror/proof.h"
#include "stage/attachment.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef struct Proofs {
        Job job;                        /* first: reads one file */
        Pool *pool;                     /* borrowed, like what the next two point at */
        const MirrorConfig *config;     /* jobs do not read it */
        const Attachment *attachment;   /* only .mount.fd is used */
        atomic_uint_fast64_t *progress; /* the bytes that are read are added; borrowed */
        void (*ended)(void *userdata);  /* a job came back, and no further one was started */
        void *userdata;

        bool running;        /* a job is out */
        Proof **items;       /* sorted by inode */
        size_t n;
        size_t next;         /* no one before it is waiting */
        size_t n_waiting, n_results;

        Proof *current;      /* the job's while it is out */
        bool dropped;        /* .current is not in .items any more */
        int mirrorfd;        /* the job's */
        atomic_bool cancel;
} Proofs;

/* The fields up to userdata are set by the caller; the rest is zeros. Not while a job is out. */
void proofs_done(Proofs *proofs);

/* These entries of the base were marked again: reads or results from before do not count, by whichever names the files
 * were known. proofs_update() is to follow. */
void proofs_note(Proofs *proofs, const Manifest *base, const PathSet *marked);

/* Takes over from the base, which nothing else has at this moment, which files are to be read, and begins if no job is
 * out. What is being read goes on, if it still is to be read. */
void proofs_update(Proofs *proofs, const Manifest *base);

/* Puts the results into the base, which nothing else has at this moment, if it still has these objects, by all their
 * names. Bytes as before: it is not ENTRY_UNPROVEN any more. Other bytes: it is ENTRY_MIRROR_DIFFERS instead. In both
 * cases it gets the ctime that was seen. True if that changed the base; @ret_altered: how many files were altered. */
bool proofs_take(Proofs *proofs, Manifest *base, size_t *ret_altered);

/* Gives up what waits and what is being read, until the next proofs_update(). A job that is out comes back within a
 * fraction of a second; then ended() is called. Results stay. */
void proofs_stop(Proofs *proofs);

/* No job is out, and nothing waits. There may be results, and what could not be read. */
bool proofs_is_over(const Proofs *proofs);

/* And there are no results that nobody has taken yet. */
bool proofs_is_settled(const Proofs *proofs);

/* How many files were open for writing. */
size_t proofs_n_busy(const Proofs *proofs);
