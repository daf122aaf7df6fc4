/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A directory once more, through FUSE, as filesystems show it that know less of a file:
 *
 *   coarsefs [--times=SECONDS] [--inode=NUMBER] [--links=N] DIRECTORY MOUNTPOINT
 *
 *   --times=   all times are rounded down to a multiple of so many seconds, those that are set too
 *   --inode=   every regular file has this inode number
 *   --links=   every regular file has so many names, by its own account
 *
 * It runs in the foreground, in one thread, until it is unmounted or terminated. Nothing is cached but what is
 * mapped. */

#define FUSE_USE_VERSION 35

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { HANDLE_PATH_MAX = 64 };

/* What the kernel knows of the directory behind: an address is its number. */
typedef struct Node {
        struct Node *next;
        int fd; /* O_PATH */
        dev_t device;
        ino_t inode;
        uint64_t lookups;
} Node;

static Node root = { .fd = -1 };
static Node *nodes;
static time_t granularity; /* 0: as fine as below */
static ino_t fixed_inode;
static nlink_t fixed_links;

static Node *node_of(fuse_ino_t number) {
        return number == FUSE_ROOT_ID ? &root : (Node *) (uintptr_t) number;
}

static int fd_of(fuse_ino_t number) {
        return node_of(number)->fd;
}

/* A path that leads to the file itself, whatever its names are by now. */
static const char *handle_path(char path[static HANDLE_PATH_MAX], fuse_ino_t number) {
        (void) snprintf(path, HANDLE_PATH_MAX, "/proc/self/fd/%d", fd_of(number));
        return path;
}

static void round_down(struct timespec *time) {
        if (granularity <= 0)
                return;
        time->tv_nsec = 0;
        time->tv_sec -= (time->tv_sec % granularity + granularity) % granularity;
}

static void make_coarse(struct stat *st) {
        round_down(&st->st_atim);
        round_down(&st->st_mtim);
        round_down(&st->st_ctim);
        if (!S_ISREG(st->st_mode))
                return;
        if (fixed_inode != 0)
                st->st_ino = fixed_inode;
        if (fixed_links != 0)
                st->st_nlink = fixed_links;
}

static void reply(fuse_req_t request, int r) {
        (void) fuse_reply_err(request, r < 0 ? errno : 0);
}

/* ---- nodes ---- */

static Node *node_find(const struct stat *st) {
        Node *node = nodes;

        while (node && (node->inode != st->st_ino || node->device != st->st_dev))
                node = node->next;
        return node;
}

/* Takes the descriptor. */
static Node *node_get(int fd, const struct stat *st) {
        Node *node = node_find(st);

        if (node) {
                (void) close(fd);
        } else {
                node = calloc(1, sizeof(*node));
                if (!node) {
                        (void) close(fd);
                        errno = ENOMEM;
                        return NULL;
                }
                *node = (Node){ .next = nodes, .fd = fd, .device = st->st_dev, .inode = st->st_ino };
                nodes = node;
        }
        node->lookups++;
        return node;
}

static void node_forget(Node *node, uint64_t lookups) {
        Node **link = &nodes;

        if (node == &root)
                return;
        node->lookups -= lookups;
        if (node->lookups > 0)
                return;
        while (*link != node)
                link = &(*link)->next;
        *link = node->next;
        (void) close(node->fd);
        free(node);
}

static int find_entry(fuse_ino_t parent, const char *name, struct fuse_entry_param *ret) {
        int fd = openat(fd_of(parent), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        Node *node;

        *ret = (struct fuse_entry_param){};
        if (fd < 0)
                return -1;
        if (fstatat(fd, "", &ret->attr, AT_EMPTY_PATH) < 0) {
                int error = errno;

                (void) close(fd);
                errno = error;
                return -1;
        }
        node = node_get(fd, &ret->attr);
        if (!node)
                return -1;
        ret->ino = (fuse_ino_t) (uintptr_t) node;
        make_coarse(&ret->attr);
        return 0;
}

static void reply_entry(fuse_req_t request, fuse_ino_t parent, const char *name) {
        struct fuse_entry_param entry;

        if (find_entry(parent, name, &entry) < 0)
                reply(request, -1);
        else
                (void) fuse_reply_entry(request, &entry);
}

/* What was made belongs to who asked for it. */
static void give_away(fuse_req_t request, fuse_ino_t parent, const char *name) {
        const struct fuse_ctx *context = fuse_req_ctx(request);

        if (geteuid() == 0)
                (void) !fchownat(fd_of(parent), name, context->uid, context->gid, AT_SYMLINK_NOFOLLOW);
}

static void do_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
        reply_entry(request, parent, name);
}

