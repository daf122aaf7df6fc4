/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads a directory tree into a Manifest. See tree/scan.h. */

#include "tree/scan.h"

#include "base/array.h"
#include "base/path.h"
#include "base/pathset.h"
#include "base/text.h"
#include "os/fs.h"
#include "os/tree-access.h"
#include "tree/filter.h"

#include <fcntl.h>

/* A name of a file that has several, kept until all names are known. */
typedef struct Linked {
        uint64_t dev, ino, nlink;
        char *path; /* a copy: an entry that is listed twice replaces the first one, with its path */
} Linked;

typedef struct Scan {
        int rootfd;
        const ScanOptions *options;
        Manifest *manifest;
        Linked *linked;
        size_t n_linked;
        char *path; /* of the current entry; "" at the root */
        dev_t dev;  /* of the directory whose filesystem was asked last whether it has stable inode numbers */
        bool no_inodes;
} Scan;

static int omit(Scan *scan, OmissionReason reason, int error) {
        return manifest_omit(scan->manifest, scan->path, reason, error);
}

/* The kernel follows the path, because a link on the way may lead out too. A dangling link does not lead out. */
static bool leads_out(int rootfd, const char *path) {
        _cleanup_(close_fdp) int fd = -1;

        if (*path == '\0')
                return false;
        fd = fs_follow_beneath(rootfd, path, O_PATH);
        return fd == -EXDEV;
}

static int add_symlink(Scan *scan, int dirfd, const char *name, Entry *entry) {
        _cleanup_(freep) char *target = calloc(1, (size_t) entry->size + 2), *inside = NULL, *relative = NULL;
        ssize_t n;
        int r;

        if (!target)
                return -ENOMEM;
        n = readlinkat(dirfd, name, target, (size_t) entry->size + 1);
        if (n < 0 && errno == ENOENT)
                return 0;
        if (n < 0 && errno != EINVAL)
                return omit(scan, OMIT_UNREADABLE, errno);
        if (n < 0 || (uint64_t) n > entry->size)
                return omit(scan, OMIT_CHANGED, 0); /* not a link any more, or a longer one */
        entry->target = target;
        entry->size = 0;
        entry->mode = 0777;
        if (scan->options->mirror)
                return manifest_put(scan->manifest, entry);
        r = path_resolve_link(scan->options->root, scan->path, target, &inside);
        if (r == -EXDEV || (r == 0 && leads_out(scan->rootfd, target[0] == '/' ? inside : scan->path)))
                return omit(scan, OMIT_LINK_OUT, 0);
        if (r < 0)
                return r;
        if (target[0] == '/') {
                r = path_make_relative(scan->path, inside, &relative);
                if (r < 0)
                        return r;
                entry->target = relative;
        }
        return manifest_put(scan->manifest, entry);
}

/* How much of a file is data, in whole pages. Only a file with fewer blocks than bytes is opened; it may be sparse, or
 * compressed. */
