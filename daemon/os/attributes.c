/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Owner, permission bits, mtime and user xattrs, from one file to another. See os/attributes.h. */

#include "os/attributes.h"

#include "os/fs.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* The filesystem has no user xattrs, or no room for one: the file is complete without it. */
static bool is_refusal(int error) {
        return error == EOPNOTSUPP || error == ENOSPC;
}

static int copy_xattr(int fromfd, int tofd, const char *name, bool *ret_lost) {
        _cleanup_(freep) char *value = malloc(XATTR_SIZE_MAX);
        ssize_t n;

        if (!value)
                return -ENOMEM;
        n = fgetxattr(fromfd, name, value, XATTR_SIZE_MAX);
        if (n < 0)
                return errno == ENODATA ? 0 : -errno;
        if (fsetxattr(tofd, name, value, (size_t) n, 0) == 0)
                return 0;
        if (!is_refusal(errno))
                return -errno;
        *ret_lost = true;
        return 0;
}

int attributes_copy_xattrs(int fromfd, int tofd, bool *ret_lost) {
        _cleanup_(freep) char *names = NULL;
        ssize_t n = flistxattr(fromfd, NULL, 0);

        if (n <= 0)
                return n == 0 || errno == EOPNOTSUPP ? 0 : -errno;
        names = malloc((size_t) n);
        if (!names)
                return -ENOMEM;
        n = flistxattr(fromfd, names, (size_t) n);
        if (n < 0)
                return errno == ERANGE ? 0 : -errno; /* they are being changed, and the new ctime causes another copy */
        for (const char *name = names; name < names + n; name += strlen(name) + 1) {
                int r = strncmp(name, "user.", 5) == 0 ? copy_xattr(fromfd, tofd, name, ret_lost) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

int attributes_set_owner(int fd, const char *name, int flags, uint32_t uid, uint32_t gid) {
        if (fchownat(fd, name, uid, gid, flags) == 0)
                return 0;
        return errno == EPERM ? ATTRIBUTES_REFUSED : -errno;
}

int attributes_set_mtime(int fd, const char *name, int flags, int64_t mtime_nsec) {
        /* Not UTIME_OMIT for the atime: some filesystems in user space (bindfs 1.14) then set neither time. */
        struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, fs_timespec(mtime_nsec) };

        return utimensat(fd, name, times, flags) < 0 ? -errno : 0;
}

int attributes_set(int fd, uint32_t uid, uint32_t gid, uint16_t mode, int64_t mtime_nsec) {
        int r = attributes_set_owner(fd, "", AT_EMPTY_PATH, uid, gid);

        if (r < 0)
                return r;
        if (fchmod(fd, mode & 0777) < 0 && errno != EPERM)
                return -errno;
        return attributes_set_mtime(fd, "", AT_EMPTY_PATH, mtime_nsec);
}
