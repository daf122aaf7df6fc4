/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Removal from the disk, and the trash: what is put there, what expires, and what makes room for new files. See
 * save/disk.h. */

#include "save/disk.h"

#include "os/fs.h"

#include <fcntl.h>

/* What another process put there between the check and the rename, and what cannot go back because something newer has
 * the name by now, goes to conflicts/. */
static int remove_through(Disk *disk, TreeRemoval *removal, const char *path) {
        int r = tree_rename_remove(removal), put;

        if (r == 0 || !removal->left)
                return r;
        put = disk_private_dir_slot_put(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, path, removal->aside.dirfd,
                                        removal->aside.name, NULL);
        return put < 0 ? put : r;
}

/* To trash/ or conflicts/. */
static int move_to(Disk *disk, const char *directory, TreeName place, const char *path, const FileIdentity *expected,
                   char **ret_kept) {
        _cleanup_(disk_private_dir_slot_done) DiskSlot slot = DISK_SLOT_EMPTY;
        TreeRemoval removal = { .place = place, .expected = expected, .keep = true };
        int r = disk_private_dir_slot_make(&slot, disk->rootfd, directory, path);

        if (r < 0)
                return r;
        removal.aside = (TreeName){ slot.fd, slot.name };
        r = remove_through(disk, &removal, path);
        if (r != 0)
                disk_private_dir_slot_unmake(&slot, disk->rootfd);
        else
                r = disk_private_dir_slot_sync(&slot, disk->rootfd);
        if (r == 0 && ret_kept)
                *ret_kept = TAKE_PTR(slot.path);
        return r;
}

static int remove_for_good(Disk *disk, TreeName place, const char *path, const FileIdentity *expected) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true);
        char name[DISK_PRIVATE_DIR_NAME_MAX];
        TreeRemoval removal = { .place = place, .expected = expected, .aside = { tmpfd, name } };

        if (tmpfd < 0)
                return tmpfd;
        (void) disk_private_dir_exchange_name(name, disk->prefix, disk_number(disk), 0, expected);
        return remove_through(disk, &removal, path);
}

static int take_away(Disk *disk, TreeName place, const char *path, const Entry *expected, bool trash) {
        FileIdentity there;
        int r = disk_private_dir_look(place, expected, &there);

        if (r != 0)
                return r;
        if (S_ISDIR(there.type))
                return tree_rename_remove(&(TreeRemoval){ .place = place, .expected = &there });
        return trash ? move_to(disk, DISK_PRIVATE_DIR_TRASH, place, path, &there, NULL)
                     : remove_for_good(disk, place, path, &there);
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
                r = take_away(disk, (TreeName){ parent, last }, path, expected, trash);
        return r != 0 && r != TREE_ABSENT ? r : fs_sync_directory(parent);
}

int disk_set_aside(Disk *disk, const char *path, const Entry *expected, char **ret_kept) {
        _cleanup_(close_fdp) int parent = -1;
        FileIdentity there;
        const char *last;
        int r;

        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent < 0)
                return parent == -ENOENT || parent == -ENOTDIR ? 0
                       : parent == -ELOOP || parent == -EXDEV  ? DISK_OCCUPIED
                                                               : parent;
        r = disk_private_dir_look((TreeName){ parent, last }, expected, &there);
        if (r == 0)
                r = S_ISDIR(there.type) ? DISK_OCCUPIED
                                        : move_to(disk, DISK_PRIVATE_DIR_CONFLICTS, (TreeName){ parent, last }, path,
                                                  &there, ret_kept);
        return r == 0 ? fs_sync_directory(parent) : r == TREE_ABSENT ? 0 : r;
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
