/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Our own corner of a mirror, and the renames between it and the mirror. See stage/mirror-private-dir.h.
 *
 * Between looking at a name and acting on it a client may put something else there. So nothing is acted on by name: it is first
 * moved into the corner, which only we can enter, looked at there, and moved back if it is not what was expected. */

#include "stage/mirror-private-dir.h"

#include "os/fs.h"
#include "os/rename.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <sys/file.h>

static const char lock_name[] = "lock", mark_name[] = "mirror";

/* A name in the directory that is none of @known, which may be NULL; *ret is NULL if there is no other. */
static int find_name(int dirfd, const char *const known[static 2], char **ret) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent *d;

        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return -errno;
        while ((d = readdir(dir)) && (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
                                      string_equal(d->d_name, known[0]) || string_equal(d->d_name, known[1])))
                ;
        *ret = d ? strdup(d->d_name) : NULL;
        return d && !*ret ? -ENOMEM : 0;
}

static int take_lock(Staging *staging, char **reterr_detail) {
        char pid[32];
        int n = snprintf(pid, sizeof(pid), "%d\n", (int) getpid());

        staging->lockfd = openat(staging->fd, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (staging->lockfd < 0)
                return -errno;
        if (flock(staging->lockfd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (fs_read_text(staging->fd, lock_name, 64, reterr_detail) == 0)
                        (*reterr_detail)[strcspn(*reterr_detail, "\n")] = '\0';
                return STAGING_BUSY;
        }
        /* for people only: the lock is what counts */
        if (ftruncate(staging->lockfd, 0) < 0 || pwrite(staging->lockfd, pid, (size_t) n, 0) < 0)
                return -errno;
        return 0;
}

static int check_mark(Staging *staging, const char *mirror, const char *source, char **reterr_detail) {
        _cleanup_(freep) char *ours = NULL, *found = NULL;
        int r;

        if (asprintf(&ours, "%s\n%s\n", source, mirror) < 0) {
                ours = NULL;
                return -ENOMEM;
        }
        r = fs_read_text(staging->fd, mark_name, 16 * KIB, &found);
        if (r == -ENOENT)
                return fs_write_atomic(staging->fd, mark_name, ours, strlen(ours), 0600);
        if (r < 0)
                return r;
        if (string_equal(found, ours))
                return 0;
        found[strcspn(found, "\n")] = '\0';
        *reterr_detail = TAKE_PTR(found);
        return STAGING_OTHER;
}

int staging_open(Staging *ret, int mirrorfd, const char *mirror, const char *source, char **reterr_detail,
                 const char **reterr_what) {
        Staging staging = { .mirrorfd = mirrorfd, .fd = -1, .lockfd = -1 };
        int r;

        *reterr_what = "make the directory " SCAN_PRIVATE " in the mirror";
        *reterr_detail = NULL;
        staging.fd = openat(mirrorfd, SCAN_PRIVATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        staging.adopted = staging.fd >= 0;
        if (staging.fd < 0) {
                if (errno != ENOENT)
                        return -errno;
                r = find_name(mirrorfd, (const char *const[2]){ NULL, NULL }, reterr_detail);
                if (r < 0)
                        return r;
                if (*reterr_detail)
                        return STAGING_FOREIGN;
                if (mkdirat(mirrorfd, SCAN_PRIVATE, 0700) < 0)
                        return -errno;
                staging.fd = openat(mirrorfd, SCAN_PRIVATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (staging.fd < 0)
                        return -errno;
        }
        *reterr_what = "lock the mirror";
        r = take_lock(&staging, reterr_detail);
        if (r == 0) {
                *reterr_what = "mark the mirror";
                r = check_mark(&staging, mirror, source, reterr_detail);
        }
        if (r != 0) {
                staging_close(&staging, false);
                return r;
        }
        ret->mirrorfd = staging.mirrorfd;
        ret->fd = staging.fd;
        ret->lockfd = staging.lockfd;
        ret->adopted = staging.adopted;
        atomic_init(&ret->last, 0);
        return 0;
}

bool staging_is_bare(const Staging *staging) {
        _cleanup_(freep) char *other = NULL;

        return find_name(staging->fd, (const char *const[2]){ lock_name, mark_name }, &other) == 0 && !other;
}

int staging_renew(Staging *staging, const char *mirror, const char *source) {
        _cleanup_(freep) char *detail = NULL;
        int r;

        staging_close(staging, false);
        if (mkdirat(staging->mirrorfd, SCAN_PRIVATE, 0700) < 0)
                return -errno;
        staging->fd = openat(staging->mirrorfd, SCAN_PRIVATE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (staging->fd < 0)
                return -errno;
        r = take_lock(staging, &detail);
        if (r == 0)
                r = check_mark(staging, mirror, source, &detail);
        return r > 0 ? -EBUSY : r;
}

bool staging_is_gone(const Staging *staging) {
        struct stat st;

        return fstat(staging->fd, &st) == 0 && st.st_nlink == 0;
}

void staging_close(Staging *staging, bool remove) {
        if (remove && staging->fd >= 0) {
                (void) unlinkat(staging->fd, mark_name, 0);
                (void) unlinkat(staging->fd, lock_name, 0);
                /* not empty: something of a client's was moved here and could not go back; it stays, and with it the directory */
                (void) unlinkat(staging->mirrorfd, SCAN_PRIVATE, AT_REMOVEDIR);
        }
        staging->lockfd = close_fd(staging->lockfd);
        staging->fd = close_fd(staging->fd);
}

static bool is_same_inode(const struct stat *st, const Entry *entry) {
        if (st->st_ino != entry->ino)
                return false;
        if (!S_ISREG(st->st_mode))
                return true;
        return (uint64_t) st->st_size == entry->size && fs_nsec(&st->st_mtim) == entry->mtime_nsec;
}

static bool base_knows(const Manifest *base, const struct stat *st) {
        for (size_t i = 0; i < base->n_entries; i++)
                if (!(base->entries[i].flags & ENTRY_RECORD) && is_same_inode(st, &base->entries[i]))
                        return true;
        return false;
}

int staging_clean(Staging *staging, const Manifest *base) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int fd = openat(staging->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), unknown = 0;
        struct dirent *d;

        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return -errno;
        while ((d = readdir(dir))) {
                unsigned long long number, ino = 0;
                struct stat st;
                bool ours;

                if (sscanf(d->d_name, "t%llu-%llu", &number, &ino) < 1 || fstatat(staging->fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (atomic_load(&staging->last) < number)
                        atomic_store(&staging->last, number);
                ours = base_knows(base, &st) || (S_ISREG(st.st_mode) && st.st_ino == ino);
                if (!ours || unlinkat(staging->fd, d->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
                        unknown++;
        }
        return unknown;
}

char *staging_name(Staging *staging, char buffer[static STAGING_NAME_MAX]) {
        (void) snprintf(buffer, STAGING_NAME_MAX, "t%llu", (unsigned long long) atomic_fetch_add(&staging->last, 1) + 1);
        return buffer;
}

char *staging_name_for(Staging *staging, uint64_t ino, char buffer[static STAGING_NAME_MAX]) {
        (void) snprintf(buffer, STAGING_NAME_MAX, "t%llu-%llu", (unsigned long long) atomic_fetch_add(&staging->last, 1) + 1,
                        (unsigned long long) ino);
        return buffer;
}

/* Whoever has it open for writing may still write to it, and would not know that it is gone. */
static bool is_in_use(int dirfd, const char *name, const struct stat *st) {
        _cleanup_(close_fdp) int fd = S_ISREG(st->st_mode) ? openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;

        return fd >= 0 && fs_is_being_written(fd);
}

/* Removes what was moved into the corner. 0, or STAGING_OCCUPIED if it is not @expected, in use though it is to be @idle, or a directory with something in it. */
static int remove_if_expected(Staging *staging, const char *name, const Entry *expected, bool idle) {
        struct stat st;

        if (fstatat(staging->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (idle && is_in_use(staging->fd, name, &st))
                return STAGING_OCCUPIED;
        /* after that: who has closed it just now has set its time before */
        if (fstatat(staging->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!is_same_inode(&st, expected))
                return STAGING_OCCUPIED;
        if (unlinkat(staging->fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
                return errno == ENOTEMPTY || errno == EEXIST ? STAGING_OCCUPIED : -errno;
        return 0;
}

static int place(Staging *staging, const char *name, const char *path, const Entry *expected, bool idle) {
        _cleanup_(close_fdp) int parent = -1;
        char spare[STAGING_NAME_MAX];
        const char *last;
        int r;

        parent = fs_open_parent(staging->mirrorfd, path, &last);
        if (parent < 0)
                return parent;
        if (expected) {
                ino_t placed = exchange_inode(staging->fd, name);

                r = exchange_rename(staging->fd, name, parent, last, RENAME_EXCHANGE);
                if (r == 0) {
                        r = remove_if_expected(staging, name, expected, idle);
                        if (r != 0)
                                (void) exchange_undo(staging->fd, name, parent, last, placed, staging_name(staging, spare));
                        return r;
                }
                if (r != -ENOENT)
                        return r;
        }
        r = exchange_rename(staging->fd, name, parent, last, RENAME_NOREPLACE);
        return r == -EEXIST ? STAGING_OCCUPIED : r;
}

int staging_place(Staging *staging, const char *name, const char *path, const Entry *expected) {
        return place(staging, name, path, expected, false);
}

int staging_place_idle(Staging *staging, const char *name, const char *path, const Entry *expected) {
        return place(staging, name, path, expected, true);
}

static int take_away(Staging *staging, const char *path, const Entry *expected, bool idle) {
        _cleanup_(close_fdp) int parent = -1;
        char name[STAGING_NAME_MAX];
        const char *last;
        struct stat st;
        int r;

        parent = fs_open_parent(staging->mirrorfd, path, &last);
        if (parent == -ENOENT || parent == -ENOTDIR)
                return 0;
        if (parent < 0)
                return parent;
        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!is_same_inode(&st, expected) || (idle && is_in_use(parent, last, &st)))
                return STAGING_OCCUPIED;
        /* a directory with something in it would vanish from its readers for a moment */
        if (S_ISDIR(st.st_mode)) {
                if (unlinkat(parent, last, AT_REMOVEDIR) == 0)
                        return 0;
                return errno == ENOTEMPTY || errno == EEXIST ? STAGING_OCCUPIED : -errno;
        }
        r = exchange_rename(parent, last, staging->fd, staging_name(staging, name), RENAME_NOREPLACE);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = remove_if_expected(staging, name, expected, idle);
        if (r != 0)
                (void) exchange_rename(staging->fd, name, parent, last, RENAME_NOREPLACE);
        return r;
}

int staging_take_away(Staging *staging, const char *path, const Entry *expected) {
        return take_away(staging, path, expected, false);
}

int staging_take_away_idle(Staging *staging, const char *path, const Entry *expected) {
        return take_away(staging, path, expected, true);
}
