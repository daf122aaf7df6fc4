/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One file of a mirror that may have been written. See mirror/proof.h. */

#include "mirror/proof.h"

#include "os/file-digest.h"
#include "os/fs.h"
#include "os/tree-access.h"

#include <fcntl.h>

/* A file that is linked, renamed or given another owner while it is read gets so many tries. */
enum { TRIES = 3 };

/* What came of one try, beside a negative errno. */
enum { READ_AGAIN = 1, READ_BUSY };

Proof *proof_free(Proof *proof) {
        if (!proof)
                return NULL;
        pathset_done(&proof->names);
        free(proof);
        return NULL;
}

bool proof_is_needed(const Entry *base) {
        return manifest_entry_is_data(base) && base->flags & ENTRY_HAS_DIGEST && base->flags & ENTRY_UNPROVEN &&
               !(base->flags & (ENTRY_RECORD | ENTRY_LINKED | ENTRY_MIRROR_DIFFERS));
}

bool proof_is_of(const Proof *proof, const Entry *base) {
        return proof->ino == base->ino && proof->size == base->size && proof->mtime_nsec == base->mtime_nsec &&
               digest_equal(&proof->digest, &base->digest);
}

static bool is_as_expected(const struct stat *st, const Proof *proof) {
        return S_ISREG(st->st_mode) && st->st_ino == proof->ino && (uint64_t) st->st_size == proof->size &&
               fs_nsec(&st->st_mtim) == proof->mtime_nsec;
}

/* One try: 0, a positive outcome, or a negative errno; -ESTALE if it is not as the base says. READ_AGAIN: its ctime
 * moved meanwhile. */
static int read_once(Proof *proof, int fd, const FileDigestOptions *options) {
        struct stat before, after;
        int r;

        if (fstat(fd, &before) < 0)
                return -errno;
        if (!is_as_expected(&before, proof))
                return -ESTALE;
        if (tree_access_is_being_written(fd))
                return READ_BUSY;
        r = file_digest_of(fd, options, &proof->found);
        if (r < 0)
                return r;
        if (fstat(fd, &after) < 0)
                return -errno;
        if (!is_as_expected(&after, proof))
                return -ESTALE;
        proof->seen_nsec = fs_nsec(&before.st_ctim);
        return fs_nsec(&after.st_ctim) == proof->seen_nsec ? 0 : READ_AGAIN;
}

static bool is_same(const Proof *proof) {
        return digest_equal(&proof->found, &proof->digest);
}

/* 0, READ_BUSY or a negative errno. */
static int read_name(Proof *proof, int mirrorfd, const char *name, const FileDigestOptions *options) {
        _cleanup_(close_fdp) int fd = fs_open_beneath(mirrorfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        int r = READ_AGAIN;

        if (fd < 0)
                return fd;
        for (unsigned i = 0; i < TRIES && r == READ_AGAIN; i++)
                r = read_once(proof, fd, options);
        if (r == READ_AGAIN)
                return -EAGAIN;
        /* a process that opened it for writing since may have changed it half-way through */
        return r == 0 && !is_same(proof) && tree_access_is_being_written(fd) ? READ_BUSY : r;
}

/* A name that is gone, or another file's, says nothing about the other names. */
static bool is_of_this_name_only(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -ELOOP || error == -ENXIO || error == -ESTALE;
}

bool proof_is_missing(const Proof *proof) {
        return is_of_this_name_only(proof->error);
}

static ProofState outcome_of(const Proof *proof, int r) {
        if (r < 0)
                return PROOF_UNREAD;
        if (r == READ_BUSY)
                return PROOF_BUSY;
        return is_same(proof) ? PROOF_SAME : PROOF_ALTERED;
}

void proof_read(Proof *proof, int mirrorfd, const atomic_bool *cancel, atomic_uint_fast64_t *progress) {
        FileDigestOptions options = { .cancel = cancel, .progress = progress };
        int r = -ESTALE;

        for (size_t i = 0; i < proof->names.n && is_of_this_name_only(r); i++) {
                r = read_name(proof, mirrorfd, proof->names.items[i], &options);
                proof->name = i;
        }
        proof->error = MIN(r, 0);
        proof->outcome = outcome_of(proof, r);
}
