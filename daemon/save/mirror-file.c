/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A file of the mirror that is to be read. See save/mirror-file.h. */

#include "save/mirror-file.h"

#include "os/tree-access.h"

/* Any change moves the ctime. So does unlink(), but a process that could still write then had the file open before,
 * which mirror_file_open() has ruled out. */
bool mirror_file_is_same(const struct stat *st, const Entry *seen) {
        return S_ISREG(st->st_mode) && (uint64_t) st->st_size == seen->size &&
               fs_nsec(&st->st_mtim) == seen->mtime_nsec && st->st_ino == seen->ino &&
               (fs_nsec(&st->st_ctim) == seen->ctime_nsec || st->st_nlink == 0);
}

int mirror_file_check(MirrorFile *file) {
        if (fstat(file->fd, &file->st) < 0)
                return -errno;
        if (!mirror_file_is_same(&file->st, file->seen))
                return SAVE_CHANGED;
        return file->observed && tree_access_is_disturbed(file->fd) ? SAVE_BUSY : 0;
}

int mirror_file_observe(MirrorFile *file) {
        int r = tree_access_observe(file->fd);

        file->observed = r == 0;
        return r == TREE_BUSY ? SAVE_BUSY : 0;
}

int mirror_file_open(MirrorFile *ret, int mirrorfd, const Entry *seen) {
        MirrorFile file = { .fd = -1, .seen = seen };
        FileIdentity identity = manifest_identity(seen);
        int r = tree_access_open_expected(mirrorfd, seen->path, &identity, &file.fd, &file.st);

        if (r == 0 && tree_access_is_being_written(file.fd))
                r = SAVE_BUSY;
        else if (r > 0)
                r = r == TREE_ABSENT ? SAVE_GONE : SAVE_CHANGED;
        if (r == 0)
                *ret = file;
        else
                mirror_file_done(&file);
        return r;
}

void mirror_file_done(MirrorFile *file) {
        file->fd = close_fd(file->fd);
}
