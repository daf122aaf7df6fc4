/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The private directory of a mirror, and the renames between it and the mirror. See stage/mirror-private-dir.h.
 *
 * Between a check of a name and an action on it a client may put something else there. So nothing is replaced or
 * removed in the mirror itself: it is first moved into the private directory, which only we can enter, checked there,
 * and moved back if it is not what was expected. os/tree-rename.c does that. */

#include "stage/mirror-private-dir.h"

#include "base/text.h"
#include "os/fs.h"
#include "os/own-file.h"
#include "os/tree-rename.h"
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
        _cleanup_(close_fdp) int fd = -1;

        private_dir->lockfd = own_file_open(private_dir->fd, lock_name, OWN_FILE_LOCK_READ);
        if (private_dir->lockfd < 0)
                return private_dir->lockfd;
        if (flock(private_dir->lockfd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (fs_read_text(private_dir->fd, lock_name, 64, reterr_detail) == 0)
                        (*reterr_detail)[strcspn(*reterr_detail, "\n")] = '\0';
                return MIRROR_PRIVATE_DIR_BUSY;
        }
        /* the process id is only for the message of the other daemon: the lock is what counts */
        fd = own_file_open(private_dir->fd, lock_name, OWN_FILE_WRITE);
        return fd < 0 ? fd : pwrite(fd, pid, (size_t) n, 0) < 0 ? -errno : 0;
}

static int check_mark(MirrorPrivateDir *private_dir, const char *mirror, const char *source, char **reterr_detail) {
        _cleanup_(freep) char *ours = text_format("%s\n%s\n", source, mirror), *found = NULL;
        int r;

        if (!ours)
                return -ENOMEM;
        r = fs_read_text(private_dir->fd, mark_name, 16 * KIB, &found);
        if (r == -ENOENT)
                return own_file_replace(private_dir->fd, mark_name, ours, strlen(ours), 0600, true);
        if (r < 0)
                return r;
        if (string_equal(found, ours))
                return 0;
        found[strcspn(found, "\n")] = '\0';
        *reterr_detail = TAKE_PTR(found);
        return MIRROR_PRIVATE_DIR_OTHER;
}

static int open_existing(int mirrorfd) {
        return tree_access_open((TreeName){ mirrorfd, SCAN_PRIVATE_DIR }, O_RDONLY | O_DIRECTORY);
}

static int create(int mirrorfd) {
        int r = tree_access_create_directory((TreeName){ mirrorfd, SCAN_PRIVATE_DIR }, 0700);

        return r < 0 ? r : open_existing(mirrorfd);
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
                (void) own_file_remove(private_dir->fd, mark_name);
                (void) own_file_remove(private_dir->fd, lock_name);
                /* fails if a client's file is here that could not be moved back: it stays, and the directory with it */
                (void) tree_access_drop_directory((TreeName){ private_dir->mirrorfd, SCAN_PRIVATE_DIR });
        }
        private_dir->lockfd = close_fd(private_dir->lockfd);
        private_dir->fd = close_fd(private_dir->fd);
}

/* Without the ctime: a name that another one is given or loses has moved it. */
static FileIdentity identity_of_entry(const Entry *entry) {
        FileIdentity identity = manifest_identity(entry);

        identity.ctime_nsec = 0;
        return identity;
}

static bool base_knows(const Manifest *base, const struct stat *st) {
        FileIdentity found = identity_of(st);

        for (size_t i = 0; i < base->n_entries; i++) {
                FileIdentity known = identity_of_entry(&base->entries[i]);

                if (!(base->entries[i].flags & (ENTRY_RECORD | ENTRY_MIRROR_DIFFERS)) &&
                    identity_compare(&known, &found) == IDENTITY_SAME)
                        return true;
        }
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
                if (!ours || tree_access_drop((TreeName){ private_dir->fd, d->d_name }) < 0)
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
        (void) mirror_private_dir_name_for(private_dir, st.st_ino, name);
        r = tree_rename_own((TreeName){ private_dir->fd, created }, (TreeName){ private_dir->fd, name });
        if (r < 0) /* it still has the name that it had */
                (void) snprintf(name, MIRROR_PRIVATE_DIR_NAME_MAX, "%s", created);
        return r;
}

int mirror_private_dir_publish(MirrorPrivateDir *private_dir, const char *name, const char *path,
                               const Entry *expected) {
        _cleanup_(close_fdp) int parent = -1;
        char spare[MIRROR_PRIVATE_DIR_NAME_MAX];
        FileIdentity identity;
        TreeReplacement replacement = { .own = { private_dir->fd, name }, .expected = &identity, .idle = true };
        int r = TREE_ABSENT;

        parent = fs_open_parent(private_dir->mirrorfd, path, &replacement.place.name);
        if (parent < 0)
                return parent;
        replacement.place.dirfd = parent;
        if (expected) {
                identity = identity_of_entry(expected);
                replacement.spare = mirror_private_dir_name(private_dir, spare);
                r = tree_rename_replace(&replacement);
        }
        return r == TREE_ABSENT ? tree_rename_new(replacement.own, replacement.place) : r;
}

bool mirror_private_dir_is_busy(const MirrorPrivateDir *private_dir, const Entry *entry) {
        _cleanup_(close_fdp) int fd = -1;

        if (!manifest_entry_is_data(entry))
                return false;
        fd = fs_open_beneath(private_dir->mirrorfd, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        return fd >= 0 && tree_access_is_being_written(fd);
}

static int take_away(MirrorPrivateDir *private_dir, const char *path, const Entry *expected, bool idle) {
        _cleanup_(close_fdp) int parent = -1;
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];
        FileIdentity identity = identity_of_entry(expected);
        TreeRemoval removal = { .expected = &identity, .idle = idle };
        int r;

        parent = fs_open_parent(private_dir->mirrorfd, path, &removal.place.name);
        if (parent == -ENOENT || parent == -ENOTDIR)
                return 0;
        if (parent < 0)
                return parent;
        removal.place.dirfd = parent;
        removal.aside = (TreeName){ private_dir->fd, mirror_private_dir_name(private_dir, name) };
        r = tree_rename_remove(&removal);
        return r == TREE_ABSENT ? 0 : r;
}

int mirror_private_dir_remove(MirrorPrivateDir *private_dir, const char *path, const Entry *expected) {
        return take_away(private_dir, path, expected, true);
}

int mirror_private_dir_discard(MirrorPrivateDir *private_dir, const char *path, const Entry *expected) {
        return take_away(private_dir, path, expected, false);
}
