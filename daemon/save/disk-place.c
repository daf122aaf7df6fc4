/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Moves a saved file from tmp/ into place, with the order of syncs and renames that loses nothing in a crash. See
 * save/disk.h. */

#include "save/disk.h"

#include "os/attributes.h"
#include "os/fs.h"
#include "os/rename.h"

#include <fcntl.h>

/* One temporary on its way to one place. */
typedef struct Move {
        Disk *disk;
        int tmpfd, parent;
        const char *name;            /* in tmp/ */
        char exchanged[DISK_NAME_MAX]; /* in tmp/, while it may be either of the two */
        const char *path, *last;
        const Entry *expected;
        DiskSlot kept; /* for what is replaced; .path is NULL if it is not kept */
} Move;

enum { NOTHING_THERE = 2 };

static int sync_both(const Move *move) {
        int r = fs_sync_directory(move->parent);

        return r < 0 ? r : fs_sync_directory(move->tmpfd);
}

static bool is_expected_at(const Move *move, int dirfd, const char *name) {
        struct stat st;

        return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) &&
               disk_private_dir_is_expected(dirfd, name, &st, move->expected);
}

/* The exchange brought out something else than what was checked a moment before. If something newer has the name by
 * now, that keeps it, and neither of the other two may get lost. */
static void undo(Move *move, ino_t placed) {
        char spare[DISK_NAME_MAX];
        const char *left = NULL;

        (void) disk_private_dir_exchange_name(spare, move->disk->prefix, disk_number(move->disk), 0, NULL);
        if (rename_undo(move->tmpfd, move->exchanged, move->parent, move->last, placed, spare) == RENAME_ASTRAY)
                left = spare;
        else if (rename_inode(move->tmpfd, move->exchanged) != placed)
                left = move->exchanged;
        if (left) /* what cannot be moved now is moved at the next start */
                (void) disk_private_dir_slot_put(move->disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, move->path,
                                                 move->tmpfd, left, NULL);
}

/* The two have been exchanged. Only when that has been synced may the old one go. */
static int finish_exchange(Move *move, ino_t placed) {
        int r;

        if (!is_expected_at(move, move->tmpfd, move->exchanged)) {
                undo(move, placed);
                return DISK_OCCUPIED;
        }
        r = sync_both(move);
        if (r < 0) {
                undo(move, placed);
                return r;
        }
        if (!move->kept.path)
                return unlinkat(move->tmpfd, move->exchanged, 0) < 0 ? -errno : 0;
        r = rename_with_flags(move->tmpfd, move->exchanged, move->kept.fd, move->kept.name, 0);
        if (r < 0) {
                undo(move, placed);
                return r;
        }
        return disk_private_dir_slot_sync(&move->kept, move->disk->rootfd);
}

/* Gives what is replaced a second name in conflicts/; where there are no hard links, it is moved there. */
static int keep_plainly(Move *move, bool *ret_moved) {
        int r = 0;

        if (linkat(move->parent, move->last, move->kept.fd, move->kept.name, 0) < 0) {
                *ret_moved = rename_is_link_unsupported(errno);
                r = *ret_moved ? rename_with_flags(move->parent, move->last, move->kept.fd, move->kept.name, 0)
                               : -errno;
        }
        if (r == 0 && !is_expected_at(move, move->kept.fd, move->kept.name))
                r = DISK_OCCUPIED;
        return r != 0 ? r : disk_private_dir_slot_sync(&move->kept, move->disk->rootfd);
}

/* Undoes that. If something newer has the name by now, it stays in conflicts/. */
static void unkeep_plainly(Move *move) {
        if (rename_new(move->kept.fd, move->kept.name, move->parent, move->last) == 0)
                return;
        if (rename_inode(move->kept.fd, move->kept.name) == rename_inode(move->parent, move->last))
                (void) unlinkat(move->kept.fd, move->kept.name, 0);
        else
                (void) disk_private_dir_slot_sync(&move->kept, move->disk->rootfd);
}

static int rename_over(Move *move) {
        int r;

        if (!is_expected_at(move, move->parent, move->last))
                return DISK_OCCUPIED;
        r = rename_with_flags(move->tmpfd, move->name, move->parent, move->last, 0);
        if (r == 0)
                (void) unlinkat(move->tmpfd, move->name, 0); /* a rename between two names of one file does nothing */
        return r;
}

/* Where names cannot be exchanged. There is a short gap between the last check and the rename. */
static int replace_plainly(Move *move) {
        bool moved = false;
        int r = move->kept.path ? keep_plainly(move, &moved) : 0;

        if (r == 0)
                r = moved ? rename_new(move->tmpfd, move->name, move->parent, move->last) : rename_over(move);
        if (r == 0)
                return sync_both(move);
        if (move->kept.path)
                unkeep_plainly(move);
        return r;
}

