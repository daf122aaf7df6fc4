/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a path means to its client: the plain layout. See layout.h. */

#include "layout.h"

#include <ctype.h>
#include <fnmatch.h>

/* rsync's temporary: ".NAME.XXXXXX" with six of mkstemp()'s characters. A plain dot file such as ".config" has no second
 * dot, and an extension made of six lower-case letters is taken for an extension. */
static bool is_rsync_temporary(const char *name) {
        const char *suffix = strrchr(name, '.');
        bool random = false;

        if (name[0] != '.' || suffix == name || strlen(suffix) != 7)
                return false;
        for (const char *s = suffix + 1; *s; s++) {
                if (!isalnum((unsigned char) *s))
                        return false;
                random = random || isupper((unsigned char) *s) || isdigit((unsigned char) *s);
        }
        return random;
}

bool layout_is_in_progress(const char *path) {
        static const char *const names[] = {
                "*.incomplete", "*.sync.part", "*.part", "*.partial", "*.downloadInProgress", "downloading_*", "*.crdownload",
                "*.aria2", "*.lock", "*.tmp", ".nfs*", ".*.sw[a-p]", "*~", "sha256-*-partial*",
        };
        static const char *const directories[] = { ".locks", ".~tmp~", ".cache/huggingface/download" };
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (fnmatch(names[i], name, 0) == 0)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                const char *found = strstr(path, directories[i]);
                size_t length = strlen(directories[i]);

                if (found && (found == path || found[-1] == '/') && (found[length] == '/' || found[length] == '\0'))
                        return true;
        }
        return is_rsync_temporary(name);
}

static bool five_digits(const char *s) {
        for (size_t i = 0; i < 5; i++)
                if (!isdigit((unsigned char) s[i]))
                        return false;
        return true;
}

size_t layout_set(const char *path, const char **ret_tail) {
        static const char of[] = "-of-";
        size_t length = strlen(path);

        /* "-NNNNN-of-NNNNN" before the extension: GGUF splits and safetensors shards are both named so */
        for (const char *s = strstr(path, of); s; s = strstr(s + 1, of)) {
                if (s - path < 6 || s[-6] != '-' || !five_digits(s - 5))
                        continue;
                if ((size_t) (s - path) + strlen(of) + 5 > length || !five_digits(s + strlen(of)) || strchr(s, '/'))
                        continue;
                *ret_tail = s;
                return (size_t) (s - path) - 5;
        }
        *ret_tail = path + length;
        return length;
}

bool layout_same_set(const char *a, const char *b) {
        const char *tail_a, *tail_b;
        size_t n = layout_set(a, &tail_a);

        return layout_set(b, &tail_b) == n && strncmp(a, b, n) == 0 && strcmp(tail_a, tail_b) == 0;
}
