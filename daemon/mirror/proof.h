/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One file of a mirror that may have been written, and the comparison of its bytes with the digest in the base. */

#include "base/base.h"
#include "base/digest.h"
#include "base/pathset.h"
#include "tree/manifest.h"

#include <stdatomic.h>

typedef enum ProofState {
        PROOF_WAITING,
        PROOF_READING,
        PROOF_SAME,    /* the bytes are those of the digest */
        PROOF_ALTERED, /* they are not */
        PROOF_BUSY,    /* a process has it open for writing */
        PROOF_UNREAD,  /* it is not there as the base says, or could not be read */
} ProofState;

/* One inode. */
typedef struct Proof {
        PathSet names;      /* that the base has for it, sorted */
        uint64_t ino, size; /* as in the base, like the next two */
        int64_t mtime_nsec, ctime_nsec;
        Digest digest;
        bool reported;      /* it was (ENTRY_WRITTEN); else there was a time in which not all was reported */

        ProofState state;
        bool again;         /* reported since it is being read */
        bool kept, taken;   /* used within one function */

        /* Written by the job, and read when it is back. */
        ProofState outcome;
        size_t name;        /* by which it was read */
        int64_t seen_nsec;  /* the ctime that the bytes were read with */
        Digest found;
        int error;          /* negative errno */
} Proof;

Proof *proof_free(Proof *proof);
DEFINE_CLEANUP(Proof, proof_free)

/* A file that is to be read: one that may have been written, and whose bytes are not known to be others. */
bool proof_is_needed(const Entry *base);

/* It is the proof of the very object that the entry names. */
bool proof_is_of(const Proof *proof, const Entry *base);

/* For a worker: reads the file below @mirrorfd, and writes the outcome. */
void proof_read(Proof *proof, int mirrorfd, const atomic_bool *cancel, atomic_uint_fast64_t *progress);

/* It was read by a name that led to no such file. */
bool proof_is_missing(const Proof *proof);

/* The file was read, so whether its bytes changed is known. */
static inline bool proof_is_result(const Proof *proof) {
        return proof->state == PROOF_SAME || proof->state == PROOF_ALTERED;
}
