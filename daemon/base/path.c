/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Arithmetic with paths. See base/path.h. */

#include "base/path.h"

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

int path_resolve_link(const char *root, const char *path, const char *target, char **ret) {
        _cleanup_(freep) char *copy = NULL, *out = NULL;
        const char *slash = strrchr(path, '/');
        size_t used = 0, n = strlen(root);

        copy = strdup(target);
        out = malloc(strlen(path) + strlen(target) + 2);
        if (!copy || !out)
                return -ENOMEM;
        if (target[0] == '/') {
                if (strncmp(target, root, n) != 0 || (target[n] != '/' && target[n] != '\0'))
                        return -EXDEV;
                memmove(copy, copy + n, strlen(copy + n) + 1);
        } else if (slash) {
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

        for (const char *s = path; (s = strchr(s, '/')); s++) {
                _cleanup_(freep) char *longer = NULL;

                if (asprintf(&longer, "../%s", text ? text : "") < 0) {
                        longer = NULL;
                        return -ENOMEM;
                }
                free(text);
                text = TAKE_PTR(longer);
        }
        return asprintf(ret, "%s%s", text ? text : "", *inside ? inside : ".") < 0 ? -ENOMEM : 0;
}