static uint64_t measure_data(int dirfd, const char *name, const struct stat *st) {
        _cleanup_(close_fdp) int fd = -1;
        uint64_t size = (uint64_t) st->st_size, all = round_up(size, 4096), room = 0, start, end = 0;
        int r;

        if ((uint64_t) st->st_blocks * 512 >= size)
                return all;
        fd = tree_access_open((TreeName){ dirfd, name }, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return all; /* the copy will fail in the same way, and report it */
        while ((r = fs_next_data(fd, end, size, &start, &end)) > 0)
                room += round_up(end, 4096) - (start & ~(uint64_t) 4095);
        return r == 0 ? MIN(room, all) : all;
}

static int add_file(Scan *scan, int dirfd, const char *name, const struct stat *st, Entry *entry) {
        char *path;
        int r;

        entry->room = measure_data(dirfd, name, st);
        r = manifest_put(scan->manifest, entry);
        if (r < 0 || st->st_nlink < 2)
                return r;
        path = ARRAY_ROOM(scan->linked, scan->n_linked) == 0 ? strdup(scan->path) : NULL;
        if (!path)
                return -ENOMEM;
        scan->linked[scan->n_linked++] = (Linked){ .dev = st->st_dev, .ino = st->st_ino,
                                                       .nlink = st->st_nlink, .path = path };
        return 0;
}

static int open_directory(const Scan *scan, int parentfd, const char *name);
static int list_directory(Scan *scan, int opened);

static int add_directory(Scan *scan, int dirfd, const char *name, Entry *entry) {
        int fd = open_directory(scan, dirfd, name), r;

        if (fd == -EXDEV)
                return omit(scan, OMIT_MOUNT, 0);
        entry->size = 0;
        r = manifest_put(scan->manifest, entry);
        if (r == 0)
                return list_directory(scan, fd);
        (void) close_fd(fd);
        return r;
}

/* A client brought it, and the mirror has it. */
static bool is_saved(const Scan *scan) {
        const Entry *entry = scan->options->also ? manifest_find(scan->options->also, scan->path) : NULL;

        return entry && entry->flags & (ENTRY_SAVED | ENTRY_OWN_COPY) && !(entry->flags & ENTRY_RECORD);
}

static bool is_chosen(const Scan *scan, bool directory) {
        const ScanOptions *options = scan->options;
        static char *const nothing[] = { NULL };

        if (!options->include || is_saved(scan))
                return true;
        if (!filter_includes(nothing, options->exclude, scan->path))
                return false;
        /* a directory that is not included may still hold something that is */
        return directory || filter_includes(options->include, nothing, scan->path) ||
               (options->is_wanted && options->is_wanted(scan->path, options->userdata));
}

static bool is_unfinished(const Scan *scan) {
        const ScanOptions *options = scan->options;

        return !options->mirror && options->is_unfinished && options->is_unfinished(scan->path, options->layout);
}

/* What keeps the identity of a file of the source from being certain. */
static void add_doubts(const Scan *scan, const struct stat *st, Entry *entry) {
        if (scan->no_inodes) {
                entry->ino = 0;
                entry->flags |= ENTRY_NO_INODE;
        }
        if (S_ISREG(st->st_mode) && fs_is_racy(st))
                entry->flags |= ENTRY_RACY;
}

static int add_entry(Scan *scan, int dirfd, const char *name) {
        struct stat st;
        Entry entry;

        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : omit(scan, OMIT_UNREADABLE, errno);
        if (!is_chosen(scan, S_ISDIR(st.st_mode)))
                return 0;
        if (is_unfinished(scan))
                return S_ISDIR(st.st_mode) ? 0 : omit(scan, OMIT_IN_PROGRESS, 0);
        entry = (Entry){ .path = scan->path, .size = (uint64_t) st.st_size, .mtime_nsec = fs_nsec(&st.st_mtim),
                         .ctime_nsec = fs_nsec(&st.st_ctim), .ino = st.st_ino, .uid = st.st_uid, .gid = st.st_gid,
                         .dev = (uint32_t) st.st_dev, .mode = fs_mode(&st) };
        if (!scan->options->mirror)
                add_doubts(scan, &st, &entry);
        if (scan->options->progress)
                (void) atomic_fetch_add(scan->options->progress, 1);
        switch (st.st_mode & S_IFMT) {
        case S_IFDIR:
                entry.type = ENTRY_DIRECTORY;
                return add_directory(scan, dirfd, name, &entry);
        case S_IFREG:
                entry.type = ENTRY_FILE;
                return add_file(scan, dirfd, name, &st, &entry);
        case S_IFLNK:
                entry.type = ENTRY_SYMLINK;
                return add_symlink(scan, dirfd, name, &entry);
        default:
                return omit(scan, OMIT_SPECIAL, 0);
        }
}

/* Runs add_entry() with the name appended to the path. */
static int descend(Scan *scan, int dirfd, const char *name) {
        _cleanup_(freep) char *joined = NULL;
        char *saved = scan->path;
        int r;

        if (scan->options->cancel && atomic_load(scan->options->cancel))
                return -ECANCELED;
        joined = text_format("%s%s%s", saved, *saved ? "/" : "", name);
        if (!joined)
                return -ENOMEM;
        scan->path = joined;
        r = add_entry(scan, dirfd, name);
        scan->path = saved;
        return r;
}

static int read_directory(Scan *scan, DIR *dir) {
        bool top = scan->path[0] == '\0';

        for (;;) {
                struct dirent *d;
                int r;

                errno = 0;
                d = readdir(dir);
                if (!d)
                        return -errno;
                if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
                    ((top || !scan->options->mirror) && strcmp(d->d_name, SCAN_PRIVATE_DIR) == 0))
                        continue;
                r = descend(scan, dirfd(dir), d->d_name);
                if (r < 0)
                        return r;
        }
}

