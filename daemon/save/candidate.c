/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A file of the mirror that is to be saved. See save/candidate.h. */

#include "save/candidate.h"

#include "os/fs.h"

#include <fcntl.h>

/* A change of any kind moves the ctime. So does unlink(), but who could still write then would have had it open
 * before. */
bool candidate_is_same(const struct stat *st, const Entry *seen) {
        return S_ISREG(st->st_mode) && (uint64_t) st->st_size == seen->size &&
               fs_nsec(&st->st_mtim) == seen->mtime_nsec && st->st_ino == seen->ino &&
               (fs_nsec(&st->st_ctim) == seen->ctime_nsec || st->st_nlink == 0);
}

int candidate_check(Candidate *candidate) {
        if (fstat(candidate->fd, &candidate->st) < 0)
                return -errno;
        return candidate_is_same(&candidate->st, candidate->seen) ? 0 : SAVE_CHANGED;
}

int candidate_open(Candidate *ret, int mirrorfd, const Entry *seen) {
        Candidate candidate = { .seen = seen };
        int r;

        candidate.fd = fs_open_beneath(mirrorfd, seen->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
        if (candidate.fd == -ENOENT)
                return SAVE_GONE;
        if (candidate.fd == -ENOTDIR || candidate.fd == -ELOOP || candidate.fd == -EXDEV || candidate.fd == -ENXIO)
                return SAVE_CHANGED;
        if (candidate.fd < 0)
                return candidate.fd;
        r = candidate_check(&candidate);
        if (r == 0 && fs_is_being_written(candidate.fd))
                r = SAVE_BUSY;
        if (r == 0)
                *ret = candidate;
        else
                candidate_done(&candidate);
        return r;
}

void candidate_done(Candidate *candidate) {
        candidate->fd = close_fd(candidate->fd);
}
