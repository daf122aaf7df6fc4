/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Makes entries visible in the mirror. See stage/publish.h. */

#include "stage/publish.h"

#include "os/attributes.h"
#include "os/fs.h"

#include <fcntl.h>

/* Without CAP_CHOWN the owner cannot be set; that is a failure only for root. */
static int set_owner(int fd, const char *name, int flags, const Entry *source) {
        int r = attributes_set_owner(fd, name, flags, source->uid, source->gid);

        return r == ATTRIBUTES_REFUSED ? geteuid() != 0 ? 0 : -EPERM : r;
}

/* The entry of @fd or, if that is -1, of what is at the path in the mirror now. */
static int describe(MirrorPrivateDir *private_dir, int fd, const Entry *source, Entry *ret) {
        struct stat st;
        int r = fd < 0 ? fs_stat_beneath(private_dir->mirrorfd, source->path, &st) : fstat(fd, &st) < 0 ? -errno : 0;

        if (r < 0)
                return r;
        *ret = *source;
        ret->ino = st.st_ino;
        ret->ctime_nsec = fs_nsec(&st.st_ctim);
        return 0;
}

static int place(MirrorPrivateDir *private_dir, const char *name, int fd, const Entry *source, const Entry *expected,
                 bool idle, Entry *ret, const char **reterr_what) {
        int r = mirror_private_dir_publish(private_dir, name, source->path, expected, idle);

        *reterr_what = "move into place the copy of";
        if (r != 0) {
                if (unlinkat(private_dir->fd, name, 0) < 0)
                        (void) unlinkat(private_dir->fd, name, AT_REMOVEDIR);
                return r;
        }
        *reterr_what = "stat the copy of";
        return describe(private_dir, fd, source, ret);
}

/* Links the descriptor itself, for which the kernel demands CAP_DAC_READ_SEARCH before Linux 6.10 (open(2), O_TMPFILE),
 * or else its name in /proc. */
