/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The trustworthy part of libinotifytools. See tree/inotify.h.
 *
 * What the library gets wrong is gone round here: it keeps dead watches for ever and then answers with their
 * numbers, so no name is ever given to it twice; it hides its descriptor, so that is found; it keeps unread events
 * over a restart, so they are thrown away; its select() aborts the process at descriptor 1024, so that is refused. */

#include "tree/inotify.h"

#include "os/fs.h"

#include <fcntl.h>
#include <inotifytools/inotifytools.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sysmacros.h>

enum {
        /* Whatever can change what a name stands for. Not IN_MODIFY: it tells of every write and proves nothing. */
        MASK = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF |
               IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK | IN_MASK_CREATE,
        FD_PATH_MAX = 64,
        TOKEN_MAX = FD_PATH_MAX + 2 * 64 + 1,
        FDINFO_MAX = 4096, /* ours has one watch when it is looked for; a longer one is somebody else's */
};

static atomic_flag taken = ATOMIC_FLAG_INIT;

/* Does this descriptor of the process watch the marker as number @wd? */
static bool watches_marker(const char *name, int wd, const struct stat *marker) {
        char path[FD_PATH_MAX], wanted[128];
        _cleanup_(freep) char *info = NULL;

        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%.16s", name);
        if (fs_read_text(AT_FDCWD, path, FDINFO_MAX, &info) < 0)
                return false;
        /* the kernel prints its own form of a device number, 12 and 20 bits */
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

/* The library's descriptor. Other threads open and close descriptors meanwhile, and there may be inotify instances
 * that are not ours, so neither the lowest free number nor the kind of file is proof; a watch on a nameless
 * file that only we have is. */
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
        (void) inotifytools_remove_watch_by_wd(wd); /* alive, so this is the one removal that always succeeds */
        return fd;
}

static int prepare_fd(Inotify *inotify) {
        int fd = find_fd();

        if (fd < 0)
                return fd;
        if (fd >= FD_SETSIZE)
                return -EMFILE;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
                return -errno;
        while (inotifytools_next_events(0, 1))
                ; /* of the instance before this one, whose watches had the same numbers */
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

/* A path of the descriptor that was never given to the library before: @serial is spelt with "./" for one and "/"
 * for zero, which leads nowhere else. The path ends in a slash, so the link in /proc is followed, and what it leads
 * to is the open directory itself, whatever its name leads to by now. */
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
                return -ENOMEM; /* the library could not remember it */
        *ret_wd = wd;
        return 0;
}

/* Not the library's own removal: of a directory that was just deleted it complains on standard error, and nobody
 * can know that before asking the kernel. */
void inotify_unwatch(Inotify *inotify, int wd) {
        if (inotify->fd >= 0)
                (void) inotify_rm_watch(inotify->fd, wd); /* EINVAL: the kernel was faster */
}

const struct inotify_event *inotify_next(Inotify *inotify) {
        return inotify->fd >= 0 ? inotifytools_next_events(0, 1) : NULL;
}
