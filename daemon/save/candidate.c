/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A file of the mirror that is to be saved. See save/candidate.h. */

#include "save/candidate.h"

#include "os/fs.h"

#include <fcntl.h>

/* A change of any kind moves the ctime. So does unlink(), but who could still write then would have had it open
 * before. */
bool original_is(const struct stat *st, const Entry *seen) {
        return S_ISREG(st->st_mode) && (uint64_t) st->st_size == seen->size && fs_nsec(&st->st_mtim) == seen->mtime_nsec &&
               st->st_ino == seen->ino && (fs_nsec(&st->st_ctim) == seen->ctime_nsec || st->st_nlink == 0);
}

int original_check(Original *original) {
        if (fstat(original->fd, &original->st) < 0)
                return -errno;
        return original_is(&original->st, original->seen) ? 0 : SAVE_CHANGED;
}

int original_open(Original *ret, int mirrorfd, const Entry *seen) {
        Original original = { .seen = seen };
        int r;

        original.fd = fs_open_beneath(mirrorfd, seen->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
        if (original.fd == -ENOENT)
                return SAVE_GONE;
        if (original.fd == -ENOTDIR || original.fd == -ELOOP || original.fd == -EXDEV || original.fd == -ENXIO)
                return SAVE_CHANGED;
        if (original.fd < 0)
                return original.fd;
        r = original_check(&original);
        if (r == 0 && fs_is_being_written(original.fd))
                r = SAVE_BUSY;
        if (r == 0)
                *ret = original;
        else
                original_done(&original);
        return r;
}

void original_done(Original *original) {
        original->fd = close_fd(original->fd);
}
