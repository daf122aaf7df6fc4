/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which files make up the configuration, and their content. See config/files.h. */

#include "config/files.h"

#include "base/strv.h"
#include "base/text.h"
#include "os/fs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MAIN_NAME "shmstaged.conf"
#define DROPIN_NAME "shmstaged.conf.d"
#define DROPIN_SUFFIX ".conf"

static const char *const directories[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib" };

/* Adds the first main file that exists, also one that cannot be read: the caller reports that. */
static int find_main(const char *root, char ***files) {
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                char *path = text_format("%s%s/" MAIN_NAME, root, directories[i]);

                if (!path)
                        return -ENOMEM;
                if (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))
                        return strv_take(files, path);
                free(path);
        }
        return 0;
}

/* The path of @fd without symbolic links, but with @root as it was given, as systemd shows it. Without /proc it is the
 * path that was opened. */
static char *resolved_path(const char *root, int root_fd, int fd, const char *path) {
        _cleanup_(freep) char *resolved = NULL;
        int r = fs_path_in_root(root_fd, fd, &resolved);

        if (r == -ENOMEM)
                return NULL;
        return text_format("%s%s", root, r < 0 ? path : resolved);
}

static bool is_dropin_name(const char *name) {
        size_t length = strlen(name), suffix = strlen(DROPIN_SUFFIX);

        return name[0] != '.' && length > suffix && strcmp(name + length - suffix, DROPIN_SUFFIX) == 0;
}

static const char *base_name(const char *path) {
        return strrchr(path, '/') + 1;
}

static bool has_name(char *const *files, const char *name) {
        for (; files && *files; files++)
                if (strcmp(base_name(*files), name) == 0)
                        return true;
        return false;
}

/* Adds the drop-ins of one directory, except those whose names an earlier directory has. */
static int add_dropins(const char *root, int root_fd, const char *directory, char ***files) {
        _cleanup_(freep) char *wanted = text_format("%s/" DROPIN_NAME, directory), *path = NULL;
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int r = 0;

        if (!wanted)
                return -ENOMEM;
        fd = fs_open_in_root(root_fd, wanted, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
        path = resolved_path(root, root_fd, fd, wanted);
        if (!path)
                return -ENOMEM;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        TAKE_FD(fd);
        for (errno = 0; r == 0 && (entry = readdir(dir)); errno = 0) {
                char *file;

                if (!is_dropin_name(entry->d_name) || has_name(*files, entry->d_name))
                        continue;
                file = text_format("%s/%s", path, entry->d_name);
                r = file ? strv_take(files, file) : -ENOMEM;
        }
        return r < 0 ? r : -errno;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(base_name(*(char *const *) a), base_name(*(char *const *) b));
}

int config_files_find(const char *root, char ***ret) {
        _cleanup_(strv_freep) char **files = NULL, **dropins = NULL;
        _cleanup_(freep) char *prefix = strdup(root ? root : "");
        _cleanup_(close_fdp) int root_fd = -1;
        int r;

        if (!prefix)
                return -ENOMEM;
        for (size_t n = strlen(prefix); n > 0 && prefix[n - 1] == '/'; n--)
                prefix[n - 1] = '\0';
        root_fd = open(*prefix ? prefix : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return -errno;
        r = find_main(prefix, &files);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(directories); i++)
                r = add_dropins(prefix, root_fd, directories[i], &dropins);
        if (r < 0)
                return r;
        if (dropins)
                qsort(dropins, strv_length(dropins), sizeof(char *), compare_names);
        r = strv_join(&files, &dropins);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(files);
        return 0;
}

static int check_plain(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
                return 0;
        return -EINVAL;
}

int config_files_read(const char *path, bool only_plain, char **ret, size_t *ret_length) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (only_plain ? O_NONBLOCK : 0));
        int r;

        if (fd < 0)
                return -errno;
        r = only_plain ? check_plain(fd) : 0;
        return r < 0 ? r : fs_read_bytes(fd, CONFIG_FILE_MAX, ret, ret_length);
}
