/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which paths are selected, and in what order. See tree/filter.h. */

#include "tree/filter.h"

#include <fnmatch.h>

static bool matches(const char *pattern, const char *path) {
        _cleanup_(freep) char *part = NULL;

        if (strchr(pattern, '/')) {
                while (*pattern == '/')
                        pattern++;
                return fnmatch(pattern, path, FNM_PATHNAME | FNM_LEADING_DIR) == 0;
        }
        for (const char *name = path;;) {
                const char *slash = strchrnul(name, '/');

                free(part);
                part = strndup(name, (size_t) (slash - name));
                if (part && fnmatch(pattern, part, 0) == 0)
                        return true;
                if (*slash == '\0')
                        return false;
                name = slash + 1;
        }
}

static bool any_matches(char *const *patterns, const char *path) {
        for (; *patterns; patterns++)
                if (matches(*patterns, path))
                        return true;
        return false;
}

bool filter_includes(char *const *include, char *const *exclude, const char *path) {
        return !any_matches(exclude, path) && (!*include || any_matches(include, path));
}

unsigned filter_rank(char *const *priority, const char *path) {
        unsigned rank = 0;

        for (; priority[rank]; rank++)
                if (matches(priority[rank], path))
                        break;
        return rank;
}
