/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The memory of this machine, and what its control groups leave of it. See os/memory.h.
 *
 * A group that cannot be seen (a container shows only a part of the tree), or that has no memory controller, sets no
 * limit; a file that exists and cannot be understood is an error, because a wrong limit ends in an out-of-memory
 * kill. */

#include "os/memory.h"

#include "base/text.h"
#include "os/fs.h"

#include <ctype.h>
#include <fcntl.h>
#include <malloc.h>

/* The names in the two versions of the interface: cgroup-v2.rst, cgroup-v1/memory.rst. In v1 the fields of memory.stat
 * that begin with "total_" include the group's children. */
typedef struct MemoryController {
        const char *directory, *limit, *usage, *active_file, *inactive_file;
} MemoryController;

static const MemoryController unified = { ".", "memory.max", "memory.current", "active_file", "inactive_file" };
static const MemoryController legacy = { "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                         "total_active_file", "total_inactive_file" };

/* In v1, no limit is the largest number of pages that it can count, in bytes. */
static const uint64_t LEGACY_UNLIMITED = UINT64_C(1) << 62;

static int parse_number(const char *text, uint64_t *ret) {
        char *end;
        unsigned long long value;

        if (!isdigit((unsigned char) *text))
                return -EBADMSG;
        errno = 0;
        value = strtoull(text, &end, 10);
        if (errno != 0 || (*end != '\0' && !isspace((unsigned char) *end)))
                return -EBADMSG;
        *ret = value;
        return 0;
}

/* The number after @key at the beginning of a line ("MemTotal:  123 kB", "active_file 4096"). -ENOENT without it. */
static int find_number(const char *text, const char *key, uint64_t *ret) {
        size_t length = strlen(key);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, key, length) == 0 && isspace((unsigned char) line[length]))
                        return parse_number(line + length + strspn(line + length, " \t"), ret);
        }
        return -ENOENT;
}

static int read_machine(int proc, MemoryFacts *facts) {
        const struct {
                const char *key;
                uint64_t *value;
        } wanted[] = {
                { "MemTotal:", &facts->total },
                { "MemAvailable:", &facts->available },
                { "SwapTotal:", &facts->swap_total },
        };
        _cleanup_(freep) char *text = NULL;
        int r;

        r = fs_read_text(proc, "meminfo", 64 * KIB, &text);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                r = find_number(text, wanted[i].key, wanted[i].value);
                if (r == -ENOENT && wanted[i].value == &facts->swap_total)
                        continue; /* a kernel without CONFIG_SWAP */
                if (r < 0 || *wanted[i].value > UINT64_MAX / KIB)
                        return -EBADMSG;
                *wanted[i].value *= KIB;
        }
        return 0;
}

bool memory_swap_is_used(const char *proc) {
        _cleanup_(close_fdp) int fd = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(freep) char *text = NULL;
        uint64_t total, left;

        if (fd < 0 || fs_read_text(fd, "meminfo", 64 * KIB, &text) < 0)
                return true;
        if (find_number(text, "SwapTotal:", &total) < 0)
                return false; /* a kernel without CONFIG_SWAP */
        return find_number(text, "SwapFree:", &left) < 0 || left != total;
}

/* True if "memory" is one of the comma-separated controllers in [list, end). */
static bool names_memory(const char *list, const char *end) {
        while (list < end) {
                const char *comma = memchr(list, ',', (size_t) (end - list));
                const char *stop = comma ? comma : end;

                if (stop - list == 6 && memcmp(list, "memory", 6) == 0)
                        return true;
                list = stop + 1;
        }
        return false;
}

/* Our group in the hierarchy that has the memory controller, without the leading slash. NULL if there is none. */
static int find_group(const char *text, const MemoryController **ret_controller, char **ret_path) {
        const MemoryController *controller = NULL;
        _cleanup_(freep) char *path = NULL;

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                const char *list = memchr(line, ':', strcspn(line, "\n"));
                const char *end = list ? memchr(list + 1, ':', strcspn(list + 1, "\n")) : NULL;
                bool is_legacy;

                if (!end)
                        continue;
                is_legacy = names_memory(list + 1, end);
                if (!is_legacy && (controller || strncmp(line, "0::", 3) != 0))
                        continue;
                free(path);
                end += strspn(end + 1, "/");
                path = strndup(end + 1, strcspn(end + 1, "\n"));
                if (!path)
                        return -ENOMEM;
                controller = is_legacy ? &legacy : &unified;
                if (is_legacy)
                        break;
        }
        *ret_controller = controller;
        *ret_path = TAKE_PTR(path);
        return 0;
}

