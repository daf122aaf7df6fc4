/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The processes of a machine. See ctl/doctor/procfs.h. */

#include "ctl/doctor/procfs.h"

#include "base/array.h"
#include "base/strv.h"
#include "base/text.h"
#include "os/fs.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const char DELETED[] = " (deleted)";

static int outcome(int r) {
        switch (r) {
        case -ENOENT:
        case -ESRCH:
        case -ENOTDIR:
                return PROCFS_GONE;
        case -EACCES:
        case -EPERM:
                return PROCFS_DENIED;
        default:
                return r;
        }
}

static int open_process(const RootView *machine, int pid) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d", pid);
        return root_view_open_path(machine, path, O_RDONLY | O_DIRECTORY);
}

/* A file of NUL-terminated strings. A process may have overwritten its own with anything. */
static int read_strings(int dir, const char *name, char ***ret) {
        _cleanup_(strv_freep) char **list = calloc(1, sizeof(char *));
        _cleanup_(fclosep) FILE *file = NULL;
        _cleanup_(freep) char *text = NULL;
        _cleanup_(close_fdp) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
        size_t size = 0;
        int r = 0;

        if (!list)
                return -ENOMEM;
        if (fd < 0)
                return -errno;
        file = fdopen(fd, "r");
        if (!file)
                return -ENOMEM;
        TAKE_FD(fd);
        for (errno = 0; r == 0 && getdelim(&text, &size, '\0', file) >= 0; errno = 0)
                r = strv_take(&list, strdup(text));
        if (r == 0 && ferror(file))
                r = errno != 0 ? -errno : -EIO;
        if (r == 0)
                *ret = TAKE_PTR(list);
        return r;
}

static bool is_unit(const char *name, size_t length) {
        static const char *const suffixes[] = { ".service", ".scope" };

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                size_t n = strlen(suffixes[i]);

                if (length > n && memcmp(name + length - n, suffixes[i], n) == 0)
                        return true;
        }
        return false;
}

/* The last part of the control group's path that is a service or scope: a service of a user manager, and not its
 * user@1000.service. */
static int read_unit(int dir, char **ret) {
        _cleanup_(freep) char *text = NULL;
        const char *found = NULL;
        size_t found_length = 0;
        int r = fs_read_text(dir, "cgroup", 64 * KIB, &text);

        *ret = NULL;
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                const char *path = memchr(line, '/', strcspn(line, "\n"));

                if (!path || (strncmp(line, "0::", 3) != 0 && !strstr(line, "name=systemd")))
                        continue;
                while (*path == '/') {
                        size_t length = strcspn(path + 1, "/\n");

                        if (is_unit(path + 1, length)) {
                                found = path + 1;
                                found_length = length;
                        }
                        path += 1 + length;
                }
                if (found)
                        break;
        }
        if (found && !(*ret = strndup(found, found_length)))
                return -ENOMEM;
        return 0;
}

static bool has_other_root(const RootView *machine, int dir) {
        struct stat ours, theirs;

        return machine->live && fstat(machine->fd, &ours) == 0 && fstatat(dir, "root", &theirs, 0) == 0 &&
               (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino);
}

static void process_done(Process *process) {
        free(process->command);
        free(process->unit);
        (void) strv_free(process->arguments);
        *process = (Process){ 0 };
}

static int read_process(const RootView *machine, int pid, Process *ret) {
        _cleanup_(close_fdp) int dir = open_process(machine, pid);
        _cleanup_(process_done) Process process = { .pid = pid };
        struct stat st;
        int r;

        if (dir < 0)
                return outcome(dir);
        if (fstat(dir, &st) < 0)
                return outcome(-errno);
        process.uid = st.st_uid;
        process.contained = has_other_root(machine, dir);
        r = fs_read_text(dir, "comm", KIB, &process.command);
        if (r == 0)
                r = read_strings(dir, "cmdline", &process.arguments);
        if (r == 0)
                r = read_unit(dir, &process.unit);
        if (r < 0)
                return outcome(r);
        process.command[strcspn(process.command, "\n")] = '\0';
        *ret = process;
        process = (Process){ 0 };
        return 0;
}

static int compare_pids(const void *a, const void *b) {
        const Process *left = a, *right = b;

        return (left->pid > right->pid) - (left->pid < right->pid);
}

static int add_process(const RootView *machine, const char *name, ProcessList *list) {
        int r;

        if (!isdigit((unsigned char) name[0]))
                return 0;
        if (ARRAY_ROOM(list->items, list->n) < 0)
                return -ENOMEM;
        r = read_process(machine, atoi(name), &list->items[list->n]);
        list->n += r == 0;
        return r < 0 ? r : 0;
}

int procfs_list(const RootView *machine, ProcessList *ret) {
        _cleanup_(procfs_list_done) ProcessList list = { 0 };
        int fd = root_view_open_path(machine, "/proc", O_RDONLY | O_DIRECTORY), r = 0;
        _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!dir) {
                (void) close_fd(fd);
                return fd < 0 ? fd : -ENOMEM;
        }
        while (r == 0 && (entry = readdir(dir)))
                r = add_process(machine, entry->d_name, &list);
        if (r < 0)
                return r;
        if (list.n > 0)
                qsort(list.items, list.n, sizeof(*list.items), compare_pids);
        *ret = list;
        list = (ProcessList){ 0 };
        return 0;
}

void procfs_list_done(ProcessList *list) {
        for (size_t i = 0; i < list->n; i++)
                process_done(&list->items[i]);
        free(list->items);
        *list = (ProcessList){ 0 };
}

static bool has_own_mounts(const RootView *machine, int dir) {
        char ours[64], theirs[64];
        ssize_t n = readlink("/proc/self/ns/mnt", ours, sizeof(ours)),
                m = readlinkat(dir, "ns/mnt", theirs, sizeof(theirs));

        if (!machine->live)
                return false;
        return n <= 0 || n != m || memcmp(ours, theirs, (size_t) n) != 0;
}

