/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Removal from the disk, and the trash: what is put there, what expires, and what makes room for new files. See
 * save/disk.h. */

#include "save/disk.h"

#include "base/pathset.h"
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

/* True for a slot of ours. */
static bool get_age(int fd, const char *name, uint64_t *ret_usec) {
        struct stat st;

        return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
               disk_private_dir_slot_age(name, &st, ret_usec) == 0;
}

typedef struct Emptying {
        uint64_t keep_usec;
        int error;
} Emptying;

static int expire(int fd, const char *name, void *userdata) {
        Emptying *emptying = userdata;
        uint64_t age;
        int r = 0;

        if (get_age(fd, name, &age) && age > emptying->keep_usec)
                r = disk_private_dir_remove_tree(fd, name);
        if (r < 0)
                emptying->error = r; /* the others can still go */
        return 0;
}

int disk_empty_trash(Disk *disk, uint64_t keep_usec) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TRASH, false);
        Emptying emptying = { .keep_usec = keep_usec };
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = disk_private_dir_for_each(fd, ".", expire, &emptying);
        return r < 0 ? r : emptying.error;
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

/* --- room on a full disk --- */

static bool has_room(Disk *disk, uint64_t bytes) {
        FsRoom room;

        return fs_room(disk->rootfd, &room) == 0 && room.free >= bytes;
}

/* How many bytes the disk lacks; 0 also where that cannot be known. */
static uint64_t missing_bytes(Disk *disk, uint64_t bytes) {
        FsRoom room;

        if (fs_room(disk->rootfd, &room) < 0 || room.total == 0)
                return 0;
        return room.free < bytes ? bytes - room.free : 0;
}

/* True also where it cannot be known. */
static bool trash_has(Disk *disk, uint64_t bytes) {
        uint64_t trash, files;

        return bytes == 0 || disk_count_trash(disk, &trash, &files) < 0 || trash >= bytes;
}

static int add_name(int fd, const char *name, void *userdata) {
        (void) fd;
        return pathset_add(userdata, name);
}

/* Positive if it was a slot; then *freed has become more. */
static int remove_slot(int fd, const char *name, uint64_t *freed) {
        uint64_t age, files = 0;
        int r;

        if (!get_age(fd, name, &age))
                return 0;
        (void) disk_private_dir_count_tree(fd, name, freed, &files);
        r = disk_private_dir_remove_tree(fd, name);
        return r < 0 ? r : 1;
}

/* What the filesystem says is free may follow later, or not at all while only its reserve for root grows: so what was
 * removed counts too. */
static int remove_oldest(Disk *disk, int fd, const PathSet *names, uint64_t bytes, uint64_t missing) {
        uint64_t freed = 0;
        bool removed = false;

        for (size_t i = 0; i < names->n; i++) {
                int r = remove_slot(fd, names->items[i], &freed);

                if (r < 0)
                        return removed ? 1 : r;
                removed = removed || r > 0;
                if (removed && (freed >= missing || has_room(disk, bytes)))
                        break;
        }
        return removed;
}

int disk_make_room(Disk *disk, uint64_t bytes) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TRASH, false);
        _cleanup_(pathset_done) PathSet names = {};
        uint64_t missing = missing_bytes(disk, bytes);
        int r;

        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        if (!trash_has(disk, missing))
                return 0;
        r = disk_private_dir_for_each(fd, ".", add_name, &names);
        if (r < 0)
                return r;
        pathset_sort(&names); /* by time */
        return remove_oldest(disk, fd, &names, bytes, missing);
}