/* A file that holds one number. Positive if it has one, 0 if it says "max" or does not exist. */
static int read_number(int group, const char *name, uint64_t *ret) {
        _cleanup_(freep) char *text = NULL;
        int r = fs_read_text(group, name, 4 * KIB, &text);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        if (strncmp(text, "max", 3) == 0)
                return 0;
        r = parse_number(text, ret);
        return r < 0 ? r : 1;
}

/* Page cache that the kernel reclaims before it kills a process. tmpfs pages are not in these lists: the kernel keeps
 * them with the anonymous pages, so staged files never count as reclaimable. */
static int read_reclaimable(int group, const MemoryController *controller, uint64_t *ret) {
        _cleanup_(freep) char *text = NULL;
        uint64_t active = 0, inactive = 0;
        int r;

        *ret = 0;
        r = fs_read_text(group, "memory.stat", 256 * KIB, &text);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = find_number(text, controller->active_file, &active);
        if (r < 0 && r != -ENOENT)
                return r;
        r = find_number(text, controller->inactive_file, &inactive);
        if (r < 0 && r != -ENOENT)
                return r;
        *ret = active + inactive;
        return 0;
}

/* How much one group leaves. Positive if it has a limit. */
static int read_left(int group, const MemoryController *controller, uint64_t *ret) {
        uint64_t limit, usage = 0, reclaimable;
        int r = read_number(group, controller->limit, &limit);

        if (r <= 0)
                return r;
        if (controller == &legacy && limit >= LEGACY_UNLIMITED)
                return 0;
        r = read_number(group, controller->usage, &usage);
        if (r < 0)
                return r;
        r = read_reclaimable(group, controller, &reclaimable);
        if (r < 0)
                return r;
        usage -= MIN(usage, reclaimable);
        *ret = limit - MIN(limit, usage);
        return 1;
}

/* Reads the limits of @path and of every group above it, the root included, and keeps the tightest. Shortens @path. */
static int walk_up(int root, const MemoryController *controller, char *path, MemoryFacts *facts) {
        for (;;) {
                _cleanup_(close_fdp) int group = -1;
                uint64_t left = 0;
                char *slash;
                int r = 0;

                group = openat(root, *path ? path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (group >= 0)
                        r = read_left(group, controller, &left);
                else if (errno != ENOENT && errno != ENOTDIR)
                        r = -errno;
                if (r < 0)
                        return r;
                if (r > 0 && left < facts->cgroup_left) {
                        char *name = text_format("/%s", path);

                        if (!name)
                                return -ENOMEM;
                        free(facts->cgroup);
                        facts->cgroup = name;
                        facts->cgroup_left = left;
                }
                if (*path == '\0')
                        return 0;
                slash = strrchr(path, '/');
                *(slash ? slash : path) = '\0';
        }
}

static int read_cgroup(int proc, const char *cgroup, MemoryFacts *facts) {
        _cleanup_(freep) char *text = NULL, *path = NULL, *directory = NULL;
        _cleanup_(close_fdp) int root = -1;
        const MemoryController *controller;
        int r = fs_read_text(proc, "self/cgroup", 64 * KIB, &text);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = find_group(text, &controller, &path);
        if (r < 0 || !controller)
                return r;
        /* "/../x" is a group outside our cgroup namespace, which cannot be seen from here */
        if (strncmp(path, "..", 2) == 0)
                *path = '\0';
        directory = text_format("%s/%s", cgroup, controller->directory);
        if (!directory)
                return -ENOMEM;
        root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        return walk_up(root, controller, path, facts);
}

int memory_read(const char *proc, const char *cgroup, MemoryFacts *ret) {
        _cleanup_(memory_facts_done) MemoryFacts facts = { .cgroup_left = UINT64_MAX };
        _cleanup_(close_fdp) int fd = -1;
        int r;

        assert(proc && cgroup && ret);
        fd = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = read_machine(fd, &facts);
        if (r < 0)
                return r;
        r = read_cgroup(fd, cgroup, &facts);
        if (r < 0)
                return r;
        *ret = facts;
        facts.cgroup = NULL;
        return 0;
}

void memory_facts_done(MemoryFacts *facts) {
        free(facts->cgroup);
        *facts = (MemoryFacts){ .cgroup_left = UINT64_MAX };
}

void memory_trim(void) {
#ifdef __GLIBC__
        (void) malloc_trim(0);
#endif
}
