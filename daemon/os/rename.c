/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Renames that overwrite nothing. See os/rename.h. */

#include "os/rename.h"

#include <fcntl.h>
#include <sys/stat.h>

int rename_with_flags(int fromfd, const char *from, int tofd, const char *to, unsigned flags) {
        return renameat2(fromfd, from, tofd, to, flags) < 0 ? -errno : 0;
}

bool rename_is_unsupported(int error) {
        return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* EPERM: vfat has no hard links, and no filesystem has them for directories. */
bool rename_is_link_unsupported(int error) {
        return error == EPERM || error == EMLINK || rename_is_unsupported(error);
}

int rename_new(int fromfd, const char *from, int tofd, const char *to) {
        struct stat st;
        int r = rename_with_flags(fromfd, from, tofd, to, RENAME_NOREPLACE);

        if (r == -EEXIST)
                return RENAME_OCCUPIED;
        if (!rename_is_unsupported(-r))
                return r;
        if (linkat(fromfd, from, tofd, to, 0) == 0)
                return unlinkat(fromfd, from, 0) < 0 ? -errno : 0;
        if (errno == EEXIST)
                return RENAME_OCCUPIED;
        if (!rename_is_link_unsupported(errno))
                return -errno;
        if (fstatat(tofd, to, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return RENAME_OCCUPIED;
        if (errno != ENOENT)
                return -errno;
        return rename_with_flags(fromfd, from, tofd, to, 0);
}

ino_t rename_inode(int dirfd, const char *name) {
        struct stat st;

        return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* Exchanges again until that brings back what the exchange before it had placed: then no other process has come between
 * the two. */
int rename_undo(int fd, const char *name, int parent, const char *last, ino_t placed, const char *spare) {
        for (;;) {
                ino_t held = rename_inode(fd, name);
                int r = rename_with_flags(fd, name, parent, last, RENAME_EXCHANGE);

                if (r == 0) {
                        if (rename_inode(fd, name) == placed)
                                return 0;
                        placed = held;
                        continue;
                }
                if (r == -ENOENT) /* the name is free by now */
                        r = rename_with_flags(fd, name, parent, last, RENAME_NOREPLACE);
                if (r == 0)
                        return 0;
                if (r != -EEXIST) {
                        (void) rename_with_flags(fd, name, fd, spare, RENAME_NOREPLACE);
                        return RENAME_ASTRAY;
                }
        }
}
