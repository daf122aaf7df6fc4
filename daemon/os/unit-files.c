/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Unit files and drop-ins. See os/unit-files.h. */

#include "os/unit-files.h"

#include "base/array.h"
#include "base/text.h"

#include <fcntl.h>
#include <sys/stat.h>

void unit_files_done(UnitFiles *files) {
        for (size_t i = 0; i < files->n; i++) {
                free(files->files[i].path);
                free(files->files[i].content);
        }
        free(files->files);
        *files = (UnitFiles){};
}

int unit_files_add(UnitFiles *files, char *path, char *content) {
        if (!path || !content || ARRAY_ROOM(files->files, files->n) < 0) {
                free(path);
                free(content);
                return -ENOMEM;
        }
        files->files[files->n++] = (UnitFile){ path, content };
        return 0;
}

static int write_file(int directory, const UnitFile *file) {
        const char *slash = strchr(file->path, '/');
        _cleanup_(freep) char *parent = slash ? strndup(file->path, (size_t) (slash - file->path)) : NULL;
        _cleanup_(close_fdp) int fd = -1;

        if (slash && !parent)
                return -ENOMEM;
        if (parent && mkdirat(directory, parent, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = openat(directory, file->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0 || dprintf(fd, "%s", file->content) < 0)
                return -errno;
        return 0;
}

int unit_files_write(const UnitFiles *files, const char *directory, const char **reterr_path) {
        _cleanup_(close_fdp) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r = 0;

        *reterr_path = directory;
        if (fd < 0)
                return -errno;
        for (size_t i = 0; r == 0 && i < files->n; i++) {
                *reterr_path = files->files[i].path;
                r = write_file(fd, &files->files[i]);
        }
        return r;
}

int unit_files_setting(char **text, const char *key, UnitText kind, const char *prefix, const char *value) {
        _cleanup_(freep) char *quoted = unit_name_quote(kind, prefix, value);

        return quoted ? text_append(text, "%s=%s\n", key, quoted) : -ENOMEM;
}
