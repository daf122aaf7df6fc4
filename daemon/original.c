/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A file of the mirror that is to be saved. See original.h. */

#include "original.h"

#include "fs.h"

#include <fcntl.h>
#include <signal.h>

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

/* A read lease is granted only while there is no writable descriptor and no writable shared mapping. It is
 * given back at once, for as long as it is held an open for writing waits. Who comes just then has the kernel
 * send us a signal: by default SIGIO, which would end the process; SIGURG does nothing to one that has not
 * asked for it, whatever main() does with signals. Where there are no leases (a user that does not own the
 * file, some filesystems), that it has held still has to do. */
static bool is_being_written(int fd) {
        (void) fcntl(fd, F_SETSIG, SIGURG);
        if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
                return errno == EAGAIN;
        (void) fcntl(fd, F_SETLEASE, F_UNLCK);
        return false;
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
        if (r == 0 && is_being_written(original.fd))
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