static void do_forget(fuse_req_t request, fuse_ino_t number, uint64_t lookups) {
        node_forget(node_of(number), lookups);
        fuse_reply_none(request);
}

/* ---- attributes ---- */

static void do_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
        struct stat st;

        (void) file;
        if (fstatat(fd_of(number), "", &st, AT_EMPTY_PATH) < 0) {
                reply(request, -1);
                return;
        }
        make_coarse(&st);
        (void) fuse_reply_attr(request, &st, 0);
}

static int set_times(const char *path, const struct stat *wanted, int which) {
        struct timespec times[2] = { wanted->st_atim, wanted->st_mtim };

        round_down(&times[0]);
        round_down(&times[1]);
        if (which & FUSE_SET_ATTR_ATIME_NOW)
                times[0].tv_nsec = UTIME_NOW;
        else if (!(which & FUSE_SET_ATTR_ATIME))
                times[0].tv_nsec = UTIME_OMIT;
        if (which & FUSE_SET_ATTR_MTIME_NOW)
                times[1].tv_nsec = UTIME_NOW;
        else if (!(which & FUSE_SET_ATTR_MTIME))
                times[1].tv_nsec = UTIME_OMIT;
        return utimensat(AT_FDCWD, path, times, 0);
}

static int set_attributes(fuse_ino_t number, const struct stat *wanted, int which, const struct fuse_file_info *file) {
        uid_t uid = which & FUSE_SET_ATTR_UID ? wanted->st_uid : (uid_t) -1;
        gid_t gid = which & FUSE_SET_ATTR_GID ? wanted->st_gid : (gid_t) -1;
        char path[HANDLE_PATH_MAX];

        (void) handle_path(path, number);
        if ((which & FUSE_SET_ATTR_MODE) && chmod(path, wanted->st_mode & 07777) < 0)
                return -1;
        if ((which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) &&
            fchownat(fd_of(number), "", uid, gid, AT_EMPTY_PATH) < 0)
                return -1;
        if ((which & FUSE_SET_ATTR_SIZE) &&
            (file ? ftruncate((int) file->fh, wanted->st_size) : truncate(path, wanted->st_size)) < 0)
                return -1;
        if (which & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW))
                return set_times(path, wanted, which);
        return 0;
}

static void do_setattr(fuse_req_t request, fuse_ino_t number, struct stat *wanted, int which,
                       struct fuse_file_info *file) {
        if (set_attributes(number, wanted, which, file) < 0)
                reply(request, -1);
        else
                do_getattr(request, number, file);
}

static void do_setxattr(fuse_req_t request, fuse_ino_t number, const char *name, const char *value, size_t size,
                        int flags) {
        char path[HANDLE_PATH_MAX];

        reply(request, setxattr(handle_path(path, number), name, value, size, flags));
}

static void do_removexattr(fuse_req_t request, fuse_ino_t number, const char *name) {
        char path[HANDLE_PATH_MAX];

        reply(request, removexattr(handle_path(path, number), name));
}

static void reply_xattr(fuse_req_t request, ssize_t n, const void *data, size_t size) {
        if (n < 0)
                reply(request, -1);
        else if (size == 0)
                (void) fuse_reply_xattr(request, (size_t) n);
        else
                (void) fuse_reply_buf(request, data, (size_t) n);
}

static void do_getxattr(fuse_req_t request, fuse_ino_t number, const char *name, size_t size) {
        char path[HANDLE_PATH_MAX], *data = calloc(1, size + 1);

        if (data)
                reply_xattr(request, getxattr(handle_path(path, number), name, data, size), data, size);
        else
                (void) fuse_reply_err(request, ENOMEM);
        free(data);
}

static void do_listxattr(fuse_req_t request, fuse_ino_t number, size_t size) {
        char path[HANDLE_PATH_MAX], *data = calloc(1, size + 1);

        if (data)
                reply_xattr(request, listxattr(handle_path(path, number), data, size), data, size);
        else
                (void) fuse_reply_err(request, ENOMEM);
        free(data);
}

