/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The private directory on the disk. See save/disk-private-dir.h. */

#include "save/disk-private-dir.h"

#include "base/clock.h"
#include "base/text.h"
#include "os/fs.h"
#include "os/tree-rename.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <limits.h>

static int open_directory(int dirfd, const char *name) {
        return fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

static int make_directory(int dirfd, const char *name) {
        int r = tree_access_create_directory((TreeName){ dirfd, name }, 0700);

        return r < 0 ? r == -EEXIST ? 0 : r : fs_sync_directory(dirfd);
}

int disk_private_dir_open(int rootfd, const char *directory, bool make) {
        _cleanup_(close_fdp) int private_dir = -1;
        int r = make ? make_directory(rootfd, SCAN_PRIVATE_DIR) : 0;

        if (r < 0)
                return r;
        private_dir = open_directory(rootfd, SCAN_PRIVATE_DIR);
        if (private_dir < 0)
                return private_dir;
        r = make ? make_directory(private_dir, directory) : 0;
        return r < 0 ? r : open_directory(private_dir, directory);
}

FileIdentity disk_private_dir_identity(const Entry *expected) {
        static const uint32_t types[] = {
                [ENTRY_FILE] = S_IFREG, [ENTRY_HARDLINK] = S_IFREG,
                [ENTRY_DIRECTORY] = S_IFDIR, [ENTRY_SYMLINK] = S_IFLNK,
        };

        return (FileIdentity){ .ino = expected->type == ENTRY_DIRECTORY ? 0 : expected->ino, .size = expected->size,
                               .mtime_nsec = expected->mtime_nsec, .type = types[expected->type] };
}

static bool has_target(TreeName at, const char *wanted) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(at.dirfd, at.name, target, sizeof(target) - 1);

        if (n < 0)
                return false;
        target[n] = '\0';
        return string_equal(target, wanted);
}

/* A link with the same text is the same. The scan turns an absolute link into the tree into a relative one, so that
 * one is known by its inode. */
static bool is_expected(TreeName at, const FileIdentity *found, const Entry *expected) {
        FileIdentity seen = disk_private_dir_identity(expected);

        if (found->type == S_IFLNK && seen.type == S_IFLNK && has_target(at, expected->target))
                return true;
        return identity_compare(&seen, found) == IDENTITY_SAME && (seen.type != S_IFLNK || seen.ino != 0);
}

