/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Removal from the disk, and the trash: what is put there, what expires, and what makes room for new files. See
 * save/disk.h. */

#include "save/disk.h"

#include "os/fs.h"
#include "os/rename.h"

#include <fcntl.h>

/* Another process put something else there between the check and the rename. It goes back, or to conflicts/ if
 * something newer has the name by now. */
static int give_back(Disk *disk, int fd, const char *name, int parent, const char *last, const char *path) {
        int r = rename_new(fd, name, parent, last) == 0
                        ? 0
                        : disk_private_dir_slot_put(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, path, fd, name, NULL);

        return r < 0 ? r : DISK_OCCUPIED;
}

static bool is_expected_at(int dirfd, const char *name, const Entry *expected) {
        struct stat st;

        return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               disk_private_dir_is_expected(dirfd, name, &st, expected);
}

/* To trash/ or conflicts/. */
static int move_to(Disk *disk, const char *directory, int parent, const char *last, const char *path,
                   const Entry *expected, char **ret_kept) {
        _cleanup_(disk_private_dir_slot_done) DiskSlot slot = DISK_SLOT_EMPTY;
        int r = disk_private_dir_slot_make(&slot, disk->rootfd, directory, path);

        if (r < 0)
                return r;
        r = rename_with_flags(parent, last, slot.fd, slot.name, 0);
        if (r == 0 && !is_expected_at(slot.fd, slot.name, expected))
                r = give_back(disk, slot.fd, slot.name, parent, last, path);
        if (r != 0)
                disk_private_dir_slot_unmake(&slot, disk->rootfd);
        else
                r = disk_private_dir_slot_sync(&slot, disk->rootfd);
        if (r == 0 && ret_kept)
                *ret_kept = TAKE_PTR(slot.path);
        return r;
}

static int remove_for_good(Disk *disk, int parent, const char *last, const char *path, const struct stat *seen,
                         const Entry *expected) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true);
        char name[DISK_PRIVATE_DIR_NAME_MAX];
        int r;

        if (tmpfd < 0)
                return tmpfd;
        (void) disk_private_dir_exchange_name(name, disk->prefix, disk_number(disk), 0, seen);
        r = rename_with_flags(parent, last, tmpfd, name, 0);
        if (r < 0)
                return r;
        if (!is_expected_at(tmpfd, name, expected))
                return give_back(disk, tmpfd, name, parent, last, path);
        return unlinkat(tmpfd, name, 0) < 0 ? -errno : 0;
}

static int take_away(Disk *disk, int parent, const char *last, const char *path, const Entry *expected, bool trash) {
        struct stat st;

        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!disk_private_dir_is_expected(parent, last, &st, expected))
                return DISK_OCCUPIED;
        if (S_ISDIR(st.st_mode)) {
                if (unlinkat(parent, last, AT_REMOVEDIR) == 0 || errno == ENOENT)
                        return 0;
                return errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? DISK_OCCUPIED : -errno;
        }
        return trash ? move_to(disk, DISK_PRIVATE_DIR_TRASH, parent, last, path, expected, NULL)
                     : remove_for_good(disk, parent, last, path, &st, expected);
}

int disk_remove(Disk *disk, const char *path, const Entry *expected, bool trash) {
        _cleanup_(close_fdp) int parent = -1;
        const char *last;
        int r = -ENOENT;

        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent == -ENOENT || parent == -ENOTDIR)
                return 0;
        if (parent == -ELOOP || parent == -EXDEV)
                return DISK_OCCUPIED; /* a directory on the way is a link now */
        if (parent < 0)
                return parent;
        /* if the trash is being emptied, the directory that was made for it may be gone before it is used */
        for (unsigned attempt = 0; r == -ENOENT && attempt < 10; attempt++)
                r = take_away(disk, parent, last, path, expected, trash);
        return r != 0 ? r : fs_sync_directory(parent);
}

int disk_set_aside(Disk *disk, const char *path, const Entry *expected, char **ret_kept) {
        _cleanup_(close_fdp) int parent = -1;
        const char *last;
        struct stat st;
        int r;

        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent < 0)
                return parent == -ENOENT || parent == -ENOTDIR ? 0
                       : parent == -ELOOP || parent == -EXDEV  ? DISK_OCCUPIED
                                                               : parent;
        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISDIR(st.st_mode) || !disk_private_dir_is_expected(parent, last, &st, expected))
                return DISK_OCCUPIED;
        r = move_to(disk, DISK_PRIVATE_DIR_CONFLICTS, parent, last, path, expected, ret_kept);
        return r != 0 ? r : fs_sync_directory(parent);
}

/* --- the trash --- */

/* Which part of the trash may go: all that is older than @keep_usec, or the oldest. */
typedef struct Emptying {
        uint64_t keep_usec;
        bool oldest;
        char found[NAME_MAX + 1]; /* the oldest so far: names are in the order of time */
        int error;
} Emptying;

/* True for a slot of ours. */
static bool get_age(int fd, const char *name, uint64_t *ret_usec) {
        struct stat st;

        return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
               disk_private_dir_slot_age(name, &st, ret_usec) == 0;
}

static int consider(int fd, const char *name, void *userdata) {
        Emptying *emptying = userdata;
        uint64_t age;
        int r = 0;

        if (!get_age(fd, name, &age))
                return 0;
        if (!emptying->oldest && age > emptying->keep_usec)
                r = disk_private_dir_remove_tree(fd, name);
        if (emptying->oldest && (!*emptying->found || strcmp(name, emptying->found) < 0))
                (void) snprintf(emptying->found, sizeof(emptying->found), "%s", name);
        if (r < 0)
                emptying->error = r; /* the others can still go */
        return 0;
}

static int empty(Disk *disk, Emptying *emptying) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TRASH, false);
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = disk_private_dir_for_each(fd, ".", consider, emptying);
        if (r < 0 || !*emptying->found)
                return r < 0 ? r : emptying->error;
        r = disk_private_dir_remove_tree(fd, emptying->found);
        return r < 0 ? r : 1;
}

int disk_empty_trash(Disk *disk, uint64_t keep_usec) {
        return empty(disk, &(Emptying){ .keep_usec = keep_usec });
}

int disk_count_trash(Disk *disk, uint64_t *ret_bytes, uint64_t *ret_files) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TRASH, false);
        uint64_t bytes = 0, files = 0;
        int r;

        if (fd < 0 && fd != -ENOENT)
                return fd;
        r = fd < 0 ? 0 : disk_private_dir_count_tree(fd, ".", &bytes, &files);
        if (r < 0)
                return r;
        *ret_bytes = bytes;
        *ret_files = files;
        return 0;
}

static int is_slot(int fd, const char *name, void *userdata) {
        uint64_t age;

        (void) userdata;
        return get_age(fd, name, &age);
}

int disk_has_trash(Disk *disk) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TRASH, false);

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        return disk_private_dir_for_each(fd, ".", is_slot, NULL);
}

/* True also where it cannot be known. */
static bool fits_without_trash(Disk *disk, uint64_t bytes) {
        uint64_t trash, files;
        FsRoom room;

        if (fs_room(disk->rootfd, &room) < 0 || room.total == 0 || disk_count_trash(disk, &trash, &files) < 0)
                return true;
        return room.free + trash >= bytes;
}

int disk_make_room(Disk *disk, uint64_t bytes) {
        return fits_without_trash(disk, bytes) ? empty(disk, &(Emptying){ .oldest = true }) : 0;
}
