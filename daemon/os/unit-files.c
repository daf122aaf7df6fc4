/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Unit files and drop-ins. See os/unit-files.h. */

#include "os/unit-files.h"

#include "base/array.h"
#include "base/text.h"
#include "os/own-file.h"

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
        int r = slash && !parent ? -ENOMEM : 0;

        if (parent)
                r = own_file_make_directory(directory, parent, 0755);
        if (r < 0)
                return r;
        fd = own_file_open(directory, file->path, OWN_FILE_WRITE);
        return fd < 0 ? fd : dprintf(fd, "%s", file->content) < 0 ? -errno : 0;
}

int unit_files_write(const UnitFiles *files, const char *directory, const char **reterr_path) {
        _cleanup_(close_fdp) int fd = own_file_open_directory(directory);
        int r = MIN(fd, 0);

        *reterr_path = directory;
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
