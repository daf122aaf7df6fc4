/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files that are being saved, in tmp/, before they are in place. See save/disk.h. */

#include "save/disk.h"

#include "base/path.h"
#include "base/text.h"
#include "os/fs.h"

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
                return tree_access_drop((TreeName){ tmpfd, name });
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
        do {
                (void) disk_private_dir_name(name, disk->prefix, disk_number(disk));
                fd = tree_access_create_file((TreeName){ tmpfd, name }, 0600);
        } while (fd == -EEXIST);
        return fd;
}

int disk_new_symlink(Disk *disk, const Entry *entry, const char *target, char name[static DISK_NAME_MAX]) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true);
        TreeAttributes attributes = disk_attributes(entry, false);
        TreeName own = { tmpfd, name };
        int r;

        if (tmpfd < 0)
                return tmpfd;
        do {
                (void) disk_private_dir_name(name, disk->prefix, disk_number(disk));
                r = tree_access_create_symlink(own, target);
        } while (r == -EEXIST);
        if (r < 0)
                return r;
        r = tree_attributes_set_link(own, &attributes);
        if (r < 0)
                (void) tree_access_drop(own);
        return r;
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
        int fd = disk_new_file(disk, one);
        bool has;

        if (fd < 0)
                return true; /* what comes next meets the error again */
        (void) close_fd(fd);
        (void) disk_private_dir_name(two, disk->prefix, disk_number(disk));
        has = tree_rename_has_links((TreeName){ tmpfd, one }, (TreeName){ tmpfd, two });
        disk_drop(disk, one);
        return has;
}

int disk_new_link(Disk *disk, const char *path, const Entry *expected, char name[static DISK_NAME_MAX]) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true), parent = -1;
        FileIdentity identity = disk_private_dir_identity(expected);
        const char *last;
        int r;

        if (tmpfd < 0)
                return tmpfd;
        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent < 0)
                return parent;
        do {
                (void) disk_private_dir_name(name, disk->prefix, disk_number(disk));
                r = tree_rename_link((TreeName){ parent, last }, (TreeName){ tmpfd, name }, &identity);
        } while (r == -EEXIST);
        if (r == TREE_OCCUPIED && !has_links(disk, tmpfd))
                return DISK_NO_LINKS;
        return r == TREE_ABSENT ? -ENOENT : r;
}

void disk_drop(Disk *disk, const char *name) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false);

        /* what cannot be removed now is removed at the next start */
        if (tmpfd >= 0)
                (void) tree_access_drop((TreeName){ tmpfd, name });
}
