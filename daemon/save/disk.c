/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The disk side of a mirror, and what already has a name there. See save/disk.h. */

#include "save/disk.h"

#include "os/fs.h"
#include "os/tree-attributes.h"

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
        atomic_init(&disk->keeps_inodes, 0);
        (void) snprintf(disk->prefix, sizeof(disk->prefix), "%016llx", (unsigned long long) hash);
        atomic_init(&disk->last, 0);
}

bool disk_keeps_inodes(Disk *disk) {
        int known = atomic_load(&disk->keeps_inodes);

        if (known == 0) {
                known = fs_has_stable_inodes(disk->rootfd) ? 1 : -1;
                atomic_store(&disk->keeps_inodes, known);
        }
        return known > 0;
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

int disk_check_expected(Disk *disk, const char *path, const Entry *expected) {
        _cleanup_(close_fdp) int parent = -1;
        FileIdentity identity;
        const char *last;
        struct stat st;
        int r;

        parent = fs_open_parent(disk->rootfd, path, &last);
        if (parent < 0)
                return parent == -ENOENT ? 0 : parent;
        if (!expected)
                return fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0 ? TREE_OCCUPIED
                       : errno == ENOENT                                    ? 0
                                                                            : -errno;
        r = disk_private_dir_look((TreeName){ parent, last }, expected, &identity);
        return r == TREE_ABSENT ? 0 : r;
}

TreeAttributes disk_attributes(const Entry *entry, bool own_owner) {
        return (TreeAttributes){ .uid = own_owner ? UINT32_MAX : entry->uid, .gid = own_owner ? UINT32_MAX : entry->gid,
                                 .mode = entry->mode, .mtime_nsec = entry->mtime_nsec, .lenient = true };
}

int disk_set_attributes(Disk *disk, const Entry *entry, const Entry *expected, bool own_owner, struct stat *ret) {
        FileIdentity identity = disk_private_dir_identity(expected);
        TreeAttributes attributes = disk_attributes(entry, own_owner);

        return tree_attributes_set_expected(disk->rootfd, entry->path, &identity, &attributes, true, ret);
}
