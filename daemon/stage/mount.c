/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The sized tmpfs of a mirror: finding and mounting it. See stage/mount.h; its options are in stage/tmpfs-options.c.
 *
 * A tmpfs is attached (move_mount, Linux 5.2) to the directory that was checked, by its descriptor, and not to whatever
 * has its name by then. The mount that a directory belongs to is found by its mount id (Linux 5.8), because a path in
 * the mount table may be hidden under another mount. The source of a tmpfs of ours (TMPFS_SOURCE) is how it is
 * recognized after a crash. */

#include "stage/mount.h"

#include "os/fs.h"
#include "os/own-file.h"
#include "os/numa.h"
#include "stage/tmpfs-options.h"

#include <fcntl.h>
#include <libmount.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

/* Where a directory is: the entry of the mount table that it belongs to. */
typedef struct Place {
        struct libmnt_table *table; /* owned */
        struct libmnt_fs *fs;       /* borrowed from the table; NULL: in no mount of the table */
        bool is_root;               /* it is the root of that mount */
} Place;

static void place_done(Place *place) {
        mnt_unref_table(place->table);
}

static int mount_id(int fd, const char *path, uint64_t *ret) {
        struct statx st;

        if (statx(fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st) < 0)
                return -errno;
        if (!(st.stx_mask & STATX_MNT_ID))
                return -EOPNOTSUPP;
        *ret = st.stx_mnt_id;
        return 0;
}

static int place_find(int fd, const char *path, Place *ret) {
        _cleanup_(place_done) Place place = { .table = mnt_new_table() };
        _cleanup_(freep) char *real = NULL;
        struct libmnt_iter *iter;
        struct libmnt_fs *fs;
        uint64_t id;
        int r;

        if (!place.table)
                return -ENOMEM;
        r = mount_id(fd, "", &id);
        if (r < 0)
                return r;
        r = mnt_table_parse_file(place.table, "/proc/self/mountinfo");
        if (r != 0)
                return r < 0 ? r : -EIO;
        real = realpath(path, NULL);
        if (!real)
                return -errno;
        iter = mnt_new_iter(MNT_ITER_BACKWARD);
        if (!iter)
                return -ENOMEM;
        while (mnt_table_next_fs(place.table, iter, &fs) == 0)
                if ((uint64_t) mnt_fs_get_id(fs) == id) {
                        place.fs = fs;
                        place.is_root = string_equal(mnt_fs_get_target(fs), real);
                        break;
                }
        mnt_free_iter(iter);
        *ret = place;
        place.table = NULL;
        return 0;
}

typedef enum MountRight { MAY_MOUNT, MAY_NOT_MOUNT, MOUNT_WOULD_BE_HIDDEN } MountRight;

/* Found by starting a tmpfs, because only the kernel knows what user namespaces and system call filters permit. In a
 * service the mount namespace must be that of PID 1, or no other process sees what we mount. */
static MountRight find_mount_right(void) {
        _cleanup_(close_fdp) int fs = -1;
        char own[64] = "", first[64] = "";

        if (getenv("INVOCATION_ID") && sd_booted() > 0 &&
            (readlink("/proc/self/ns/mnt", own, sizeof(own) - 1) < 0 ||
             readlink("/proc/1/ns/mnt", first, sizeof(first) - 1) < 0 || !string_equal(own, first)))
                return MOUNT_WOULD_BE_HIDDEN;
        fs = tmpfs_options_open_context();
        return fs >= 0 ? MAY_MOUNT : MAY_NOT_MOUNT;
}

