/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Arithmetic with paths. See base/path.h. */

#include "base/path.h"

#include "base/text.h"

bool path_is_below(const char *path, const char *directory) {
        return path_below(path, directory) != NULL;
}

const char *path_below(const char *path, const char *directory) {
        size_t length = strlen(directory);

        while (length > 0 && directory[length - 1] == '/')
                length--;
        if (length == 0)
                return *directory == '\0' ? NULL : path + (*path == '/');
        if (strncmp(path, directory, length) != 0 || (path[length] != '/' && path[length] != '\0'))
                return NULL;
        return path + length + (path[length] == '/');
}

int path_compare_inside(const char *path, const char *directory) {
        size_t length = strlen(directory);
        int order = strncmp(path, directory, length);

        return order != 0 ? order : (unsigned char) path[length] - '/';
}

int path_resolve_link(const char *root, const char *path, const char *target, char **ret) {
        _cleanup_(freep) char *copy = NULL, *out = NULL;
        const char *slash = strrchr(path, '/'), *steps = target[0] == '/' ? path_below(target, root) : target;
        size_t used = 0;

        if (!steps)
                return -EXDEV;
        copy = strdup(steps);
        out = malloc(strlen(path) + strlen(target) + 2);
        if (!copy || !out)
                return -ENOMEM;
        if (target[0] != '/' && slash) {
                used = (size_t) (slash - path);
                memcpy(out, path, used);
        }
        for (char *save = NULL, *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
                if (strcmp(part, ".") == 0)
                        continue;
                if (strcmp(part, "..") == 0) {
                        if (used == 0)
                                return -EXDEV;
                        while (used > 0 && out[used - 1] != '/')
                                used--;
                        used -= used > 0;
                        continue;
                }
                if (used > 0)
                        out[used++] = '/';
                memcpy(out + used, part, strlen(part));
                used += strlen(part);
        }
        out[used] = '\0';
        *ret = TAKE_PTR(out);
        return 0;
}

int path_make_relative(const char *path, const char *inside, char **ret) {
        _cleanup_(freep) char *text = NULL;
        int r = 0;

        for (const char *s = path; r == 0 && (s = strchr(s, '/')); s++)
                r = text_append(&text, "../");
        if (r == 0)
                r = text_append(&text, "%s", *inside ? inside : ".");
        if (r == 0)
                *ret = TAKE_PTR(text);
        return r;
}