static void check_inodes(Scan *scan, int fd) {
        struct stat st;

        if (scan->options->mirror || fstat(fd, &st) < 0 || st.st_dev == scan->dev)
                return;
        scan->dev = st.st_dev;
        scan->no_inodes = !fs_has_stable_inodes(fd);
}

/* What is mounted inside the mirror is not of the mirror: -EXDEV. */
static int open_directory(const Scan *scan, int parentfd, const char *name) {
        const int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;

        return scan->options->mirror && scan->path[0] ? fs_open_here(parentfd, name, flags)
                                                      : tree_access_open((TreeName){ parentfd, name }, flags);
}

/* Takes @opened, or the negative errno that it is. */
static int list_directory(Scan *scan, int opened) {
        _cleanup_(close_fdp) int fd = opened;
        _cleanup_(closedirp) DIR *dir = NULL;
        bool top = scan->path[0] == '\0', no_inodes = scan->no_inodes;
        dev_t dev = scan->dev;
        int r;

        if (fd < 0) {
                if (top)
                        return fd;
                if (fd == -ENOENT)
                        return 0;
                return fd == -ENOTDIR || fd == -ELOOP ? omit(scan, OMIT_CHANGED, 0)
                                                      : omit(scan, OMIT_UNREADABLE, -fd);
        }
        check_inodes(scan, fd);
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        fd = -1;
        r = read_directory(scan, dir);
        if (!top) { /* a filesystem that is mounted inside ends here */
                scan->dev = dev;
                scan->no_inodes = no_inodes;
        }
        if (r == -ENOMEM || r == -ECANCELED || r == 0 || top)
                return r;
        return omit(scan, OMIT_UNREADABLE, -r);
}

static int compare_linked(const void *a, const void *b) {
        const Linked *x = a, *y = b;

        if (x->dev != y->dev)
                return x->dev < y->dev ? -1 : 1;
        if (x->ino != y->ino)
                return x->ino < y->ino ? -1 : 1;
        return strcmp(x->path, y->path);
}

static bool is_same_file(const Linked *a, const Linked *b) {
        return a->dev == b->dev && a->ino == b->ino;
}

/* More names than the file has links, or names that disagree about their number: then one number stands for several
 * files, as unions of filesystems and 9p can have it. */
static bool is_contradiction(const Linked *group, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (group[i].nlink != group[0].nlink)
                        return true;
        return n > group[0].nlink;
}

/* The first name of a file in path order is the file; its other names become hard links to that. */
static int tie_group(Scan *scan, const Linked *group, size_t n) {
        const Linked *first = NULL;

        for (size_t i = 0; i < n; i++) {
                const Linked *l = &group[i];
                Entry *entry = manifest_find(scan->manifest, l->path);

                if (!entry || (entry->ino != l->ino && !(entry->flags & ENTRY_NO_INODE)))
                        continue; /* dropped since, or listed again as another file */
                if (!first) {
                        first = l;
                        continue;
                }
                entry->type = ENTRY_HARDLINK;
                entry->room = 0;
                entry->target = strdup(first->path);
                if (!entry->target)
                        return -ENOMEM;
        }
        return 0;
}

