/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Special files that clients left in a mirror. See stage/special-files.h. */

#include "stage/special-files.h"

#include "os/fs.h"
#include "os/tree-rename.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Special files in deeper directories stay, and the mirror with them. */
enum { DEPTH_MAX = 128 };

static bool is_special(const struct stat *st) {
        return S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode) || S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* What is there instead by then, and cannot be put back, is found in the private directory, and the mirror is kept. */
static bool remove_special(MirrorPrivateDir *private_dir, int dirfd, const char *name, const struct stat *st) {
        char aside[MIRROR_PRIVATE_DIR_NAME_MAX];
        FileIdentity identity = identity_of(st);
        TreeRemoval removal = {
                .place = { dirfd, name }, .expected = &identity,
                .aside = { private_dir->fd, mirror_private_dir_name(private_dir, aside) },
        };

        return tree_rename_remove(&removal) == 0;
}

/* Returns true if something was removed. */
static bool clear(MirrorPrivateDir *private_dir, int parentfd, const char *directory, unsigned depth) {
        _cleanup_(closedirp) DIR *dir = NULL;
        bool removed = false;
        struct dirent *d;
        int fd;

        if (depth >= DEPTH_MAX || fs_open_directory(parentfd, directory, &dir) < 0)
                return false;
        fd = dirfd(dir);
        while ((d = fs_read_directory(dir))) {
                struct stat st;

                if ((depth == 0 && strcmp(d->d_name, SCAN_PRIVATE_DIR) == 0) ||
                    fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (is_special(&st))
                        removed = remove_special(private_dir, fd, d->d_name, &st) || removed;
                else if (S_ISDIR(st.st_mode) && clear(private_dir, fd, d->d_name, depth + 1)) {
                        removed = true;
                        (void) tree_access_drop_directory((TreeName){ fd, d->d_name }); /* if nothing else is in it */
                }
        }
        return removed;
}

void special_files_remove(MirrorPrivateDir *private_dir) {
        (void) clear(private_dir, private_dir->mirrorfd, ".", 0);
}