/* Removes the mark that the kernel appends to the path of a deleted file: true if there is one. */
static bool cut_deleted(char *path) {
        size_t length = strlen(path), n = sizeof(DELETED) - 1;
        bool deleted = length > n && strcmp(path + length - n, DELETED) == 0;

        if (deleted)
                path[length - n] = '\0';
        return deleted;
}

static bool is_open_for_writing(int dir, const char *name) {
        _cleanup_(freep) char *path = text_format("fdinfo/%s", name), *text = NULL;
        const char *flags;

        if (!path || fs_read_text(dir, path, 64 * KIB, &text) < 0)
                return false;
        flags = strstr(text, "flags:");
        return flags && (strtoul(flags + 6, NULL, 8) & O_ACCMODE) != O_RDONLY;
}

typedef struct Visitor {
        const RootView *machine;
        bool elsewhere;
        int (*each)(const ProcessFile *file, void *userdata);
        void *userdata;
} Visitor;

static int visit_descriptor(const Visitor *visitor, int dir, int fd_dir, const char *name) {
        ProcessFile file = { .elsewhere = visitor->elsewhere };
        char path[PATH_MAX];
        struct stat st;
        ssize_t n = readlinkat(fd_dir, name, path, sizeof(path) - 1);

        if (n < 0 || path[0] != '/')
                return 0; /* closed meanwhile, or a socket or pipe */
        path[n] = '\0';
        if (visitor->machine->live) {
                if (fstatat(fd_dir, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
                        return 0;
                file.dev = st.st_dev;
                file.ino = st.st_ino;
        }
        file.deleted = cut_deleted(path);
        file.path = path;
        file.writing = is_open_for_writing(dir, name);
        return visitor->each(&file, visitor->userdata);
}

static int visit_descriptors(const Visitor *visitor, int dir) {
        int fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        _cleanup_(closedirp) DIR *list = NULL;
        struct dirent *entry;

        if (fd < 0)
                return -errno;
        list = fdopendir(fd);
        if (!list) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        while (r == 0 && (entry = readdir(list)))
                if (entry->d_name[0] != '.')
                        r = visit_descriptor(visitor, dir, fd, entry->d_name);
        return r;
}

/* The kernel escapes a newline in a path as \012, and nothing else. Changes the path in place. */
static void unescape_newlines(char *path) {
        char *out = path;

        for (const char *in = path; *in; in++)
                if (strncmp(in, "\\012", 4) == 0) {
                        *out++ = '\n';
                        in += 3;
                } else
                        *out++ = *in;
        *out = '\0';
}

/* "7f00-7f10 rw-s 00000000 00:2a 1234       /dev/shm/models/x" */
static int visit_mapping(const Visitor *visitor, char *line) {
        unsigned major_number, minor_number;
        unsigned long long ino;
        char access[8];
        int path = 0;
        ProcessFile file = { .mapped = true, .elsewhere = visitor->elsewhere };

        if (sscanf(line, "%*s %7s %*s %x:%x %llu %n", access, &major_number, &minor_number, &ino, &path) < 4 ||
            path == 0 || ino == 0 || line[path] != '/')
                return 0;
        line[path + (int) strcspn(line + path, "\n")] = '\0';
        file.deleted = cut_deleted(line + path);
        unescape_newlines(line + path);
        file.dev = makedev(major_number, minor_number);
        file.ino = ino;
        file.path = line + path;
        file.writing = access[1] == 'w' && access[3] == 's';
        return visitor->each(&file, visitor->userdata);
}

static int visit_mappings(const Visitor *visitor, int dir) {
        int fd = openat(dir, "maps", O_RDONLY | O_CLOEXEC), r = 0;
        _cleanup_(fclosep) FILE *file = NULL;
        _cleanup_(freep) char *line = NULL;
        size_t size = 0;

        if (fd < 0)
                return -errno;
        file = fdopen(fd, "r");
        if (!file) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        for (errno = 0; r == 0 && getline(&line, &size, file) >= 0; errno = 0)
                r = visit_mapping(visitor, line);
        return r == 0 && ferror(file) && errno != 0 ? -errno : r;
}

int procfs_files(const RootView *machine, int pid, int (*each)(const ProcessFile *file, void *userdata),
                 void *userdata) {
        _cleanup_(close_fdp) int dir = open_process(machine, pid);
        Visitor visitor = { .machine = machine, .each = each, .userdata = userdata };
        int r;

        if (dir < 0)
                return outcome(dir);
        visitor.elsewhere = has_own_mounts(machine, dir);
        r = visit_descriptors(&visitor, dir);
        if (r == 0)
                r = visit_mappings(&visitor, dir);
        return outcome(r);
}

int procfs_environment(const RootView *machine, int pid, char ***ret) {
        _cleanup_(close_fdp) int dir = open_process(machine, pid);

        return outcome(dir < 0 ? dir : read_strings(dir, "environ", ret));
}

int procfs_memlock(const RootView *machine, int pid, uint64_t *ret) {
        _cleanup_(close_fdp) int dir = open_process(machine, pid);
        _cleanup_(freep) char *text = NULL;
        const char *line;
        int r = dir < 0 ? dir : fs_read_text(dir, "limits", 64 * KIB, &text);

        if (r < 0)
                return outcome(r);
        line = strstr(text, "Max locked memory");
        if (!line)
                return -EBADMSG;
        line += strlen("Max locked memory");
        line += strspn(line, " ");
        *ret = strncmp(line, "unlimited", 9) == 0 ? UINT64_MAX : strtoull(line, NULL, 10);
        return 0;
}
