/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The private directory of a mirror, and the renames between it and the mirror. See stage/mirror-private-dir.h.
 *
 * Between a check of a name and an action on it a client may put something else there. So nothing is replaced or
 * removed in the mirror itself: it is first moved into the private directory, which only we can enter, checked there,
 * and moved back if it is not what was expected. */

#include "stage/mirror-private-dir.h"

#include "base/text.h"
#include "os/fs.h"
#include "os/rename.h"
#include "tree/scan.h"

#include <fcntl.h>
#include <sys/file.h>

static const char lock_name[] = "lock", mark_name[] = "mirror";

/* A name in the directory other than the two in @known, each of which may be NULL: a new string, NULL for none. */
static int find_name(int dirfd, const char *const known[static 2], char **ret) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int r = fs_open_directory(dirfd, ".", &dir);
        struct dirent *d;

        if (r < 0)
                return r;
        while ((d = fs_read_directory(dir)) &&
               (string_equal(d->d_name, known[0]) || string_equal(d->d_name, known[1])))
                ;
        *ret = d ? strdup(d->d_name) : NULL;
        return d && !*ret ? -ENOMEM : 0;
}

static int take_lock(MirrorPrivateDir *private_dir, char **reterr_detail) {
        char pid[32];
        int n = snprintf(pid, sizeof(pid), "%d\n", (int) getpid());

        private_dir->lockfd = openat(private_dir->fd, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (private_dir->lockfd < 0)
                return -errno;
        if (flock(private_dir->lockfd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (fs_read_text(private_dir->fd, lock_name, 64, reterr_detail) == 0)
                        (*reterr_detail)[strcspn(*reterr_detail, "\n")] = '\0';
                return MIRROR_PRIVATE_DIR_BUSY;
        }
        /* the process id is only for the message of the other daemon: the lock is what counts */
        if (ftruncate(private_dir->lockfd, 0) < 0 || pwrite(private_dir->lockfd, pid, (size_t) n, 0) < 0)
                return -errno;
        return 0;
}

static int check_mark(MirrorPrivateDir *private_dir, const char *mirror, const char *source, char **reterr_detail) {
        _cleanup_(freep) char *ours = text_format("%s\n%s\n", source, mirror), *found = NULL;
        int r;

        if (!ours)
                return -ENOMEM;
        r = fs_read_text(private_dir->fd, mark_name, 16 * KIB, &found);
        if (r == -ENOENT)
                return fs_replace(private_dir->fd, mark_name, ours, strlen(ours), 0600, true);
        if (r < 0)
                return r;
        if (string_equal(found, ours))
                return 0;
        found[strcspn(found, "\n")] = '\0';
        *reterr_detail = TAKE_PTR(found);
        return MIRROR_PRIVATE_DIR_OTHER;
}

static int open_existing(int mirrorfd) {
        int fd = openat(mirrorfd, SCAN_PRIVATE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int create(int mirrorfd) {
        return mkdirat(mirrorfd, SCAN_PRIVATE_DIR, 0700) < 0 ? -errno : open_existing(mirrorfd);
}

/* Only in a mirror that is empty otherwise: any file in it is not ours. */
static int create_in_empty(int mirrorfd, char **reterr_detail) {
        int r = find_name(mirrorfd, (const char *const[2]){ NULL, NULL }, reterr_detail);

        if (r < 0)
                return r;
        return *reterr_detail ? -EEXIST : create(mirrorfd);
}

int mirror_private_dir_open(MirrorPrivateDir *ret, int mirrorfd, const char *mirror, const char *source,
                            char **reterr_detail, const char **reterr_what) {
        MirrorPrivateDir private_dir = { .mirrorfd = mirrorfd, .fd = open_existing(mirrorfd), .lockfd = -1 };
        int r;

        *reterr_what = "create " SCAN_PRIVATE_DIR " in";
        *reterr_detail = NULL;
        private_dir.adopted = private_dir.fd >= 0;
        if (private_dir.fd == -ENOENT)
                private_dir.fd = create_in_empty(mirrorfd, reterr_detail);
        if (private_dir.fd < 0)
                return *reterr_detail ? MIRROR_PRIVATE_DIR_FOREIGN : private_dir.fd;
        *reterr_what = "lock";
        r = take_lock(&private_dir, reterr_detail);
        if (r == 0) {
                *reterr_what = "check " SCAN_PRIVATE_DIR "/mirror in";
                r = check_mark(&private_dir, mirror, source, reterr_detail);
        }
        if (r != 0) {
                mirror_private_dir_close(&private_dir, false);
                return r;
        }
        ret->mirrorfd = private_dir.mirrorfd;
        ret->fd = private_dir.fd;
        ret->lockfd = private_dir.lockfd;
        ret->adopted = private_dir.adopted;
        atomic_init(&ret->last, 0);
        return 0;
}

bool mirror_private_dir_is_empty(const MirrorPrivateDir *private_dir) {
        _cleanup_(freep) char *other = NULL;

        return find_name(private_dir->fd, (const char *const[2]){ lock_name, mark_name }, &other) == 0 && !other;
}

int mirror_private_dir_recreate(MirrorPrivateDir *private_dir, const char *mirror, const char *source) {
        _cleanup_(freep) char *detail = NULL;
        int r;

        mirror_private_dir_close(private_dir, false);
        r = create(private_dir->mirrorfd);
        if (r < 0)
                return r;
        private_dir->fd = r;
        r = take_lock(private_dir, &detail);
        if (r == 0)
                r = check_mark(private_dir, mirror, source, &detail);
        return r > 0 ? -EBUSY : r;
}

bool mirror_private_dir_is_gone(const MirrorPrivateDir *private_dir) {
        struct stat st;

        return fstat(private_dir->fd, &st) == 0 && st.st_nlink == 0;
}

void mirror_private_dir_close(MirrorPrivateDir *private_dir, bool remove) {
        if (remove && private_dir->fd >= 0) {
                (void) unlinkat(private_dir->fd, mark_name, 0);
                (void) unlinkat(private_dir->fd, lock_name, 0);
                /* fails if a client's file is here that could not be moved back: it stays, and the directory with it */
                (void) unlinkat(private_dir->mirrorfd, SCAN_PRIVATE_DIR, AT_REMOVEDIR);
        }
        private_dir->lockfd = close_fd(private_dir->lockfd);
        private_dir->fd = close_fd(private_dir->fd);
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

int mirror_private_dir_clean(MirrorPrivateDir *private_dir, const Manifest *base) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int r = fs_open_directory(private_dir->fd, ".", &dir), unknown = 0;
        struct dirent *d;

        if (r < 0)
                return r;
        while ((d = fs_read_directory(dir))) {
                unsigned long long number, ino = 0;
                struct stat st;
                bool ours = sscanf(d->d_name, "n%llu", &number) == 1;

                if ((!ours && sscanf(d->d_name, "t%llu-%llu", &number, &ino) < 1) ||
                    fstatat(private_dir->fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (atomic_load(&private_dir->last) < number)
                        atomic_store(&private_dir->last, number);
                ours = ours || base_knows(base, &st) || st.st_ino == ino;
                if (!ours || unlinkat(private_dir->fd, d->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
                        unknown++;
        }
        return unknown;
}

static unsigned long long next_number(MirrorPrivateDir *private_dir) {
        return atomic_fetch_add(&private_dir->last, 1) + 1;
}

char *mirror_private_dir_name(MirrorPrivateDir *private_dir, char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]) {
        (void) snprintf(buffer, MIRROR_PRIVATE_DIR_NAME_MAX, "t%llu", next_number(private_dir));
        return buffer;
}

char *mirror_private_dir_name_for(MirrorPrivateDir *private_dir, uint64_t ino,
                                  char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]) {
        (void) snprintf(buffer, MIRROR_PRIVATE_DIR_NAME_MAX, "t%llu-%llu", next_number(private_dir),
                        (unsigned long long) ino);
        return buffer;
}

char *mirror_private_dir_name_new(MirrorPrivateDir *private_dir, char buffer[static MIRROR_PRIVATE_DIR_NAME_MAX]) {
        (void) snprintf(buffer, MIRROR_PRIVATE_DIR_NAME_MAX, "n%llu", next_number(private_dir));
        return buffer;
}

int mirror_private_dir_name_created(MirrorPrivateDir *private_dir, char name[static MIRROR_PRIVATE_DIR_NAME_MAX]) {
        char created[MIRROR_PRIVATE_DIR_NAME_MAX];
        struct stat st;
        int r;

        if (fstatat(private_dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        (void) snprintf(created, sizeof(created), "%s", name);
        r = rename_with_flags(private_dir->fd, created, private_dir->fd,
                              mirror_private_dir_name_for(private_dir, st.st_ino, name), RENAME_NOREPLACE);
        if (r < 0) /* it still has the name that it had */
                (void) snprintf(name, MIRROR_PRIVATE_DIR_NAME_MAX, "%s", created);
        return r;
}

/* A process that has a file open for writing would go on writing to one that is gone. */
static bool is_in_use(int dirfd, const char *name, const struct stat *st) {
        _cleanup_(close_fdp) int fd =
                S_ISREG(st->st_mode) ? openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;

        return fd >= 0 && fs_is_being_written(fd);
}

/* Removes what was moved into the private directory. 0, or MIRROR_PRIVATE_DIR_OCCUPIED if it is not @expected, is in
 * use though it has to be @idle, or is a directory with something in it. */
static int remove_if_expected(MirrorPrivateDir *private_dir, const char *name, const Entry *expected, bool idle) {
        struct stat st;

        if (fstatat(private_dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (idle && is_in_use(private_dir->fd, name, &st))
                return MIRROR_PRIVATE_DIR_OCCUPIED;
        /* after that, because a process that has closed it just now has set its time before */
        if (fstatat(private_dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!is_same_inode(&st, expected))
                return MIRROR_PRIVATE_DIR_OCCUPIED;
        if (unlinkat(private_dir->fd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
                return errno == ENOTEMPTY || errno == EEXIST ? MIRROR_PRIVATE_DIR_OCCUPIED : -errno;
        return 0;
}

int mirror_private_dir_publish(MirrorPrivateDir *private_dir, const char *name, const char *path,
                               const Entry *expected, bool idle) {
        _cleanup_(close_fdp) int parent = -1;
        char spare[MIRROR_PRIVATE_DIR_NAME_MAX];
        const char *last;
        int r;

        parent = fs_open_parent(private_dir->mirrorfd, path, &last);
        if (parent < 0)
                return parent;
        if (expected) {
                ino_t placed = rename_inode(private_dir->fd, name);

                r = rename_with_flags(private_dir->fd, name, parent, last, RENAME_EXCHANGE);
                if (r == 0) {
                        r = remove_if_expected(private_dir, name, expected, idle);
                        if (r != 0)
                                (void) rename_undo(private_dir->fd, name, parent, last, placed,
                                                   mirror_private_dir_name(private_dir, spare));
                        return r;
                }
                if (r != -ENOENT)
                        return r;
        }
        r = rename_with_flags(private_dir->fd, name, parent, last, RENAME_NOREPLACE);
        return r == -EEXIST ? MIRROR_PRIVATE_DIR_OCCUPIED : r;
}

int mirror_private_dir_remove(MirrorPrivateDir *private_dir, const char *path, const Entry *expected, bool idle) {
        _cleanup_(close_fdp) int parent = -1;
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        const char *last;
        struct stat st;
        int r;

        parent = fs_open_parent(private_dir->mirrorfd, path, &last);
        if (parent == -ENOENT || parent == -ENOTDIR)
                return 0;
        if (parent < 0)
                return parent;
        if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!is_same_inode(&st, expected) || (idle && is_in_use(parent, last, &st)))
                return MIRROR_PRIVATE_DIR_OCCUPIED;
        /* a directory that is not empty must not be moved away, not even for a moment: it may have readers */
        if (S_ISDIR(st.st_mode)) {
                if (unlinkat(parent, last, AT_REMOVEDIR) == 0)
                        return 0;
                return errno == ENOTEMPTY || errno == EEXIST ? MIRROR_PRIVATE_DIR_OCCUPIED : -errno;
        }
        r = rename_with_flags(parent, last, private_dir->fd, mirror_private_dir_name(private_dir, name),
                              RENAME_NOREPLACE);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = remove_if_expected(private_dir, name, expected, idle);
        if (r != 0)
                (void) rename_with_flags(private_dir->fd, name, parent, last, RENAME_NOREPLACE);
        return r;
}
