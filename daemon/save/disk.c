/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is being saved, before it is in place, and looks at what stands there. See save/disk.h; save/disk-place.c
 * puts it there, save/disk-trash.c takes away. */

#include "save/disk.h"

#include "base/path.h"
#include "os/attributes.h"
#include "os/fs.h"
#include "os/rename.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <limits.h>
#include <systemd/sd-id128.h>

static uint64_t fold(uint64_t hash, const void *data, size_t length) {
        for (size_t i = 0; i < length; i++)
                hash = (hash ^ ((const uint8_t *) data)[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
        return hash;
}

void disk_init(Disk *disk, int rootfd, const char *mirror) {
        static const sd_id128_t ours = SD_ID128_MAKE(5d, 90, 1e, 7c, b3, 42, 4f, 0b, 9c, 6d, 28, e1, a4, 77, 3f, 56);
        uint64_t hash = UINT64_C(0xcbf29ce484222325);
        char host[HOST_NAME_MAX + 1] = "";
        sd_id128_t machine;

        if (sd_id128_get_machine_app_specific(ours, &machine) >= 0)
                hash = fold(hash, &machine, sizeof(machine));
        else if (gethostname(host, sizeof(host) - 1) == 0)
                hash = fold(hash, host, strlen(host));
        hash = fold(hash, mirror, strlen(mirror));
        disk->rootfd = rootfd;
        (void) snprintf(disk->prefix, sizeof(disk->prefix), "%016llx", (unsigned long long) hash);
        atomic_init(&disk->last, 0);
}

int disk_open(Disk *disk, int sourcefd, const char *mirror) {
        int fd = fcntl(sourcefd, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        disk_init(disk, fd, mirror);
        return 0;
}

void disk_close(Disk *disk) {
        disk->rootfd = close_fd(disk->rootfd);
}

/* --- temporaries --- */

/* Positive if somebody's file was found there. */
static int clean_one(Disk *disk, int tmpfd, const char *name) {
        uint64_t number = 0;
        struct stat st;
        DiskNameOwner owner;
        int r;

        if (fstatat(tmpfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        owner = disk_private_dir_owner(disk->prefix, name, &st, &number);
        if (owner == DISK_NAME_FOREIGN)
                return 0;
        if (atomic_load(&disk->last) < number)
                atomic_store(&disk->last, number);
        if (owner == DISK_NAME_OURS)
                return unlinkat(tmpfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
        /* the path is not known any more, but the name is one of its own */
        r = disk_private_dir_slot_put(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, name, tmpfd, name, NULL);
        return r < 0 ? r : 1;
}

int disk_clean(Disk *disk) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false), found = 0, error = 0;
        struct dirent *d;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        while ((d = readdir(dir))) {
                int r = clean_one(disk, fd, d->d_name);

                if (r < 0)
                        error = r; /* the others can still go */
                else
                        found += r;
        }
        return error < 0 ? error : found;
}

int disk_new_file(Disk *disk, char name[static DISK_NAME_MAX]) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true);
        int fd;

        if (tmpfd < 0)
                return tmpfd;
        do
                fd = openat(tmpfd, disk_private_dir_name(name, disk->prefix, disk_number(disk)),
                            O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        while (fd < 0 && errno == EEXIST);
        return fd < 0 ? -errno : fd;
}

int disk_new_symlink(Disk *disk, const Entry *entry, const char *target, char name[static DISK_NAME_MAX]) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true);
        int r;

        if (tmpfd < 0)
                return tmpfd;
        do
                r = symlinkat(target, tmpfd, disk_private_dir_name(name, disk->prefix, disk_number(disk)));
        while (r < 0 && errno == EEXIST);
        if (r < 0)
                return -errno;
        r = attributes_set_owner(tmpfd, name, AT_SYMLINK_NOFOLLOW, entry->uid, entry->gid);
        if (r >= 0)
                /* not everywhere do links have one */
                (void) attributes_set_mtime(tmpfd, name, AT_SYMLINK_NOFOLLOW, entry->mtime_nsec);
        else
                (void) unlinkat(tmpfd, name, 0);
        return r < 0 ? r : 0;
}

int disk_link_target(Disk *disk, const char *mirror_path, const Entry *entry, char **ret) {
        _cleanup_(freep) char *inside = NULL, *relative = NULL, *followed = NULL;
        const char *slash = strrchr(entry->path, '/');
        int r = path_resolve_link(mirror_path, entry->path, entry->target, &inside), fd;

        if (r < 0)
                return r == -EXDEV ? DISK_LEADS_OUT : r;
        if (entry->target[0] == '/') {
                r = path_make_relative(entry->path, inside, &relative);
                if (r < 0)
                        return r;
        }
        if (asprintf(&followed, "%.*s%s", slash ? (int) (slash + 1 - entry->path) : 0, entry->path,
                     relative ? relative : entry->target) < 0) {
                followed = NULL;
                return -ENOMEM;
        }
        fd = fs_follow_beneath(disk->rootfd, followed, O_PATH);
        if (fd == -EXDEV)
                return DISK_LEADS_OUT;
        (void) close_fd(fd);
        *ret = TAKE_PTR(relative);
        return 0;
}

/* Tried on a file of our own. */
static bool has_links(Disk *disk, int tmpfd) {
        char one[DISK_NAME_MAX], two[DISK_NAME_MAX];
        int fd = disk_new_file(disk, one), r;

        if (fd < 0)
                return true; /* whoever goes on meets the error */
        (void) close_fd(fd);
        r = linkat(tmpfd, one, tmpfd, disk_private_dir_name(two, disk->prefix, disk_number(disk)), 0) < 0 ? errno : 0;
        if (r == 0)
                (void) unlinkat(tmpfd, two, 0);
        disk_drop(disk, one);
        return r == 0 || !rename_is_link_unsupported(r);
}

int disk_new_link(Disk *disk, const char *path, const Entry *expected, char name[static DISK_NAME_MAX]) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true), parent = -1;
        const char *last;
        struct stat st;
        int r;

        if (tmpfd < 0)
                return tmpfd;
        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent < 0)
                return parent;
        /* before, because a link that is made and taken away again moves the ctime, and so looks like a change */
        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!disk_private_dir_is_expected(parent, last, &st, expected))
                return has_links(disk, tmpfd) ? DISK_OCCUPIED : DISK_NO_LINKS;
        do
                r = linkat(parent, last, tmpfd, disk_private_dir_name(name, disk->prefix, disk_number(disk)), 0);
        while (r < 0 && errno == EEXIST);
        if (r < 0)
                return rename_is_link_unsupported(errno) ? DISK_NO_LINKS : -errno;
        if (fstatat(tmpfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            disk_private_dir_is_expected(tmpfd, name, &st, expected))
                return 0;
        (void) unlinkat(tmpfd, name, 0); /* of a file that keeps its other name */
        return DISK_OCCUPIED;
}