int disk_private_dir_look(TreeName at, const Entry *expected, FileIdentity *ret) {
        struct stat st;

        if (fstatat(at.dirfd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? TREE_ABSENT : -errno;
        *ret = identity_of(&st);
        if (!is_expected(at, ret, expected))
                return TREE_OCCUPIED;
        if (expected->ino == 0) /* the filesystem cannot be relied on for inode numbers, nor for the ctime */
                ret->ino = 0;
        if (expected->ino == 0)
                ret->ctime_nsec = 0;
        return 0;
}

/* --- names in tmp/ --- */

char *disk_private_dir_name(char buffer[static DISK_PRIVATE_DIR_NAME_MAX], const char *prefix, uint64_t number) {
        (void) snprintf(buffer, DISK_PRIVATE_DIR_NAME_MAX, "%s-%llx", prefix, (unsigned long long) number);
        return buffer;
}

char *disk_private_dir_exchange_name(char buffer[static DISK_PRIVATE_DIR_NAME_MAX], const char *prefix,
                                     uint64_t number, uint64_t ino, const FileIdentity *replaced) {
        (void) snprintf(buffer, DISK_PRIVATE_DIR_NAME_MAX, "%s-%llx-%llx-%llx-%llx", prefix,
                        (unsigned long long) number, (unsigned long long) ino,
                        (unsigned long long) (replaced ? replaced->ino : 0),
                        (unsigned long long) (replaced ? replaced->mtime_nsec : 0));
        return buffer;
}

DiskNameOwner disk_private_dir_owner(const char *prefix, const char *name, const struct stat *st,
                                     uint64_t *ret_number) {
        unsigned long long number, ino, replaced, mtime;
        size_t n = strlen(prefix);
        int fields;

        if (strncmp(name, prefix, n) != 0)
                return DISK_NAME_FOREIGN;
        fields = sscanf(name + n, "-%llx-%llx-%llx-%llx", &number, &ino, &replaced, &mtime);
        if (fields != 1 && fields != 4)
                return DISK_NAME_FOREIGN;
        *ret_number = number;
        if (fields == 1 || st->st_ino == ino)
                return DISK_NAME_OURS;
        return st->st_ino == replaced && (unsigned long long) fs_nsec(&st->st_mtim) == mtime ? DISK_NAME_OURS
                                                                                             : DISK_NAME_CLIENTS;
}

/* --- slots --- */

/* YYYYMMDDTHHMMSS.NNNNNNNNNZ-UPTIME, so that names sort by time. */
static int time_name(char buffer[static 64]) {
        struct timespec now;
        struct tm tm;
        size_t n;

        if (clock_gettime(CLOCK_REALTIME, &now) < 0 || !gmtime_r(&now.tv_sec, &tm))
                return -errno;
        n = strftime(buffer, 64, "%Y%m%dT%H%M%S", &tm);
        (void) snprintf(buffer + n, 64 - n, ".%09ldZ-%llu", now.tv_nsec,
                        (unsigned long long) clock_usec(CLOCK_BOOTTIME));
        return 0;
}

/* Two at the same nanosecond get different times. */
static int make_time(int fd, char buffer[static 64]) {
        int r;

        do {
                r = time_name(buffer);
                if (r < 0)
                        return r;
                r = tree_access_create_directory((TreeName){ fd, buffer }, 0700);
        } while (r == -EEXIST);
        return r;
}

/* Makes the directories of the path, and moves slot->fd and slot->name down to the last one. */
static int make_parents(DiskSlot *slot) {
        char *name = (char *) slot->name;

        for (char *slash; (slash = strchr(name, '/')); name = slash + 1) {
                int fd, r;

                *slash = '\0';
                r = tree_access_create_directory((TreeName){ slot->fd, name }, 0700);
                fd = r < 0 ? r : open_directory(slot->fd, name);
                *slash = '/';
                if (fd < 0)
                        return fd;
                (void) close_fd(slot->fd);
                slot->fd = fd;
        }
        slot->name = name;
        return 0;
}

static int make_path(DiskSlot *slot, const char *directory, const char *time, const char *path) {
        slot->path = text_format(SCAN_PRIVATE_DIR "/%s/%s/%s", directory, time, path);
        if (!slot->path)
                return -ENOMEM;
        slot->name = slot->path + strlen(slot->path) - strlen(path);
        slot->top = strlen(SCAN_PRIVATE_DIR "/") + strlen(directory);
        return 0;
}

int disk_private_dir_slot_make(DiskSlot *ret, int rootfd, const char *directory, const char *path) {
        _cleanup_(close_fdp) int fd = disk_private_dir_open(rootfd, directory, true);
        _cleanup_(disk_private_dir_slot_done) DiskSlot slot = DISK_SLOT_EMPTY;
        const char *slash = strrchr(path, '/');
        char time[64];
        int r;

        if (fd < 0)
                return fd;
        r = make_time(fd, time);
        if (r < 0)
                return r;
        if (strlen(path) + 128 > PATH_MAX && slash)
                path = slash + 1; /* the whole path would be too long */
        r = make_path(&slot, directory, time, path);
        if (r < 0) {
                (void) tree_access_drop((TreeName){ fd, time });
                return r;
        }
        slot.fd = open_directory(fd, time);
        r = slot.fd < 0 ? slot.fd : make_parents(&slot);
        if (r < 0) {
                disk_private_dir_slot_unmake(&slot, rootfd);
                return r;
        }
        *ret = slot;
        slot = (DiskSlot) DISK_SLOT_EMPTY;
        return 0;
}

/* Cuts the last name off, but nothing of the first @top bytes. */
static bool go_up(char *path, size_t top) {
        char *slash = strrchr(path, '/');

        if (!slash || (size_t) (slash - path) < top)
                return false;
        *slash = '\0';
        return true;
}

int disk_private_dir_slot_sync(const DiskSlot *slot, int rootfd) {
        _cleanup_(freep) char *path = strdup(slot->path);

        if (!path)
                return -ENOMEM;
        while (go_up(path, slot->top)) {
                _cleanup_(close_fdp) int fd = fs_open_beneath(rootfd, path, O_PATH | O_DIRECTORY);
                int r = fd < 0 ? fd : fs_sync_directory(fd);

                if (r < 0)
                        return r;
        }
        return 0;
}

void disk_private_dir_slot_unmake(const DiskSlot *slot, int rootfd) {
        _cleanup_(freep) char *path = strdup(slot->path);

        while (path && go_up(path, slot->top + 1)) {
                const char *last;
                _cleanup_(close_fdp) int parent = fs_open_parent(rootfd, path, &last);

                if (parent >= 0) /* where one is not empty, everything above it stays too */
                        (void) tree_access_drop_directory((TreeName){ parent, last });
        }
}

void disk_private_dir_slot_done(DiskSlot *slot) {
        slot->fd = close_fd(slot->fd);
        free(slot->path);
        slot->path = NULL;
}

int disk_private_dir_slot_put(int rootfd, const char *directory, const char *path, int fd, const char *name,
                              char **ret_kept) {
        _cleanup_(disk_private_dir_slot_done) DiskSlot slot = DISK_SLOT_EMPTY;
        int r = disk_private_dir_slot_make(&slot, rootfd, directory, path);

        if (r < 0)
                return r;
        r = tree_rename_own((TreeName){ fd, name }, (TreeName){ slot.fd, slot.name });
        if (r < 0)
                disk_private_dir_slot_unmake(&slot, rootfd);
        else
                r = disk_private_dir_slot_sync(&slot, rootfd);
        if (r == 0 && ret_kept)
                *ret_kept = TAKE_PTR(slot.path);
        return r;
}

static int parse_time(const char *name, int64_t *ret_nsec, uint64_t *ret_uptime_usec) {
        struct tm tm = {};
        unsigned long long up;
        long nsec;
        int n = 0;

        if (sscanf(name, "%4d%2d%2dT%2d%2d%2d.%9ldZ-%llu%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
                   &tm.tm_min, &tm.tm_sec, &nsec, &up, &n) != 8 ||
            name[n])
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon--;
        *ret_nsec = (int64_t) timegm(&tm) * NSEC_PER_SEC + nsec;
        *ret_uptime_usec = up;
        return 0;
}

int disk_private_dir_slot_age(const char *name, const struct stat *st, uint64_t *ret_usec) {
        struct timespec now;
        int64_t made, age;
        uint64_t up, then;
        int r = parse_time(name, &made, &then);

        if (r < 0)
                return r;
        if (clock_gettime(CLOCK_REALTIME, &now) < 0)
                return -errno;
        age = MIN(fs_nsec(&now) - made, fs_nsec(&now) - fs_nsec(&st->st_ctim));
        up = clock_usec(CLOCK_BOOTTIME);
        if (up >= then)
                age = MIN(age, (int64_t) (up - then) * 1000);
        *ret_usec = age < 0 ? 0 : (uint64_t) (age / 1000);
        return 0;
}

/* --- trees --- */

int disk_private_dir_for_each(int dirfd, const char *name, int (*act)(int dirfd, const char *name, void *userdata),
                              void *userdata) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int fd = open_directory(dirfd, name), r = 0;
        struct dirent *d;

        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir) {
                (void) close_fd(fd);
                return -errno;
        }
        while (r == 0 && (d = fs_read_directory(dir)))
                r = act(fd, d->d_name, userdata);
        return r;
}