static int open_target(const char *target) {
        struct stat st;
        int fd;

        if (lstat(target, &st) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP;
        fd = open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* The nearest directory above @path that exists. */
static int open_ancestor(const char *path) {
        _cleanup_(freep) char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (;;) {
                char *slash = strrchr(copy, '/');
                int fd;

                if (!slash || slash == copy)
                        return (fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0 ? -errno : fd;
                *slash = '\0';
                fd = open(copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd >= 0)
                        return fd;
                if (errno != ENOENT)
                        return -errno;
        }
}

/* Positive if the directory itself was created here, 0 if another process was faster. */
static int make_target(const char *target) {
        _cleanup_(freep) char *parent = strdup(target);
        char *slash;
        int r;

        if (!parent)
                return -ENOMEM;
        slash = strrchr(parent, '/');
        if (slash && slash != parent) {
                *slash = '\0';
                r = own_file_make_path(parent);
                if (r < 0)
                        return r;
        }
        if (mkdir(target, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        return 1;
}

static int is_empty(int fd) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int r = fs_open_directory(fd, ".", &dir);

        if (r < 0)
                return r;
        if (fs_read_directory(dir))
                return 0;
        return errno != 0 ? -errno : 1;
}

static int mount_here(const MirrorConfig *mirror, uint64_t size, Mount *mount, const char **reterr_what) {
        _cleanup_(close_fdp) int tmpfs = -1, root = -1;
        TmpfsOptions options;
        int r;

        *reterr_what = "query the tmpfs options for";
        r = tmpfs_options_probe(mirror, mount->n_nodes, &options);
        if (r < 0)
                return r;
        tmpfs = tmpfs_options_create(mirror, size, &options, reterr_what);
        if (tmpfs < 0)
                return tmpfs;
        *reterr_what = "mount a tmpfs on";
        if (move_mount(tmpfs, "", mount->fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return -errno;
        root = openat(tmpfs, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0) {
                r = -errno;
                (void) umount2(mirror->target, MNT_DETACH | UMOUNT_NOFOLLOW); /* the failure to open it is reported */
                return r;
        }
        (void) close_fd(mount->fd);
        mount->fd = TAKE_FD(root);
        mount->kind = MOUNT_MADE;
        memcpy(mount->answer, options.answer, sizeof(mount->answer));
        if (options.answer[TMPFS_MPOL] == TMPFS_ACCEPTED)
                (void) snprintf(mount->mpol, sizeof(mount->mpol), "%s",
                                numa_wanted(mirror->numa_policy, mount->n_nodes));
        return 0;
}

/* The options in effect of a tmpfs that was there, from its entry in the mount table; @fs may be NULL. */
static int read_options(const MirrorConfig *mirror, struct libmnt_fs *fs, Mount *mount, const char **reterr_what) {
        const char *text = fs ? mnt_fs_get_fs_options(fs) : NULL;
        _cleanup_(freep) char *mpol = numa_in_force(text);

        *reterr_what = "allocate memory for";
        if (!mpol)
                return -ENOMEM;
        (void) snprintf(mount->mpol, sizeof(mount->mpol), "%s", mpol);
        return tmpfs_options_read_answers(text, mirror, mount->n_nodes, mount->answer);
}

/* Target= is a mount point already. */
static int use_found(const MirrorConfig *mirror, struct libmnt_fs *fs, Mount *mount, const char **reterr_what) {
        FsRoom room;
        int r;

        if (!string_equal(mnt_fs_get_fstype(fs), "tmpfs"))
                return MOUNT_OTHER_MOUNTED;
        *reterr_what = "get the size of the tmpfs on";
        r = fs_room(mount->fd, &room);
        if (r < 0)
                return r;
        mount->kind = MOUNT_FOUND;
        if (string_equal(mnt_fs_get_source(fs), TMPFS_SOURCE) && find_mount_right() == MAY_MOUNT)
                mount->kind = MOUNT_MADE;
        if (room.total > 0) /* 0: a tmpfs without a limit */
                mount->budget = MIN(mount->budget, room.total);
        return read_options(mirror, fs, mount, reterr_what);
}

/* Target= is a directory and no mount point. */
static int use_directory(const MirrorConfig *mirror, uint64_t size, Mount *mount, struct libmnt_fs *fs,
                         const char **reterr_what) {
        MountRight may = find_mount_right();
        int r;

        if (may == MAY_MOUNT) {
                *reterr_what = "list";
                r = is_empty(mount->fd);
                if (r < 0)
                        return r;
                if (r > 0)
                        return mount_here(mirror, size, mount, reterr_what);
        }
        *reterr_what = "get the filesystem of";
        r = fs_is_tmpfs(mount->fd);
        if (r < 0)
                return r;
        if (r == 0)
                return may == MAY_MOUNT ? MOUNT_COVERS_FILES
                     : may == MOUNT_WOULD_BE_HIDDEN ? MOUNT_INVISIBLE : MOUNT_NOT_TMPFS;
        mount->kind = MOUNT_DIRECTORY;
        return read_options(mirror, fs, mount, reterr_what);
}

/* Creates Target= if it is missing, but only where it can become a mirror: none is left behind on a disk. */
static int provide_target(const char *target, Mount *mount, const char **reterr_what) {
        _cleanup_(close_fdp) int above = -1;
        MountRight may;
        int r;

        if (faccessat(AT_FDCWD, target, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
                return 0; /* find_or_make() finds out what is wrong with it */
        *reterr_what = "open the parent directory of";
        above = open_ancestor(target);
        if (above < 0)
                return above;
        may = find_mount_right();
        if (may != MAY_MOUNT) {
                r = fs_is_tmpfs(above);
                if (r < 0)
                        return r;
                if (r == 0)
                        return may == MOUNT_WOULD_BE_HIDDEN ? MOUNT_INVISIBLE : MOUNT_NOT_TMPFS;
        }
        *reterr_what = "create";
        r = make_target(target);
        mount->made_directory = r > 0;
        return MIN(r, 0);
}

static int find_or_make(const MirrorConfig *mirror, uint64_t size, Mount *mount, const char **reterr_what) {
        _cleanup_(place_done) Place place = {};
        int r;

        *reterr_what = "open";
        mount->fd = open_target(mirror->target);
        if (mount->fd < 0)
                return mount->fd;
        *reterr_what = "find the mount of";
        r = place_find(mount->fd, mirror->target, &place);
        if (r < 0)
                return r;
        if (place.is_root)
                return use_found(mirror, place.fs, mount, reterr_what);
        return use_directory(mirror, size, mount, place.fs, reterr_what);
}

int mount_open(const MirrorConfig *mirror, uint64_t size, Mount *ret, const char **reterr_what) {
        Mount mount = { .fd = -1, .budget = size, .n_nodes = numa_read_nodes("/sys") };
        const char *what = NULL;
        int r;

        assert(mirror && mirror->target && ret && reterr_what);
        r = provide_target(mirror->target, &mount, &what);
        if (r == 0)
                r = find_or_make(mirror, size, &mount, &what);
        if (r == 0) {
                *ret = mount;
                return 0;
        }
        (void) close_fd(mount.fd);
        if (mount.made_directory)
                (void) rmdir(mirror->target); /* what failed before is reported */
        if (r < 0)
                *reterr_what = what;
        return r;
}

void mount_freeze(const Mount *mount, bool freeze) {
        enum { TRIES = 10, PAUSE_USEC = 1000 };
        struct mount_attr attributes = { 0 };

        if (mount->fd < 0 || mount->kind != MOUNT_MADE)
                return;
        *(freeze ? &attributes.attr_set : &attributes.attr_clr) = MOUNT_ATTR_RDONLY;
        /* it is busy for the moments in which a process creates or renames something */
        for (unsigned i = 0; i < TRIES; i++) {
                if (mount_setattr(mount->fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) == 0 || errno != EBUSY)
                        return;
                (void) usleep(PAUSE_USEC);
        }
}

/* Unmounts our tmpfs from @target, unless something was mounted over it since then. */
static int unmount(int fd, const char *target) {
        _cleanup_(place_done) Place place = {};
        uint64_t ours, there;
        int r;

        r = mount_id(fd, "", &ours);
        if (r < 0)
                return r;
        r = mount_id(AT_FDCWD, target, &there);
        if (r < 0)
                return r;
        if (ours == there)
                return umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
        r = place_find(fd, target, &place);
        if (r < 0)
                return r;
        return place.fs ? -EBUSY : 0; /* not in the table: it is unmounted already */
}

int mount_close(Mount *mount, const char *target, bool remove) {
        int r = 0;

        assert(mount && target);
        if (remove && mount->fd >= 0 && mount->kind == MOUNT_MADE)
                r = unmount(mount->fd, target);
        if (r < 0)
                mount_freeze(mount, false);
        mount->fd = close_fd(mount->fd);
        if (remove && r == 0 && mount->made_directory && rmdir(target) < 0 && errno != ENOTEMPTY && errno != ENOENT)
                r = -errno;
        return r;
}

bool mount_is_same(const MirrorConfig *a, const MirrorConfig *b) {
        return a->size.kind == b->size.kind && a->size.value == b->size.value && a->huge_pages == b->huge_pages &&
               a->swap == b->swap && string_equal(a->numa_policy, b->numa_policy);
}
