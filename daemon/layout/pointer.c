/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A file whose content names others. See layout/pointer.h. */

#include "layout/pointer.h"

#include "base/path.h"
#include "os/fs.h"
#include "tree/scan.h"

#include <fcntl.h>

enum { CONTENT_MAX = 16 * 1024 * 1024 };

int pointer_broken(Pointer *pointer, const char *text) {
        pointer->text = text;
        return POINTER_BROKEN;
}

static int read_all(int fd, char **ret, size_t *ret_length) {
        _cleanup_(freep) char *text = NULL;
        size_t used = 0, allocated = 0;
        ssize_t n;

        do {
                if (used + 1 >= allocated) {
                        char *grown = realloc(text, allocated = MAX(allocated * 2, (size_t) 8192));

                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                }
                n = read(fd, text + used, allocated - used - 1);
                if (n < 0 && errno != EINTR)
                        return -errno;
                used += n > 0 ? (size_t) n : 0;
        } while (n != 0 && used <= CONTENT_MAX);
        text[used] = '\0';
        *ret_length = used;
        *ret = TAKE_PTR(text);
        return 0;
}

int pointer_read(Pointer *pointer, const char *path, char **ret, size_t *ret_length) {
        _cleanup_(close_fdp) int fd = fs_open_beneath(pointer->rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        size_t length = 0;
        int r;

        if (fd < 0)
                return fd == -ELOOP ? pointer_broken(pointer, "it is a link to a link") : fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return pointer_broken(pointer, "it is not a file");
        r = read_all(fd, &text, &length);
        if (r < 0)
                return r;
        if (length == 0)
                return pointer_broken(pointer, "it is empty");
        if (length > CONTENT_MAX)
                return pointer_broken(pointer, "it is larger than 16 MiB");
        *ret_length = length;
        *ret = TAKE_PTR(text);
        return 0;
}

int pointer_read_json(Pointer *pointer, const char *path, json_t **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t length;
        int r = pointer_read(pointer, path, &text, &length);

        if (r != 0)
                return r;
        r = json_input_parse(text, length, ret);
        if (r == JSON_INPUT_LARGE)
                return pointer_broken(pointer, "it has too many values");
        return r == JSON_INPUT_BROKEN ? pointer_broken(pointer, "it is not JSON") : r;
}

int pointer_resolve(Pointer *pointer, const Entry *link, char **ret) {
        char self[32], root[4096] = "/nowhere";
        ssize_t n;
        int r;

        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", pointer->rootfd);
        n = readlink(self, root, sizeof(root) - 1);
        if (n > 0)
                root[n] = '\0';
        r = path_resolve_link(root, link->path, link->target, ret);
        return r == -EXDEV ? pointer_broken(pointer, "it points outside the mirror or source") : r;
}
