/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How much of a tree is on swap. See os/swapped.h. */

#include "os/swapped.h"

#include "os/fs.h"
#include "os/tree-access.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { BATCH = 256, DEPTH_MAX = 128 };

typedef struct Mapping {
        uintptr_t start;
        size_t length;
} Mapping;

typedef struct Walk {
        const atomic_bool *cancel;
        Mapping mappings[BATCH];
        size_t n;
        uint64_t bytes;
} Walk;

static void unmap(Walk *walk) {
        for (size_t i = 0; i < walk->n; i++)
                (void) munmap((void *) walk->mappings[i].start, walk->mappings[i].length);
        walk->n = 0;
}

static bool is_ours(const Walk *walk, uintptr_t start) {
        for (size_t i = 0; i < walk->n; i++)
                if (walk->mappings[i].start == start)
                        return true;
        return false;
}

/* Adds the swapped bytes of the files that are mapped now. In smaps the lines about a mapping begin with its
 * addresses. */
static int add_up(Walk *walk) {
        _cleanup_(fclosep) FILE *file = walk->n == 0 ? NULL : fopen("/proc/self/smaps", "re");
        _cleanup_(freep) char *line = NULL;
        size_t allocated = 0;
        unsigned long start, end, kib;
        bool ours = false;

        if (walk->n == 0)
                return 0;
        if (!file)
                return -errno;
        while (getline(&line, &allocated, file) > 0)
                if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
                        ours = is_ours(walk, start);
                else if (ours && sscanf(line, "Swap: %lu kB", &kib) == 1)
                        walk->bytes += (uint64_t) kib * KIB;
        return ferror(file) ? -EIO : 0;
}

static int map_file(Walk *walk, int dirfd, const char *name) {
        _cleanup_(close_fdp) int fd = tree_access_open((TreeName){ dirfd, name }, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct stat st;
        void *start;
        int r = 0;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
                return 0; /* it is gone by now, or not readable */
        start = mmap(NULL, (size_t) st.st_size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (start == MAP_FAILED)
                return -errno;
        walk->mappings[walk->n++] = (Mapping){ .start = (uintptr_t) start, .length = (size_t) st.st_size };
        if (walk->n == BATCH) {
                r = add_up(walk);
                unmap(walk);
        }
        return r;
}

static int walk_directory(Walk *walk, int dirfd, const char *name, unsigned depth) {
        _cleanup_(closedirp) DIR *dir = NULL;
        int fd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY), r = 0;
        struct dirent *d;
        struct stat st;

        if (fd < 0)
                return depth > 0 ? 0 : fd;
        dir = fdopendir(fd);
        if (!dir) {
                (void) close_fd(fd);
                return -errno;
        }
        while (r == 0 && (d = readdir(dir))) {
                if (walk->cancel && atomic_load(walk->cancel))
                        return -ECANCELED;
                if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
                    fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
                        r = walk_directory(walk, fd, d->d_name, depth + 1);
                else if (S_ISREG(st.st_mode))
                        r = map_file(walk, fd, d->d_name);
        }
        return r;
}

int swapped_bytes(int rootfd, const atomic_bool *cancel, uint64_t *ret) {
        Walk walk = { .cancel = cancel };
        int r = walk_directory(&walk, rootfd, ".", 0);

        if (r == 0)
                r = add_up(&walk);
        unmap(&walk);
        if (r == 0)
                *ret = walk.bytes;
        return r;
}