static void do_statfs(fuse_req_t request, fuse_ino_t number) {
        struct statvfs st;

        if (fstatvfs(fd_of(number), &st) < 0)
                reply(request, -1);
        else
                (void) fuse_reply_statfs(request, &st);
}

/* ---- names ---- */

static void do_readlink(fuse_req_t request, fuse_ino_t number) {
        char text[4096];
        ssize_t n = readlinkat(fd_of(number), "", text, sizeof(text) - 1);

        if (n < 0) {
                reply(request, -1);
                return;
        }
        text[n] = '\0';
        (void) fuse_reply_readlink(request, text);
}

static void reply_made(fuse_req_t request, fuse_ino_t parent, const char *name, int r) {
        if (r < 0) {
                reply(request, -1);
                return;
        }
        give_away(request, parent, name);
        reply_entry(request, parent, name);
}

static void do_mknod(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device) {
        reply_made(request, parent, name, mknodat(fd_of(parent), name, mode, device));
}

static void do_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode) {
        reply_made(request, parent, name, mkdirat(fd_of(parent), name, mode));
}

static void do_symlink(fuse_req_t request, const char *text, fuse_ino_t parent, const char *name) {
        reply_made(request, parent, name, symlinkat(text, fd_of(parent), name));
}

static void do_link(fuse_req_t request, fuse_ino_t number, fuse_ino_t parent, const char *name) {
        char path[HANDLE_PATH_MAX];

        if (linkat(AT_FDCWD, handle_path(path, number), fd_of(parent), name, AT_SYMLINK_FOLLOW) < 0)
                reply(request, -1);
        else
                reply_entry(request, parent, name);
}

static void do_unlink(fuse_req_t request, fuse_ino_t parent, const char *name) {
        reply(request, unlinkat(fd_of(parent), name, 0));
}

static void do_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name) {
        reply(request, unlinkat(fd_of(parent), name, AT_REMOVEDIR));
}

static void do_rename(fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t to_parent, const char *to,
                      unsigned flags) {
        reply(request, renameat2(fd_of(parent), name, fd_of(to_parent), to, flags));
}

/* ---- directories ---- */

static void do_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
        int fd = openat(fd_of(number), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir) {
                reply(request, -1);
                if (fd >= 0)
                        (void) close(fd);
                return;
        }
        file->fh = (uint64_t) (uintptr_t) dir;
        (void) fuse_reply_open(request, file);
}

static DIR *dir_of(const struct fuse_file_info *file) {
        return (DIR *) (uintptr_t) file->fh;
}

static void do_readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file) {
        char *buffer = malloc(size);
        DIR *dir = dir_of(file);
        const struct dirent *entry;
        size_t used = 0;

        (void) number;
        if (!buffer) {
                (void) fuse_reply_err(request, ENOMEM);
                return;
        }
        seekdir(dir, (long) offset);
        while ((entry = readdir(dir))) {
                struct stat st = { .st_ino = entry->d_ino, .st_mode = DTTOIF(entry->d_type) };
                size_t length;

                make_coarse(&st);
                length = fuse_add_direntry(request, buffer + used, size - used, entry->d_name, &st, entry->d_off);
                if (length > size - used)
                        break;
                used += length;
        }
        (void) fuse_reply_buf(request, buffer, used);
        free(buffer);
}

static void do_releasedir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
        (void) number;
        reply(request, closedir(dir_of(file)));
}

static void do_fsyncdir(fuse_req_t request, fuse_ino_t number, int data_only, struct fuse_file_info *file) {
        (void) number;
        (void) data_only;
        reply(request, fsync(dirfd(dir_of(file))));
}

/* ---- files ---- */

/* A page that is written to in part is read before, and where an append goes is the kernel's business. */
static int flags_behind(int flags) {
        flags &= ~(O_APPEND | O_DIRECT | O_NOFOLLOW | O_CREAT | O_EXCL);
        return (flags & O_ACCMODE) == O_WRONLY ? (flags & ~O_ACCMODE) | O_RDWR : flags;
}

static void do_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
        char path[HANDLE_PATH_MAX];
        int fd = open(handle_path(path, number), flags_behind(file->flags) | O_CLOEXEC);

        if (fd < 0) {
                reply(request, -1);
                return;
        }
        file->fh = (uint64_t) fd;
        (void) fuse_reply_open(request, file);
}