static int exchange(Move *move, const struct stat *there) {
        ino_t placed = rename_inode(move->tmpfd, move->name);
        int r;

        /* the name must not allow the next start to remove what is to be kept, if we end before it is in conflicts/ */
        (void) disk_private_dir_exchange_name(move->exchanged, move->disk->prefix, disk_number(move->disk), placed,
                                              move->kept.path ? NULL : there);
        r = rename_with_flags(move->tmpfd, move->name, move->tmpfd, move->exchanged, 0);
        if (r < 0)
                return r;
        r = rename_with_flags(move->tmpfd, move->exchanged, move->parent, move->last, RENAME_EXCHANGE);
        if (r == 0) {
                r = finish_exchange(move, placed);
                if (r != 0 && rename_inode(move->tmpfd, move->exchanged) == placed)
                        (void) rename_with_flags(move->tmpfd, move->exchanged, move->tmpfd, move->name, 0);
                return r;
        }
        (void) rename_with_flags(move->tmpfd, move->exchanged, move->tmpfd, move->name, 0);
        if (rename_is_unsupported(-r))
                return replace_plainly(move);
        return r == -ENOENT ? NOTHING_THERE : r;
}

static int replace(Move *move, bool keep, char **ret_kept) {
        struct stat there;
        int r;

        if (fstatat(move->parent, move->last, &there, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? NOTHING_THERE : -errno;
        if (!is_expected_at(move, move->parent, move->last))
                return DISK_OCCUPIED;
        r = keep ? disk_private_dir_slot_make(&move->kept, move->disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, move->path)
                 : 0;
        if (r < 0)
                return r;
        r = exchange(move, &there);
        if (keep && r != 0)
                disk_private_dir_slot_unmake(&move->kept, move->disk->rootfd);
        if (keep && r == 0 && ret_kept)
                *ret_kept = TAKE_PTR(move->kept.path);
        return r;
}

static int place_new(Move *move) {
        int r = rename_new(move->tmpfd, move->name, move->parent, move->last);

        return r != 0 ? r : sync_both(move);
}

int disk_place(Disk *disk, const char *name, const char *path, const Entry *expected, bool keep, char **ret_kept) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false), parent = -1;
        Move move = { .disk = disk, .name = name, .path = path, .expected = expected, .kept = DISK_SLOT_EMPTY };
        int r = NOTHING_THERE;

        if (tmpfd < 0)
                return tmpfd;
        parent = fs_open_parent(disk->rootfd, path, &move.last);
        if (parent < 0)
                return parent;
        move.tmpfd = tmpfd;
        move.parent = parent;
        if (expected)
                r = replace(&move, keep, ret_kept);
        disk_private_dir_slot_done(&move.kept);
        return r == NOTHING_THERE ? place_new(&move) : r;
}

int disk_place_conflict(Disk *disk, const char *name, const char *path, char **ret_kept) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false);
        int r = tmpfd < 0 ? tmpfd
                          : disk_private_dir_slot_put(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, path, tmpfd, name,
                                                      ret_kept);

        return r < 0 ? r : fs_sync_directory(tmpfd);
}

static int make_temporary_directory(Disk *disk, int tmpfd, const Entry *entry, char name[static DISK_NAME_MAX]) {
        int r;

        do
                r = mkdirat(tmpfd, disk_private_dir_name(name, disk->prefix, disk_number(disk)), 0700);
        while (r < 0 && errno == EEXIST);
        if (r < 0)
                return -errno;
        r = attributes_set_owner(tmpfd, name, 0, entry->uid, entry->gid);
        if (r >= 0 && fchmodat(tmpfd, name, entry->mode & 0777, 0) < 0 && errno != EPERM) /* EPERM: it keeps no modes */
                r = -errno;
        if (r < 0)
                (void) unlinkat(tmpfd, name, AT_REMOVEDIR);
        return r < 0 ? r : 0;
}

/* Made in tmp/ like everything else, so that it never appears with an owner and a mode that are not its own. */
int disk_make_directory(Disk *disk, const Entry *entry) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true), parent = -1;
        Move move = { .disk = disk, .path = entry->path, .kept = DISK_SLOT_EMPTY };
        char name[DISK_NAME_MAX];
        struct stat st;
        int r;

        if (tmpfd < 0)
                return tmpfd;
        parent = fs_open_parent(disk->rootfd, entry->path, &move.last);
        if (parent < 0)
                return parent;
        if (fstatat(parent, move.last, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return S_ISDIR(st.st_mode) ? 0 : DISK_OCCUPIED;
        r = make_temporary_directory(disk, tmpfd, entry, name);
        if (r < 0)
                return r;
        move.tmpfd = tmpfd;
        move.parent = parent;
        move.name = name;
        r = place_new(&move);
        if (r != 0)
                (void) unlinkat(tmpfd, name, AT_REMOVEDIR);
        return r;
}
