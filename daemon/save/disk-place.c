/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Moves a saved file from tmp/ into place, with the order of syncs and renames that loses nothing in a crash. See
 * save/disk.h. */

#include "save/disk.h"

#include "os/fs.h"
#include "tree/scan.h"

#include <fcntl.h>

/* One temporary on its way to one place. */
typedef struct Move {
        Disk *disk;
        TreeName own, place;
        const char *path;
        DiskSlot kept; /* for what is replaced; .path is NULL if it is not kept */
} Move;

static int sync_kept(void *userdata) {
        Move *move = userdata;

        return disk_private_dir_slot_sync(&move->kept, move->disk->rootfd);
}

/* Its name must not allow the next start to remove what is to be kept, if we end before it is in conflicts/. */
static int exchange(Move *move, const FileIdentity *there) {
        char exchanged[DISK_NAME_MAX], spare[DISK_NAME_MAX];
        TreeReplacement replacement = {
                .own = move->own, .place = move->place, .expected = there, .durable = true,
                .exchanged = disk_private_dir_exchange_name(exchanged, move->disk->prefix, disk_number(move->disk),
                                                            tree_access_inode(move->own),
                                                            move->kept.path ? NULL : there),
                .spare = disk_private_dir_exchange_name(spare, move->disk->prefix, disk_number(move->disk), 0, NULL),
                .kept = { move->kept.fd, move->kept.path ? move->kept.name : NULL },
                .sync_kept = sync_kept, .userdata = move,
        };
        int r = tree_rename_replace(&replacement);

        if (r != 0 && replacement.left) /* what cannot be moved now is moved at the next start */
                (void) disk_private_dir_slot_put(move->disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, move->path,
                                                 move->own.dirfd, replacement.left, NULL);
        return r;
}

static int replace(Move *move, const Entry *expected, bool keep, char **ret_kept) {
        FileIdentity there;
        int r = disk_private_dir_look(move->place, expected, &there);

        if (r == 0 && S_ISDIR(there.type))
                return DISK_OCCUPIED;
        if (r == 0 && keep)
                r = disk_private_dir_slot_make(&move->kept, move->disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS,
                                               move->path);
        if (r != 0)
                return r;
        r = exchange(move, &there);
        if (keep && r != 0)
                disk_private_dir_slot_unmake(&move->kept, move->disk->rootfd);
        if (keep && r == 0 && ret_kept)
                *ret_kept = TAKE_PTR(move->kept.path);
        return r;
}

static int place_new(TreeName own, TreeName place) {
        int r = tree_rename_new(own, place);

        if (r == 0)
                r = fs_sync_directory(place.dirfd);
        return r != 0 ? r : fs_sync_directory(own.dirfd);
}

int disk_place(Disk *disk, const char *name, const char *path, const Entry *expected, bool keep, char **ret_kept) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false), parent = -1;
        Move move = { .disk = disk, .own = { tmpfd, name }, .path = path, .kept = DISK_SLOT_EMPTY };
        int r = TREE_ABSENT;

        if (tmpfd < 0)
                return tmpfd;
        parent = fs_open_parent(disk->rootfd, path, &move.place.name);
        if (parent < 0)
                return parent;
        move.place.dirfd = parent;
        if (expected)
                r = replace(&move, expected, keep, ret_kept);
        disk_private_dir_slot_done(&move.kept);
        return r == TREE_ABSENT ? place_new(move.own, move.place) : r;
}

int disk_drop_kept(Disk *disk, const char *kept) {
        static const char above[] = SCAN_PRIVATE_DIR "/" DISK_PRIVATE_DIR_CONFLICTS "/";
        _cleanup_(close_fdp) int fd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, false);
        _cleanup_(freep) char *slot = NULL;

        assert(strncmp(kept, above, sizeof(above) - 1) == 0);
        if (fd < 0)
                return fd;
        kept += sizeof(above) - 1;
        slot = strndup(kept, strcspn(kept, "/"));
        return slot ? disk_private_dir_remove_tree(fd, slot) : -ENOMEM;
}

int disk_place_conflict(Disk *disk, const char *name, const char *path, char **ret_kept) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, false);
        int r = tmpfd < 0 ? tmpfd
                          : disk_private_dir_slot_put(disk->rootfd, DISK_PRIVATE_DIR_CONFLICTS, path, tmpfd, name,
                                                      ret_kept);

        return r < 0 ? r : fs_sync_directory(tmpfd);
}

static int make_temporary_directory(TreeName at, const Entry *entry) {
        TreeAttributes attributes = disk_attributes(entry, false);
        int r = tree_access_create_directory(at, 0700);

        if (r < 0)
                return r;
        r = tree_attributes_set_directory(at, &attributes);
        if (r < 0)
                (void) tree_access_drop(at);
        return r;
}

/* Made in tmp/ like everything else, so that it never appears with an owner and a mode that are not its own. */
int disk_make_directory(Disk *disk, const Entry *entry) {
        _cleanup_(close_fdp) int tmpfd = disk_private_dir_open(disk->rootfd, DISK_PRIVATE_DIR_TMP, true), parent = -1;
        char name[DISK_NAME_MAX];
        TreeName own = { tmpfd, name };
        const char *last;
        struct stat st;
        int r;

        if (tmpfd < 0)
                return tmpfd;
        parent = fs_open_parent(disk->rootfd, entry->path, &last);
        if (parent < 0)
                return parent;
        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0)
                return S_ISDIR(st.st_mode) ? 0 : DISK_OCCUPIED;
        do {
                (void) disk_private_dir_name(name, disk->prefix, disk_number(disk));
                r = make_temporary_directory(own, entry);
        } while (r == -EEXIST);
        if (r < 0)
                return r;
        r = place_new(own, (TreeName){ parent, last });
        if (r != 0)
                (void) tree_access_drop(own);
        return r;
}
