/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The door to the two trees: looking, opening, creating. See os/tree-access.h. */

#include "os/tree-access.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* --- looking --- */

static int compare(TreeName at, const FileIdentity *expected, IdentityMatch worst) {
        FileIdentity found;
        struct stat st;

        if (fstatat(at.dirfd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? TREE_ABSENT : -errno;
        found = identity_of(&st);
        return identity_compare(expected, &found) <= worst ? 0 : TREE_OCCUPIED;
}

int tree_access_check(TreeName at, const FileIdentity *expected) {
        return compare(at, expected, IDENTITY_SAME);
}

int tree_access_check_moved(TreeName at, const FileIdentity *expected) {
        return compare(at, expected, IDENTITY_TOUCHED);
}

ino_t tree_access_inode(TreeName at) {
        struct stat st;

        return fstatat(at.dirfd, at.name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* --- opening --- */

static int result(int r) {
        return r < 0 ? -errno : r;
}

int tree_access_open(TreeName at, int flags) {
        assert((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY);
        return result(openat(at.dirfd, at.name, flags | O_NOFOLLOW | O_CLOEXEC));
}

int tree_access_open_expected(int dirfd, const char *path, const FileIdentity *expected, int *ret_fd,
                              struct stat *ret) {
        _cleanup_(close_fdp) int fd = fs_open_beneath(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        FileIdentity found;

        if (fd == -ENOENT)
                return TREE_ABSENT;
        if (fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV || fd == -ENXIO) /* -ENXIO: a socket */
                return TREE_OCCUPIED;
        if (fd < 0)
                return fd;
        if (fstat(fd, ret) < 0)
                return -errno;
        found = identity_of(ret);
        if (identity_compare(expected, &found) != IDENTITY_SAME)
                return TREE_OCCUPIED;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int tree_access_reopen(int fd, int flags) {
        char path[64];

        assert((flags & (O_CREAT | O_TRUNC)) == 0);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return result(open(path, flags | O_CLOEXEC));
}

int tree_access_open_root(const char *path, int flags) {
        assert((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY);
        return result(open(path, flags | O_DIRECTORY | O_CLOEXEC));
}

/* --- leases --- */

/* If a process opens the file for writing while we have the lease, the kernel sends a signal, by default SIGIO, which
 * would end the process. Nothing else of ours sends one. */
static void ignore_signal(void) {
        struct sigaction action;

        if (sigaction(SIGIO, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
                (void) signal(SIGIO, SIG_IGN);
}

/* A read lease is granted only while there is no writable descriptor and no writable shared mapping: else -EAGAIN. An
 * open() for writing waits as long as it is held. */
static int take_lease(int fd) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void) pthread_once(&once, ignore_signal);
        return result(fcntl(fd, F_SETLEASE, F_RDLCK));
}

bool tree_access_is_being_written(int fd) {
        int r = take_lease(fd);

        if (r == 0)
                (void) fcntl(fd, F_SETLEASE, F_UNLCK);
        return r == -EAGAIN;
}

/* The lease ends at once, so that whoever wants to write goes on, and that it has ended is what tells of it. If the
 * number is another descriptor's by now, that one is taken to be disturbed too, which does no harm. */
static void give_way(int number, siginfo_t *info, void *context) {
        int before = errno;

        (void) number;
        (void) context;
        (void) fcntl(info->si_fd, F_SETLEASE, F_UNLCK);
        errno = before;
}

static int observer_signal(void) {
        return SIGRTMIN + 7;
}

static void handle_signal(void) {
        struct sigaction action = { .sa_sigaction = give_way, .sa_flags = SA_SIGINFO | SA_RESTART };

        (void) sigaction(observer_signal(), &action, NULL);
}

int tree_access_observe(int fd) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        int r;

        (void) pthread_once(&once, handle_signal);
        if (fcntl(fd, F_SETSIG, observer_signal()) < 0)
                return -errno;
        r = take_lease(fd);
        return r == -EAGAIN ? TREE_BUSY : r;
}

bool tree_access_is_disturbed(int fd) {
        return fcntl(fd, F_GETLEASE) != F_RDLCK;
}

/* The lease stays the same, so nobody can come between. The signal is SIGIO again, which gives nothing up. */
bool tree_access_keep_out(int fd) {
        (void) fcntl(fd, F_SETSIG, 0); /* if it fails, such a process is let in, as before */
        return !tree_access_is_disturbed(fd);
}

/* Nothing but a regular file is expected, so whatever else there is is opened without effect (O_NONBLOCK). */
int tree_access_hold(TreeName at, const FileIdentity *expected, TreeHold *ret) {
        _cleanup_(close_fdp) int fd = tree_access_open(at, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        FileIdentity found;
        struct stat st;
        int r;

        if (fd == -EACCES) /* a file of another user: we cannot see who writes to it */
                return tree_access_check(at, expected);
        if (fd == -ENOENT)
                return TREE_ABSENT;
        if (fd == -EAGAIN) /* a process has a lease of its own for writing */
                return TREE_BUSY;
        if (fd == -ELOOP || fd == -ENXIO)
                return TREE_OCCUPIED;
        if (fd < 0)
                return fd;
        r = take_lease(fd);
        if (fstat(fd, &st) < 0) /* after that: a process that has closed it just now has set its time before */
                return -errno;
        found = identity_of(&st);
        if (r == -EAGAIN && found.ino == expected->ino)
                return TREE_BUSY;
        if (identity_compare(expected, &found) != IDENTITY_SAME)
                return TREE_OCCUPIED;
        *ret = (TreeHold){ .fd = TAKE_FD(fd), .leased = r == 0 };
        return 0;
}

bool tree_access_is_claimed(const TreeHold *hold) {
        return hold->leased && fcntl(hold->fd, F_GETLEASE) != F_RDLCK;
}

void tree_access_let_go(TreeHold *hold) {
        hold->fd = close_fd(hold->fd); /* which ends the lease */
        hold->leased = false;
}

/* --- what is ours --- */

int tree_access_create_unnamed(int dirfd) {
        return result(openat(dirfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
}

/* Links the descriptor itself, for which the kernel demands CAP_DAC_READ_SEARCH before Linux 6.10 (open(2), O_TMPFILE),
 * or else its name in /proc. */
int tree_access_name_unnamed(int fd, TreeName to) {
        static atomic_bool refused;
        char path[64];

        if (!atomic_load(&refused)) {
                if (linkat(fd, "", to.dirfd, to.name, AT_EMPTY_PATH) == 0)
                        return 0;
                if (errno != ENOENT)
                        return -errno;
                atomic_store(&refused, true);
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return result(linkat(AT_FDCWD, path, to.dirfd, to.name, AT_SYMLINK_FOLLOW));
}

int tree_access_create_file(TreeName at, mode_t mode) {
        return result(openat(at.dirfd, at.name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
}

int tree_access_create_directory(TreeName at, mode_t mode) {
        return result(mkdirat(at.dirfd, at.name, mode));
}

int tree_access_create_symlink(TreeName at, const char *target) {
        return result(symlinkat(target, at.dirfd, at.name));
}

int tree_access_drop(TreeName at) {
        int r = result(unlinkat(at.dirfd, at.name, 0)), directory;

        if (r != -EISDIR && r != -EPERM) /* POSIX has EPERM for a directory */
                return r;
        directory = result(unlinkat(at.dirfd, at.name, AT_REMOVEDIR));
        return directory == -ENOTDIR ? r : directory;
}

int tree_access_drop_directory(TreeName at) {
        return result(unlinkat(at.dirfd, at.name, AT_REMOVEDIR));
}
