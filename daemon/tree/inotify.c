/* SPDX-License-Identifier: GPL-2.0-or-later */

/* inotify through libinotifytools. See tree/inotify.h.
 *
 * The library (as of 3.22.6) has faults that this file works around: it keeps dead watches and later returns their
 * numbers, so no name is passed to it twice; it hides its descriptor, so this finds that in /proc; it keeps unread
 * events over a restart, so they are discarded; its select() aborts the process for a descriptor of 1024 or more, so
 * such a one is refused. */

#include "tree/inotify.h"

#include "os/fs.h"

#include <fcntl.h>
#include <inotifytools/inotifytools.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sysmacros.h>

enum {
        /* Whatever can change what is found under a name. Not IN_MODIFY, which comes with every write, long
         * before the writer is done. Not IN_EXCL_UNLINK: it hides each close of a name that was removed or replaced
         * since it was opened, and of an O_TMPFILE that was linked, though the inode may have other names. */
        MASK = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF |
               IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_CREATE,
        FD_PATH_MAX = 64,
        TOKEN_MAX = FD_PATH_MAX + 2 * 64 + 1,
        FDINFO_MAX = 4096, /* the library has one watch when its descriptor is searched; a longer one is not its */
};

static atomic_flag taken = ATOMIC_FLAG_INIT;

/* True if the descriptor of this name in /proc/self/fd is an inotify instance that watches the marker as @wd. */
static bool watches_marker(const char *name, int wd, const struct stat *marker) {
        char path[FD_PATH_MAX], wanted[128];
        _cleanup_(freep) char *info = NULL;

        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%.16s", name);
        if (fs_read_text(AT_FDCWD, path, FDINFO_MAX, &info) < 0)
                return false;
        /* the kernel prints a device number in its internal form, 12 and 20 bits */
        (void) snprintf(wanted, sizeof(wanted), "inotify wd:%x ino:%llx sdev:%x ", (unsigned) wd,
                        (unsigned long long) marker->st_ino, major(marker->st_dev) << 20 | minor(marker->st_dev));
        return strstr(info, wanted);
}

static int find_watcher(int wd, const struct stat *marker) {
        _cleanup_(closedirp) DIR *dir = opendir("/proc/self/fd");
        const struct dirent *entry;

        if (!dir)
                return -errno;
        while ((entry = readdir(dir)))
                if (watches_marker(entry->d_name, wd, marker))
                        return atoi(entry->d_name);
        return -ENOENT;
}

/* Finds the library's descriptor. Other threads open and close descriptors meanwhile, and the process may have other
 * inotify instances, so neither the lowest free number nor the type of a descriptor is proof. A watch on a nameless
 * file that only this function has open is. */
static int find_fd(void) {
        _cleanup_(close_fdp) int marker = memfd_create("shmstaged-marker", MFD_CLOEXEC);
        char path[FD_PATH_MAX];
        struct stat st;
        int wd, fd;

        if (marker < 0 || fstat(marker, &st) < 0)
                return -errno;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", marker);
        if (!inotifytools_watch_file(path, IN_DELETE_SELF))
                return inotifytools_error() > 0 ? -inotifytools_error() : -EIO;
        wd = inotifytools_wd_from_filename(path);
        fd = find_watcher(wd, &st);
        (void) inotifytools_remove_watch_by_wd(wd); /* succeeds, because the watch is alive */
        return fd;
}

static int prepare_fd(Inotify *inotify) {
        int fd = find_fd();

        if (fd < 0)
                return fd;
        if (fd >= FD_SETSIZE)
                return -EOVERFLOW;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
                return -errno;
        while (inotifytools_next_events(0, 1))
                ; /* discards what an earlier instance left: its watches had the same numbers */
        *inotify = (Inotify){ .fd = fd };
        return 0;
}

int inotify_start(Inotify *inotify, const char **reterr_what) {
        const char *what = "start inotify";
        int r = 0;

        if (atomic_flag_test_and_set(&taken))
                r = -EBUSY;
        else if (!inotifytools_initialize()) {
                r = inotifytools_error() > 0 ? -inotifytools_error() : -EIO;
                atomic_flag_clear(&taken);
        } else {
                what = "find the inotify descriptor";
                r = prepare_fd(inotify);
                if (r < 0) {
                        inotifytools_cleanup();
                        atomic_flag_clear(&taken);
                }
        }
        if (r < 0)
                *reterr_what = what;
        return r;
}

void inotify_stop(Inotify *inotify) {
        if (inotify->fd < 0)
                return;
        inotifytools_cleanup();
        *inotify = (Inotify){ .fd = -1 };
        atomic_flag_clear(&taken);
}

/* Makes a path of the descriptor that the library has not seen before: behind it comes @serial in binary, with "./"
 * for one and "/" for zero, which leads to the same directory. The path ends in a slash, so the kernel follows the
 * link in /proc to the open directory, whatever is at the directory's own path by now. */
static void make_token(char token[static TOKEN_MAX], int dirfd, uint64_t serial) {
        char *end = token + snprintf(token, FD_PATH_MAX, "/proc/self/fd/%d/", dirfd);

        for (; serial > 0; serial >>= 1)
                end = stpcpy(end, serial & 1 ? "./" : "/");
}

int inotify_watch(Inotify *inotify, int dirfd, int *ret_wd) {
        char token[TOKEN_MAX];
        int error, wd;

        make_token(token, dirfd, inotify->n_added + 1);
        if (!inotifytools_watch_file(token, MASK)) {
                error = inotifytools_error();
                if (error == EEXIST)
                        return INOTIFY_TAKEN;
                if (error == ENOSPC)
                        return INOTIFY_FULL;
                return error > 0 ? -error : -EIO;
        }
        inotify->n_added++;
        wd = inotifytools_wd_from_filename(token);
        if (wd < 0)
                return -ENOMEM; /* the library had no memory to keep it */
        *ret_wd = wd;
        return 0;
}

/* Not the library's own removal, which prints an error for a directory that was just deleted; only the kernel knows
 * whether it was. */
void inotify_unwatch(Inotify *inotify, int wd) {
        if (inotify->fd >= 0)
                (void) inotify_rm_watch(inotify->fd, wd); /* EINVAL: the directory is gone, and the watch with it */
}

const struct inotify_event *inotify_next(Inotify *inotify) {
        return inotify->fd >= 0 ? inotifytools_next_events(0, 1) : NULL;
}