void disk_drop(Disk *disk, const char *name) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false);

        /* what cannot be removed now, the next start removes */
        if (tmpfd >= 0 && unlinkat(tmpfd, name, 0) < 0)
                (void) unlinkat(tmpfd, name, AT_REMOVEDIR);
}

/* --- what stands there --- */

int disk_look(Disk *disk, const char *path, const Entry *expected) {
        _cleanup_(close_fdp) int parent = -1;
        const char *last;
        struct stat st;

        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent < 0)
                return parent == -ENOENT ? 0 : parent;
        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        return expected && disk_private_dir_is_expected(parent, last, &st, expected) ? 0 : DISK_OCCUPIED;
}

int disk_set_attributes(Disk *disk, const Entry *entry, const Entry *expected, bool own_owner, struct stat *ret) {
        uint32_t uid = own_owner ? UINT32_MAX : entry->uid, gid = own_owner ? UINT32_MAX : entry->gid;
        _cleanup_(close_fdp) int parent = -1, pathfd = -1, fd = -1;
        const char *last;
        struct stat st;
        char path[64];
        int r;

        parent = fs_open_parent(disk->rootfd, entry->path, &last);
        if (parent < 0)
                return parent;
        pathfd = openat(parent, last, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (pathfd < 0 || fstat(pathfd, &st) < 0)
                return -errno;
        if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) ||
            !disk_private_dir_is_expected(parent, last, &st, expected))
                return DISK_OCCUPIED;
        /* the very inode that was looked at; of a device not even an open is tried */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", pathfd);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = attributes_set(fd, uid, gid, entry->mode, entry->mtime_nsec);
        if (r < 0)
                return r;
        return fsync(fd) < 0 || fstat(fd, ret) < 0 ? -errno : 0;
}
