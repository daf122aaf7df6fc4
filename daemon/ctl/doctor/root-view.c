/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A machine as seen from a root directory. See ctl/doctor/root-view.h. */

#include "ctl/doctor/root-view.h"

#include "base/path.h"
#include "os/fs.h"

#include <fcntl.h>
#include <pwd.h>

int root_view_open(const char *root, RootView *ret) {
        bool live = !root || root[strspn(root, "/")] == '\0';
        int fd = open(live ? "/" : root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        *ret = (RootView){ .fd = fd, .live = live };
        return 0;
}

void root_view_done(RootView *machine) {
        machine->fd = close_fd(machine->fd);
}

int root_view_open_path(const RootView *machine, const char *path, int flags) {
        return fs_open_in_root(machine->fd, path, flags);
}

int root_view_read(const RootView *machine, const char *path, size_t max, char **ret) {
        /* O_NONBLOCK: a FIFO among the files must not block us */
        _cleanup_(close_fdp) int fd = root_view_open_path(machine, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);

        return fd < 0 ? fd : fs_read_fd(fd, max, ret);
}

int root_view_read_number(const RootView *machine, const char *path, uint64_t *ret) {
        _cleanup_(freep) char *text = NULL;
        char *end;
        int r;

        r = root_view_read(machine, path, KIB, &text);
        if (r < 0)
                return r;
        errno = 0;
        *ret = strtoull(text, &end, 10);
        return errno != 0 || end == text || text[0] == '-' ? -EBADMSG : 0;
}

bool root_view_exists(const RootView *machine, const char *path) {
        _cleanup_(close_fdp) int fd = root_view_open_path(machine, path, O_PATH);

        return fd >= 0;
}

int root_view_resolve(const RootView *machine, const char *path, char **ret) {
        _cleanup_(close_fdp) int fd = root_view_open_path(machine, path, O_PATH);
        int r = fd < 0 ? fd : fs_path_in_root(machine->fd, fd, ret);

        if (r < 0 && r != -ENOMEM)
                r = (*ret = strdup(path)) ? 0 : -ENOMEM;
        return r;
}

static int read_given_room(const RootView *machine, const char *path, uint64_t *ret_total, uint64_t *ret_free) {
        _cleanup_(freep) char *text = NULL;
        size_t best = 0;
        int r;

        r = root_view_read(machine, ROOT_VIEW_ROOM, 64 * KIB, &text);
        if (r < 0)
                return r == -ENOENT ? -ENODATA : r;
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                unsigned long long total, left;
                size_t length = strcspn(line, " \n");
                _cleanup_(freep) char *directory = strndup(line, length);

                if (!directory)
                        return -ENOMEM;
                if (length <= best || !path_is_below(path, directory) ||
                    sscanf(line + length, " %llu %llu", &total, &left) != 2)
                        continue;
                best = length;
                *ret_total = total;
                *ret_free = left;
        }
        return best > 0 ? 0 : -ENODATA;
}

int root_view_room(const RootView *machine, const char *path, uint64_t *ret_total, uint64_t *ret_free) {
        _cleanup_(close_fdp) int fd = -1;
        FsRoom room;
        int r;

        if (!machine->live)
                return read_given_room(machine, path, ret_total, ret_free);
        fd = root_view_open_path(machine, path, O_PATH);
        if (fd < 0)
                return fd;
        r = fs_room(fd, &room);
        if (r < 0)
                return r;
        *ret_total = room.total;
        *ret_free = room.free;
        return 0;
}

static int copy_user(const struct passwd *entry, RootViewUser *ret) {
        *ret = (RootViewUser){ .uid = entry->pw_uid, .name = strdup(entry->pw_name), .home = strdup(entry->pw_dir) };
        if (ret->name && ret->home)
                return 0;
        root_view_user_done(ret);
        return -ENOMEM;
}

static int find_system_user(const char *name, uid_t uid, char *buffer, size_t size, RootViewUser *ret) {
        struct passwd entry, *found = NULL;
        int r;

        r = name ? getpwnam_r(name, &entry, buffer, size, &found) : getpwuid_r(uid, &entry, buffer, size, &found);
        return found ? copy_user(found, ret) : r > 0 && r != ENOENT ? -r : -ENOENT;
}

int root_view_user(const RootView *machine, const char *name, uid_t uid, RootViewUser *ret) {
        enum { LINE_MAX_BYTES = 64 * 1024 };
        _cleanup_(freep) char *buffer = malloc(LINE_MAX_BYTES);
        _cleanup_(fclosep) FILE *file = NULL;
        struct passwd entry, *found = NULL;
        int fd;

        if (!buffer)
                return -ENOMEM;
        if (machine->live)
                return find_system_user(name, uid, buffer, LINE_MAX_BYTES, ret);
        fd = root_view_open_path(machine, "/etc/passwd", O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        file = fdopen(fd, "r");
        if (!file) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        while (fgetpwent_r(file, &entry, buffer, LINE_MAX_BYTES, &found) == 0)
                if (name ? string_equal(entry.pw_name, name) : entry.pw_uid == uid)
                        return copy_user(&entry, ret);
        return -ENOENT;
}

void root_view_user_done(RootViewUser *user) {
        free(user->name);
        free(user->home);
        *user = (RootViewUser){ 0 };
}