static int name_temporary(int fd, int dirfd, const char *name) {
        static atomic_bool refused;
        char path[64];

        if (!atomic_load(&refused)) {
                if (linkat(fd, "", dirfd, name, AT_EMPTY_PATH) == 0)
                        return 0;
                if (errno != ENOENT)
                        return -errno;
                atomic_store(&refused, true);
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int publish_file(MirrorPrivateDir *private_dir, int mirrorfd, int sourcefd, const Entry *source,
                 const Entry *expected, Entry *ret, bool *ret_xattrs_lost, const char **reterr_what) {
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        struct stat st;
        int r;

        *reterr_what = "copy the xattrs of";
        r = attributes_copy_xattrs(sourcefd, mirrorfd, ret_xattrs_lost);
        if (r < 0)
                return r;
        *reterr_what = "set owner, mode and time on the copy of";
        if (fstat(mirrorfd, &st) < 0)
                return -errno;
        if (st.st_uid != source->uid || st.st_gid != source->gid)
                r = set_owner(mirrorfd, "", AT_EMPTY_PATH, source);
        if (r == 0 && fchmod(mirrorfd, source->mode) < 0)
                r = -errno;
        if (r == 0)
                r = attributes_set_mtime(mirrorfd, "", AT_EMPTY_PATH, source->mtime_nsec);
        if (r < 0)
                return r;
        *reterr_what = "link the temporary file of";
        r = name_temporary(mirrorfd, private_dir->fd, mirror_private_dir_name_for(private_dir, st.st_ino, name));
        if (r < 0)
                return r;
        return place(private_dir, name, mirrorfd, source, expected, false, ret, reterr_what);
}

/* 0 if this is the file to link to: the first name may also be an old version, a link to the disk, or a client's. */
static int check_leader(int dirfd, const char *name, const Entry *source) {
        struct stat st;

        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return S_ISREG(st.st_mode) && (uint64_t) st.st_size == source->size &&
                               fs_nsec(&st.st_mtim) == source->mtime_nsec
                       ? 0
                       : -ESTALE;
}

int publish_hardlink(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                     const char **reterr_what) {
        _cleanup_(close_fdp) int parent = -1;
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        const char *last;
        int r;

        *reterr_what = "hard-link the copy of";
        parent = fs_open_parent(private_dir->mirrorfd, source->target, &last);
        if (parent < 0)
                return parent;
        /* checked before linking too, because a link and its removal change the ctime, which looks like a client's
         * change that has to be saved */
        r = check_leader(parent, last, source);
        if (r < 0)
                return r;
        if (linkat(parent, last, private_dir->fd, mirror_private_dir_name_new(private_dir, name), 0) < 0)
                return -errno;
        r = check_leader(private_dir->fd, name, source);
        if (r == 0)
                r = mirror_private_dir_name_created(private_dir, name);
        if (r < 0) {
                (void) unlinkat(private_dir->fd, name, 0);
                return r;
        }
        return place(private_dir, name, -1, source, expected, false, ret, reterr_what);
}

int publish_symlink(MirrorPrivateDir *private_dir, const Entry *source, const char *target, const Entry *expected,
                    Entry *ret, const char **reterr_what) {
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        int r;

        *reterr_what = "create the copy of the symbolic link";
        if (symlinkat(target, private_dir->fd, mirror_private_dir_name_new(private_dir, name)) < 0)
                return -errno;
        r = set_owner(private_dir->fd, name, AT_SYMLINK_NOFOLLOW, source);
        if (r == 0)
                r = attributes_set_mtime(private_dir->fd, name, AT_SYMLINK_NOFOLLOW, source->mtime_nsec);
        if (r == 0)
                r = mirror_private_dir_name_created(private_dir, name);
        if (r < 0) {
                (void) unlinkat(private_dir->fd, name, 0);
                return r;
        }
        return place(private_dir, name, -1, source, expected, expected && manifest_entry_is_data(expected), ret,
                     reterr_what);
}

int publish_directory(MirrorPrivateDir *private_dir, const Entry *source, const Entry *expected, Entry *ret,
                      const char **reterr_what) {
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        int r;

        *reterr_what = "create the copy of the directory";
        if (expected && expected->type == ENTRY_DIRECTORY)
                return describe(private_dir, -1, source, ret);
        if (mkdirat(private_dir->fd, mirror_private_dir_name_new(private_dir, name), 0700) < 0)
                return -errno;
        r = set_owner(private_dir->fd, name, 0, source);
        if (r == 0 && fchmodat(private_dir->fd, name, source->mode | 0700, 0) < 0)
                r = -errno;
        if (r == 0)
                r = mirror_private_dir_name_created(private_dir, name);
        if (r < 0) {
                (void) unlinkat(private_dir->fd, name, AT_REMOVEDIR);
                return r;
        }
        return place(private_dir, name, -1, source, expected, false, ret, reterr_what);
}

/* Unless we are root, a directory has to stay writable for us, so that it can be filled and emptied. */
static mode_t mirror_mode(const Entry *source) {
        return source->type == ENTRY_DIRECTORY && geteuid() != 0 ? source->mode | 0700 : source->mode;
}

int publish_attributes(MirrorPrivateDir *private_dir, const Entry *source, Entry *ret, const char **reterr_what) {
        _cleanup_(close_fdp) int fd = -1;
        char path[64];
        int r;

        *reterr_what = "set owner, mode and time on the copy of";
        fd = fs_open_beneath(private_dir->mirrorfd, source->path, O_PATH | O_NOFOLLOW, 0);
        if (fd < 0)
                return fd;
        r = set_owner(fd, "", AT_EMPTY_PATH, source);
        if (r < 0)
                return r;
        /* chmod() and utimensat() do not take an O_PATH descriptor, but they take its name in /proc */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (chmod(path, mirror_mode(source)) < 0)
                return -errno;
        r = attributes_set_mtime(AT_FDCWD, path, 0, source->mtime_nsec);
        return r < 0 ? r : describe(private_dir, -1, source, ret);
}
