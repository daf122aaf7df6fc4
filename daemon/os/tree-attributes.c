/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The door to the two trees: owner, permission bits, mtime and user xattrs. See os/tree-attributes.h. */

#include "os/tree-attributes.h"

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

int tree_attributes_copy_xattrs(int fromfd, int tofd, bool *ret_lost) {
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

/* EPERM: the process may not, or the filesystem keeps no owners or modes. */
static int result(int r, const TreeAttributes *attributes) {
        return r < 0 && !(errno == EPERM && attributes->lenient) ? -errno : 0;
}

static int set_owner(int fd, const char *name, int flags, const TreeAttributes *attributes) {
        if (attributes->uid == UINT32_MAX && attributes->gid == UINT32_MAX)
                return 0;
        return result(fchownat(fd, name, attributes->uid, attributes->gid, flags), attributes);
}

static int set_mtime(int fd, const char *name, int flags, const TreeAttributes *attributes) {
        /* Not UTIME_OMIT for the atime: some filesystems in user space (bindfs 1.14) then set neither time. */
        struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, fs_timespec(attributes->mtime_nsec) };

        return utimensat(fd, name, times, flags) < 0 ? -errno : 0;
}

int tree_attributes_set(int fd, const TreeAttributes *attributes) {
        int r = set_owner(fd, "", AT_EMPTY_PATH, attributes);

        if (r == 0)
                r = result(fchmod(fd, attributes->mode & 03777), attributes);
        return r < 0 ? r : set_mtime(fd, "", AT_EMPTY_PATH, attributes);
}

int tree_attributes_set_directory(TreeName at, const TreeAttributes *attributes) {
        int r = set_owner(at.dirfd, at.name, AT_SYMLINK_NOFOLLOW, attributes);

        return r < 0 ? r : result(fchmodat(at.dirfd, at.name, attributes->mode & 03777, 0), attributes);
}

/* Some filesystems keep no owner and time of a link, and sshfs follows it, though it leads nowhere from where it is. */
int tree_attributes_set_link(TreeName at, const TreeAttributes *attributes) {
        int r = set_owner(at.dirfd, at.name, AT_SYMLINK_NOFOLLOW, attributes);

        if (r == 0)
                r = set_mtime(at.dirfd, at.name, AT_SYMLINK_NOFOLLOW, attributes);
        return attributes->lenient ? 0 : r;
}

/* chmod() and utimensat() do not take an O_PATH descriptor, but they take its name in /proc. */
static int set_by_path(int pathfd, const TreeAttributes *attributes) {
        int r = set_owner(pathfd, "", AT_EMPTY_PATH, attributes);
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", pathfd);
        if (r == 0)
                r = result(chmod(path, attributes->mode & 03777), attributes);
        return r < 0 ? r : set_mtime(AT_FDCWD, path, 0, attributes);
}

/* By a descriptor of the inode that was compared. It is opened for reading only where it has to be synced: a directory
 * may be unreadable for us. */
int tree_attributes_set_expected(int dirfd, const char *path, const FileIdentity *expected,
                                 const TreeAttributes *attributes, bool durable, struct stat *ret) {
        _cleanup_(close_fdp) int pathfd = fs_open_beneath(dirfd, path, O_PATH | O_NOFOLLOW), fd = -1;
        FileIdentity found;
        int r;

        if (pathfd < 0)
                return pathfd;
        if (fstat(pathfd, ret) < 0)
                return -errno;
        found = identity_of(ret);
        if ((!S_ISREG(found.type) && !S_ISDIR(found.type)) || identity_compare(expected, &found) != IDENTITY_SAME)
                return TREE_OCCUPIED;
        if (durable) { /* a device would have been refused above, so this opens none */
                fd = tree_access_reopen(pathfd, O_RDONLY);
                if (fd < 0)
                        return fd;
        }
        r = durable ? tree_attributes_set(fd, attributes) : set_by_path(pathfd, attributes);
        if (r == 0 && durable && fsync(fd) < 0)
                r = -errno;
        return r == 0 && fstat(pathfd, ret) < 0 ? -errno : r;
}