static int remove_one(int dirfd, const char *name, void *userdata) {
        for (unsigned attempt = 0;; attempt++) {
                int r = tree_access_drop((TreeName){ dirfd, name });

                if (r == 0 || r == -ENOENT)
                        return 0;
                /* after some attempts: something is being put there at this moment */
                if ((r != -ENOTEMPTY && r != -EEXIST) || attempt > 10)
                        return r;
                r = disk_private_dir_for_each(dirfd, name, remove_one, userdata);
                if (r < 0)
                        return r == -ENOENT ? 0 : r;
        }
}

int disk_private_dir_remove_tree(int dirfd, const char *name) {
        return remove_one(dirfd, name, NULL);
}

typedef struct Count {
        uint64_t bytes, files;
} Count;

static int count_one(int dirfd, const char *name, void *userdata) {
        Count *count = userdata;
        struct stat st;

        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISDIR(st.st_mode))
                return disk_private_dir_for_each(dirfd, name, count_one, userdata);
        count->files += S_ISREG(st.st_mode);
        if (S_ISREG(st.st_mode) && st.st_nlink == 1)
                count->bytes += (uint64_t) st.st_blocks * 512;
        return 0;
}

int disk_private_dir_count_tree(int dirfd, const char *name, uint64_t *bytes, uint64_t *files) {
        Count count = {};
        int r = count_one(dirfd, name, &count);

        *bytes += count.bytes;
        *files += count.files;
        return r;
}