static void do_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *file) {
        int fd = openat(fd_of(parent), name, flags_behind(file->flags) | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        struct fuse_entry_param entry;

        if (fd < 0) {
                reply(request, -1);
                return;
        }
        give_away(request, parent, name);
        if (find_entry(parent, name, &entry) < 0) {
                reply(request, -1);
                (void) close(fd);
                return;
        }
        file->fh = (uint64_t) fd;
        (void) fuse_reply_create(request, &entry, file);
}

static void do_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file) {
        char *buffer = malloc(size);
        ssize_t n;

        (void) number;
        if (!buffer) {
                (void) fuse_reply_err(request, ENOMEM);
                return;
        }
        n = pread((int) file->fh, buffer, size, offset);
        if (n < 0)
                reply(request, -1);
        else
                (void) fuse_reply_buf(request, buffer, (size_t) n);
        free(buffer);
}

static void do_write(fuse_req_t request, fuse_ino_t number, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *file) {
        ssize_t n = pwrite((int) file->fh, data, size, offset);

        (void) number;
        if (n < 0)
                reply(request, -1);
        else
                (void) fuse_reply_write(request, (size_t) n);
}

static void do_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *file) {
        (void) number;
        reply(request, close((int) file->fh));
}

static void do_fsync(fuse_req_t request, fuse_ino_t number, int data_only, struct fuse_file_info *file) {
        (void) number;
        reply(request, data_only ? fdatasync((int) file->fh) : fsync((int) file->fh));
}

static void do_fallocate(fuse_req_t request, fuse_ino_t number, int mode, off_t offset, off_t length,
                         struct fuse_file_info *file) {
        (void) number;
        reply(request, fallocate((int) file->fh, mode, offset, length));
}

static const struct fuse_lowlevel_ops operations = {
        .lookup = do_lookup, .forget = do_forget, .getattr = do_getattr, .setattr = do_setattr, .setxattr = do_setxattr,
        .removexattr = do_removexattr, .getxattr = do_getxattr, .listxattr = do_listxattr, .statfs = do_statfs,
        .readlink = do_readlink, .mknod = do_mknod, .mkdir = do_mkdir, .symlink = do_symlink, .link = do_link,
        .unlink = do_unlink, .rmdir = do_rmdir, .rename = do_rename, .opendir = do_opendir, .readdir = do_readdir,
        .releasedir = do_releasedir, .fsyncdir = do_fsyncdir, .open = do_open, .create = do_create, .read = do_read,
        .write = do_write, .release = do_release, .fsync = do_fsync, .fallocate = do_fallocate,
};

/* ---- the program ---- */

static int serve(const char *mountpoint) {
        struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
        struct fuse_session *session = NULL;
        bool done = false;

        if (fuse_opt_add_arg(&args, "coarsefs") == 0 &&
            fuse_opt_add_arg(&args, "-ofsname=coarsefs,default_permissions") == 0 &&
            (geteuid() != 0 || fuse_opt_add_arg(&args, "-oallow_other") == 0))
                session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
        if (session && fuse_set_signal_handlers(session) == 0) {
                if (fuse_session_mount(session, mountpoint) == 0) {
                        done = fuse_session_loop(session) >= 0; /* the signal that ended it */
                        fuse_session_unmount(session);
                }
                fuse_remove_signal_handlers(session);
        }
        if (session)
                fuse_session_destroy(session);
        fuse_opt_free_args(&args);
        return done ? 0 : 1;
}

static int usage(void) {
        (void) fprintf(stderr, "usage: coarsefs [--times=SECONDS] [--inode=NUMBER] [--links=N] DIRECTORY MOUNTPOINT\n");
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "times", required_argument, NULL, 't' },
                { "inode", required_argument, NULL, 'i' },
                { "links", required_argument, NULL, 'l' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 't':
                        granularity = (time_t) strtoul(optarg, NULL, 10);
                        break;
                case 'i':
                        fixed_inode = (ino_t) strtoul(optarg, NULL, 10);
                        break;
                case 'l':
                        fixed_links = (nlink_t) strtoul(optarg, NULL, 10);
                        break;
                default:
                        return usage();
                }
        if (argc - optind != 2)
                return usage();
        root.fd = open(argv[optind], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root.fd < 0) {
                (void) fprintf(stderr, "Failed to open '%s': %s\n", argv[optind], strerror(errno));
                return 1;
        }
        (void) umask(0); /* the kernel has applied the caller's */
        return serve(argv[optind + 1]);
}
