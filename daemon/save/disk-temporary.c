/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files that are being saved, in tmp/, before they are in place. See save/disk.h. */

#include "save/disk.h"

#include "base/path.h"
#include "base/text.h"
#include "os/attributes.h"
#include "os/fs.h"
#include "os/rename.h"

#include <fcntl.h>

typedef struct Cleaning {
        Disk *disk;
        int found; /* files of clients */
        int error;
} Cleaning;

/* Positive if it was a client's file. */
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
        /* which path it had is not known any more, so it keeps the name that it has here */
        r = disk_private_dir_slot_put(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, name, tmpfd, name, NULL);
        return r < 0 ? r : 1;
}

static int clean(int tmpfd, const char *name, void *userdata) {
        Cleaning *cleaning = userdata;
        int r = clean_one(cleaning->disk, tmpfd, name);

        if (r < 0)
                cleaning->error = r; /* the others can still go */
        else
                cleaning->found += r;
        return 0;
}

int disk_clean(Disk *disk) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false);
        Cleaning cleaning = { .disk = disk };
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = disk_private_dir_for_each(fd, ".", clean, &cleaning);
        return r < 0 ? r : cleaning.error < 0 ? cleaning.error : cleaning.found;
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
        if (r >= 0) /* some filesystems keep no time of a link */
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
        followed = text_format("%.*s%s", slash ? (int) (slash + 1 - entry->path) : 0, entry->path,
                               relative ? relative : entry->target);
        if (!followed)
                return -ENOMEM;
        fd = fs_follow_beneath(disk->rootfd, followed, O_PATH);
        if (fd == -EXDEV)
                return DISK_LEADS_OUT;
        (void) close_fd(fd);
        *ret = TAKE_PTR(relative);
        return 0;
}

/* Whether the filesystem makes hard links: tried on a file of our own. */
static bool has_links(Disk *disk, int tmpfd) {
        char one[DISK_NAME_MAX], two[DISK_NAME_MAX];
        int fd = disk_new_file(disk, one), r;

        if (fd < 0)
                return true; /* what comes next meets the error again */
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
        /* checked before linking too, because a link that is made and removed again moves the ctime, which would look
         * like a change */
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
        (void) unlinkat(tmpfd, name, 0); /* the file still has its other name */
        return DISK_OCCUPIED;
}

void disk_drop(Disk *disk, const char *name) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false);

        /* what cannot be removed now is removed at the next start */
        if (tmpfd >= 0 && unlinkat(tmpfd, name, 0) < 0)
                (void) unlinkat(tmpfd, name, AT_REMOVEDIR);
}