static int tie_links(Scan *scan) {
        size_t end, n = 0;

        if (scan->n_linked > 0)
                qsort(scan->linked, scan->n_linked, sizeof(Linked), compare_linked);
        /* a name may have been listed twice while its directory changed */
        for (size_t i = 0; i < scan->n_linked; i++)
                if (n > 0 && strcmp(scan->linked[n - 1].path, scan->linked[i].path) == 0 &&
                    is_same_file(&scan->linked[n - 1], &scan->linked[i]))
                        free(scan->linked[i].path);
                else
                        scan->linked[n++] = scan->linked[i];
        scan->n_linked = n;
        for (size_t i = 0; i < n; i = end) {
                int r = 0;

                for (end = i + 1; end < n && is_same_file(&scan->linked[i], &scan->linked[end]); end++)
                        ;
                if (!is_contradiction(&scan->linked[i], end - i))
                        r = tie_group(scan, &scan->linked[i], end - i);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* In path order what is in a directory does not follow it at once: "a", "a b", "a/c". */
static bool is_empty_directory(const Entry *entry, void *userdata) {
        const Manifest *manifest = userdata;

        if (entry->type != ENTRY_DIRECTORY)
                return false;
        for (const Entry *e = entry + 1; e < manifest->entries + manifest->n_entries; e++) {
                if (strncmp(e->path, entry->path, strlen(entry->path)) != 0)
                        break;
                if (e->type != ENTRY_DIRECTORY && path_is_below(e->path, entry->path))
                        return false;
        }
        return true;
}

void scan_drop_empty_directories(Manifest *manifest) {
        manifest_filter(manifest, is_empty_directory, manifest);
}

static bool is_in_set(const Entry *entry, void *userdata) {
        return entry->type == ENTRY_FILE && pathset_has(userdata, entry->path);
}

/* Drops the files that have a marker beside them. The markers are among the omissions, by their names. */
static int drop_marked(const Scan *scan) {
        _cleanup_(pathset_done) PathSet marked = {};
        const Manifest *manifest = scan->manifest;

        for (size_t i = 0; scan->options->markers && i < manifest->n_omissions; i++)
                for (const char *const *marker = scan->options->markers; *marker; marker++) {
                        const char *path = manifest->omissions[i].path;
                        size_t n = strlen(path), ending = strlen(*marker);
                        _cleanup_(freep) char *file = NULL;

                        if (n <= ending || strcmp(path + n - ending, *marker) != 0)
                                continue;
                        file = strndup(path, n - ending);
                        if (!file || pathset_add(&marked, file) < 0)
                                return -ENOMEM;
                }
        pathset_sort(&marked);
        if (marked.n > 0)
                manifest_filter(scan->manifest, is_in_set, &marked);
        return 0;
}

int scan_tree(int rootfd, const ScanOptions *options, Manifest **ret) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        char empty[] = "";
        Scan scan = { .rootfd = rootfd, .options = options, .path = empty };
        int r;

        r = manifest_new(&manifest);
        if (r < 0)
                return r;
        scan.manifest = manifest;
        r = list_directory(&scan, open_directory(&scan, rootfd, "."));
        if (r == 0) {
                manifest_sort(manifest);
                r = options->mirror ? 0 : drop_marked(&scan);
        }
        if (r == 0)
                r = tie_links(&scan);
        for (size_t i = 0; i < scan.n_linked; i++)
                free(scan.linked[i].path);
        free(scan.linked);
        if (r < 0)
                return r;
        if (options->include && *options->include)
                scan_drop_empty_directories(manifest);
        *ret = TAKE_PTR(manifest);
        return 0;
}
