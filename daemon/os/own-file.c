/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The door to our own files. See os/own-file.h. */

#include "os/own-file.h"

#include "base/text.h"

#include <fcntl.h>
#include <sys/stat.h>

static int result(int r) {
        return r < 0 ? -errno : r;
}

int own_file_open(int dirfd, const char *name, OwnFileUse use) {
        static const struct {
                int flags;
                mode_t mode;
        } uses[] = {
                [OWN_FILE_READ] = { O_RDONLY, 0 },
                [OWN_FILE_WRITE] = { O_WRONLY | O_CREAT | O_TRUNC, 0644 },
                [OWN_FILE_APPEND] = { O_RDWR | O_CREAT | O_APPEND, 0644 },
                [OWN_FILE_LOCK] = { O_RDWR | O_CREAT, 0600 },
                [OWN_FILE_LOCK_READ] = { O_RDONLY | O_CREAT, 0600 },
        };

        return result(openat(dirfd, name, uses[use].flags | O_NOFOLLOW | O_CLOEXEC, uses[use].mode));
}

int own_file_open_stream(int dirfd, const char *name, OwnFileUse use, FILE **ret) {
        int fd = own_file_open(dirfd, name, use);

        if (fd < 0)
                return fd;
        *ret = fdopen(fd, use == OWN_FILE_WRITE ? "w" : "r");
        if (*ret)
                return 0;
        (void) close_fd(fd);
        return -ENOMEM;
}

int own_file_empty(int fd) {
        return result(ftruncate(fd, 0));
}

static int write_all(int fd, const char *content, size_t length) {
        while (length > 0) {
                ssize_t n = write(fd, content, length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                content += n;
                length -= (size_t) n;
        }
        return 0;
}

int own_file_replace(int dirfd, const char *name, const char *content, size_t length, mode_t mode, bool durable) {
        _cleanup_(freep) char *temporary = text_format(".%s.new", name);
        _cleanup_(close_fdp) int fd = -1;
        int r;

        if (!temporary)
                return -ENOMEM;
        (void) unlinkat(dirfd, temporary, 0); /* left by a process that was killed */
        fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0)
                return -errno;
        r = write_all(fd, content, length);
        if (r == 0 && fchmod(fd, mode) < 0)
                r = -errno;
        if (r == 0 && durable && fsync(fd) < 0)
                r = -errno;
        if (r == 0)
                r = own_file_rename(dirfd, temporary, name);
        if (r < 0) {
                (void) unlinkat(dirfd, temporary, 0); /* the first failure is reported */
                return r;
        }
        return durable && fsync(dirfd) < 0 ? -errno : 0;
}

int own_file_rename(int dirfd, const char *from, const char *to) {
        return result(renameat(dirfd, from, dirfd, to));
}

int own_file_remove(int dirfd, const char *name) {
        return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int own_file_set_mode(int dirfd, const char *name, mode_t mode) {
        return result(fchmodat(dirfd, name, mode, 0));
}

int own_file_open_directory(const char *path) {
        return result(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int own_file_make_directory(int dirfd, const char *name, mode_t mode) {
        return mkdirat(dirfd, name, mode) < 0 && errno != EEXIST ? -errno : 0;
}

int own_file_make_path(const char *path) {
        _cleanup_(freep) char *copy = strdup(path);
        struct stat st;

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1;; p++) {
                char saved = *p;

                if (saved != '/' && saved != '\0')
                        continue;
                *p = '\0';
                if (mkdir(copy, 0755) < 0 && errno != EEXIST && !(errno == EROFS && stat(copy, &st) == 0))
                        return -errno;
                if (saved == '\0')
                        break;
                *p = saved;
        }
        if (stat(copy, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
