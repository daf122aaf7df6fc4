/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files below a directory descriptor, and properties of filesystems. See os/fs.h. */

#include "os/fs.h"

#include "base/path.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <strings.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>

static int open_resolving(int dirfd, const char *path, int flags, uint64_t resolve) {
        struct open_how how = { .flags = (uint64_t) (flags | O_CLOEXEC), .resolve = resolve };

        assert((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY);
        for (unsigned attempt = 0;; attempt++) {
                long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

                if (fd >= 0)
                        return (int) fd;
                /* EAGAIN: because of a rename elsewhere the kernel could not make sure that ".." stays inside
                 * (openat2(2)) */
                if (errno != EINTR && (errno != EAGAIN || attempt >= 100))
                        return -errno;
        }
}

int fs_open_beneath(int dirfd, const char *path, int flags) {
        return open_resolving(dirfd, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int fs_open_here(int dirfd, const char *name, int flags) {
        return open_resolving(dirfd, name, flags | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

int fs_follow_beneath(int dirfd, const char *path, int flags) {
        return open_resolving(dirfd, path, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int fs_open_in_root(int root_fd, const char *path, int flags) {
        return open_resolving(root_fd, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static int read_fd_path(int fd, char *buffer, size_t size) {
        char link[64];
        ssize_t length;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        length = readlink(link, buffer, size);
        if (length < 0)
                return -errno;
        if ((size_t) length == size)
                return -ENAMETOOLONG;
        buffer[length] = '\0';
        return 0;
}

int fs_path_in_root(int root_fd, int fd, char **ret) {
        char root[PATH_MAX], path[PATH_MAX];
        const char *below;
        int r = read_fd_path(root_fd, root, sizeof(root));

        if (r == 0)
                r = read_fd_path(fd, path, sizeof(path));
        if (r < 0)
                return r;
        below = path_below(path, root);
        if (!below)
                return -EXDEV;
        *ret = text_format("/%s", below);
        return *ret ? 0 : -ENOMEM;
}

int fs_open_directory(int dirfd, const char *name, DIR **ret) {
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

        if (fd < 0)
                return -errno;
        *ret = fdopendir(fd);
        if (*ret)
                return 0;
        r = -errno;
        (void) close_fd(fd);
        return r;
}

struct dirent *fs_read_directory(DIR *dir) {
        struct dirent *d;

        errno = 0;
        while ((d = readdir(dir)) && (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0))
                ;
        return d;
}

int fs_open_parent(int dirfd, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *parent = NULL;
        int fd;

        parent = slash ? strndup(path, (size_t) (slash - path)) : strdup(".");
        if (!parent)
                return -ENOMEM;
        fd = fs_open_beneath(dirfd, parent, O_PATH | O_DIRECTORY);
        if (fd < 0)
                return fd;
        *ret_name = slash ? slash + 1 : path;
        return fd;
}

int fs_stat_beneath(int dirfd, const char *path, struct stat *ret) {
        _cleanup_(close_fdp) int parent = -1;
        const char *name;

        if (string_equal(path, "."))
                return fstat(dirfd, ret) < 0 ? -errno : 0;
        parent = fs_open_parent(dirfd, path, &name);
        if (parent < 0)
                return parent;
        return fstatat(parent, name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int fs_read_bytes(int fd, size_t max, char **ret, size_t *ret_length) {
        _cleanup_(freep) char *text = NULL;
        size_t used = 0, allocated = 0;

        for (;;) {
                ssize_t n;

                if (used + 1 >= allocated) {
                        char *grown = realloc(text, allocated = MAX(allocated * 2, (size_t) 4096));

                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                }
                n = read(fd, text + used, allocated - used - 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (size_t) n;
                if (used > max)
                        return -EFBIG;
        }
        text[used] = '\0';
        *ret = TAKE_PTR(text);
        *ret_length = used;
        return 0;
}

int fs_read_fd(int fd, size_t max, char **ret) {
        size_t length;

        return fs_read_bytes(fd, max, ret, &length);
}

int fs_read_text(int dirfd, const char *path, size_t max, char **ret) {
        _cleanup_(close_fdp) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? -errno : fs_read_fd(fd, max, ret);
}

int fs_sync_directory(int dirfd) {
        _cleanup_(close_fdp) int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 && errno != EINVAL && errno != ENOSYS ? -errno : 0;
}

/* The inode shows it for filesystems that also fold the letters of other alphabets, or compose accents. */
static bool is_folded(int dirfd, const char *name, const char *wanted, const struct stat *found) {
        struct stat st;

        if (strcasecmp(name, wanted) == 0)
                return true;
        return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == found->st_ino &&
               st.st_dev == found->st_dev;
}

int fs_find_folded(int dirfd, const char *name, char **ret) {
        _cleanup_(closedirp) DIR *dir = NULL;
        _cleanup_(freep) char *found = NULL;
        int r = fs_open_directory(dirfd, ".", &dir);
        struct dirent *d;
        struct stat st;

        if (r < 0)
                return r;
        *ret = NULL;
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        while ((d = readdir(dir))) {
                if (strcmp(d->d_name, name) == 0)
                        return 0;
                if (found || !is_folded(dirfd, d->d_name, name, &st))
                        continue;
                found = strdup(d->d_name);
                if (!found)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(found);
        return 0;
}

int fs_is_tmpfs(int fd) {
        struct statfs s;

        if (fstatfs(fd, &s) < 0)
                return -errno;
        return s.f_type == TMPFS_MAGIC;
}

int fs_is_eventless(int fd) {
        /* The numbers that linux/magic.h of Debian 12 does not have are from the sources of the filesystems. */
        static const uint32_t types[] = {
                NFS_SUPER_MAGIC,
                0xff534d42, /* CIFS */
                0xfe534d42, /* SMB2 and later */
                0x517b,     /* smbfs */
                0x65735546, /* FUSE */
                0x01021997, /* 9p */
                0x00c36400, /* Ceph */
                0x0bd00bd0, /* Lustre */
                0x47504653, /* GPFS */
                0x6b414653, /* AFS (kernel) */
                0x5346414f, /* OpenAFS */
                0x73757245, /* Coda */
                0x786f4256, /* VirtualBox shared folders */
                0xbacbacbc, /* VMware host-guest */
        };
        struct statfs s;

        if (fstatfs(fd, &s) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if ((uint32_t) s.f_type == types[i])
                        return 1;
        return 0;
}

bool fs_has_stable_inodes(int fd) {
        static const uint32_t types[] = {
                0x65735546, /* FUSE */
                0x01021997, /* 9p */
                0xff534d42, /* CIFS */
                0xfe534d42, /* SMB2 and later */
                0x517b,     /* smbfs */
                0x4d44,     /* vfat */
                0x2011bab0, /* exFAT */
                0x786f4256, /* VirtualBox shared folders */
                0xbacbacbc, /* VMware host-guest */
        };
        struct statfs s;

        if (fstatfs(fd, &s) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if ((uint32_t) s.f_type == types[i])
                        return false;
        return true;
}

bool fs_is_racy(const struct stat *st) {
        bool coarse = st->st_ctim.tv_nsec == 0;
        int64_t window = coarse ? 2 * (int64_t) NSEC_PER_SEC : (int64_t) NSEC_PER_SEC / 100, age;
        struct timespec now;

        if (clock_gettime(CLOCK_REALTIME, &now) < 0)
                return true;
        age = fs_nsec(&now) - fs_nsec(&st->st_ctim);
        return age > -window && age < window;
}

int fs_room(int fd, FsRoom *ret) {
        struct statvfs s;

        if (fstatvfs(fd, &s) < 0)
                return -errno;
        *ret = (FsRoom){
                .total = (uint64_t) s.f_blocks * s.f_frsize,
                .free = (uint64_t) s.f_bavail * s.f_frsize, .inodes = s.f_files > 0 ? s.f_favail : UINT64_MAX,
        };
        return 0;
}

int fs_next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start, uint64_t *ret_end) {
        off_t start, end;

        if (offset >= size)
                return 0;
        start = lseek(fd, (off_t) offset, SEEK_DATA);
        if (start < 0) {
                if (errno == ENXIO)
                        return 0;
                if (errno != EINVAL && errno != EOPNOTSUPP)
                        return -errno;
                *ret_start = offset;
                *ret_end = size;
                return 1;
        }
        if ((uint64_t) start >= size)
                return 0;
        end = lseek(fd, start, SEEK_HOLE);
        if (end < 0)
                return -errno;
        *ret_start = (uint64_t) start;
        *ret_end = MIN((uint64_t) end, size);
        return 1;
}
