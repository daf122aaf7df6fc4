/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Files below a directory descriptor, found without leaving the tree and without symbolic links, and opened for reading
 * only; and properties of filesystems: tmpfs or not, with change notifications or not, how much room. What changes a
 * tree is in os/tree-access.h.
 *
 * "Beneath" means openat2() with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS (Linux 5.6,
 * openat2(2)): if a directory is replaced by a symbolic link between two calls, the second fails with -ELOOP.
 * All functions return 0 or a negative errno unless they say otherwise; descriptors are O_CLOEXEC. */

#include "base/base.h"

#include <sys/stat.h>
#include <sys/types.h>

/* Opens @path ("." for the directory itself) and returns a descriptor that the caller owns. */
int fs_open_beneath(int dirfd, const char *path, int flags);

/* One name in @dirfd, which is not followed; -EXDEV if something is mounted there, be it the same filesystem. */
int fs_open_here(int dirfd, const char *name, int flags);

/* The same, but symbolic links are followed as long as they stay beneath: -EXDEV if one leads out. */
int fs_follow_beneath(int dirfd, const char *path, int flags);

/* Opens a path as a process with the root directory @root_fd would: absolute links lead to below it. Magic links are
 * not followed. */
int fs_open_in_root(int root_fd, const char *path, int flags);

/* The path of @fd without symbolic links, relative to the root directory @root_fd but with a leading slash: a new
 * string. -EXDEV if it is not below; without /proc the error of reading it. */
int fs_path_in_root(int root_fd, int fd, char **ret);

/* Opens a directory for fs_read_directory(); not through a symbolic link. */
int fs_open_directory(int dirfd, const char *name, DIR **ret);

/* readdir() without "." and "..". At the end and on an error NULL, with errno 0 or the error. */
struct dirent *fs_read_directory(DIR *dir);

/* Opens the directory that holds @path, and points @ret_name at the last part of @path. Returns a descriptor (O_PATH)
 * that the caller owns. */
int fs_open_parent(int dirfd, const char *path, const char **ret_name);

/* lstat() of a path beneath. */
int fs_stat_beneath(int dirfd, const char *path, struct stat *ret);

/* The content of a small file as a string (at most @max bytes, else -EFBIG). Works for /proc and /sys. */
int fs_read_text(int dirfd, const char *path, size_t max, char **ret);

/* The same from the current position of a descriptor. */
int fs_read_fd(int fd, size_t max, char **ret);

/* The same, with the length, for a file that may have NUL bytes. */
int fs_read_bytes(int fd, size_t max, char **ret, size_t *ret_length);

/* fsync() of a directory; @dirfd may be an O_PATH descriptor. 0 also if the filesystem does not sync directories. */
int fs_sync_directory(int dirfd);

/* On a filesystem that folds case, finds the other name under which a file exists that @name leads to as well: a new
 * string, NULL if @name is the name itself or leads to no file. */
int fs_find_folded(int dirfd, const char *name, char **ret);

/* Positive if the descriptor is on a tmpfs (statfs f_type TMPFS_MAGIC), 0 if not. */
int fs_is_tmpfs(int fd);

/* Positive if inotify does not report changes that other machines make on this filesystem: NFS, CIFS/SMB, FUSE, 9p,
 * Ceph, AFS, Lustre and similar ones (inotify(7), "Limitations"); 0 if it does. */
int fs_is_eventless(int fd);

/* True if a file keeps its inode number while it exists, and no other one has it: not on FUSE (sshfs and rclone give
 * numbers out as they go, mergerfs may give one to two files), 9p, SMB without server inodes, vfat and exFAT. */
bool fs_has_stable_inodes(int fd);

/* True if a change that comes after @st was taken may leave the same times: they are too recent for the granularity of
 * the filesystem's clock. That is up to 2 s where times are whole seconds (ext4 with inodes of 128 bytes, exFAT, some
 * servers), else one tick of the kernel, up to 10 ms (current_time(), before multigrain timestamps of Linux 6.13). */
bool fs_is_racy(const struct stat *st);

typedef struct FsRoom {
        uint64_t total;  /* bytes */
        uint64_t free;   /* bytes */
        uint64_t inodes; /* free inodes, UINT64_MAX where the filesystem does not count them */
} FsRoom;

int fs_room(int fd, FsRoom *ret);

/* Finds the next range of data at or after @offset: [*ret_start, *ret_end) within @size. Positive if there is one, 0 at
 * the end. On a filesystem without SEEK_DATA the whole file is one range. */
int fs_next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start, uint64_t *ret_end);

/* The permission bits, and of a directory setgid and sticky: they say who may do what in it. Set-id bits of files are
 * never carried from one side to the other. */
static inline uint16_t fs_mode(const struct stat *st) {
        return (uint16_t) (st->st_mode & (S_ISDIR(st->st_mode) ? 03777 : 0777));
}

/* Times before 1678 and after 2261 become these. */
static inline int64_t fs_nsec(const struct timespec *time) {
        const int64_t max = INT64_MAX / NSEC_PER_SEC - 1;

        if (time->tv_sec > max || time->tv_sec < -max)
                return (time->tv_sec > 0 ? max : -max) * NSEC_PER_SEC;
        return (int64_t) time->tv_sec * NSEC_PER_SEC + time->tv_nsec;
}

static inline struct timespec fs_timespec(int64_t nsec) {
        int64_t sec = nsec / NSEC_PER_SEC, rest = nsec % NSEC_PER_SEC;

        if (rest < 0) {
                rest += NSEC_PER_SEC;
                sec--;
        }
        return (struct timespec){ .tv_sec = sec, .tv_nsec = rest };
}
