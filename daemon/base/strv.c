/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Arrays of strings that end with NULL. See base/strv.h. */

#include "base/strv.h"

size_t strv_length(char *const *list) {
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

/* Makes room for @extra more strings and the end. */
static int reserve(char ***list, size_t n, size_t extra) {
        char **grown = reallocarray(*list, n + extra + 1, sizeof(char *));

        if (!grown)
                return -ENOMEM;
        grown[n] = NULL;
        *list = grown;
        return 0;
}

int strv_take(char ***list, char *string) {
        size_t n = strv_length(*list);

        if (!string || reserve(list, n, 1) < 0) {
                free(string);
                return -ENOMEM;
        }
        (*list)[n] = string;
        (*list)[n + 1] = NULL;
        return 0;
}

int strv_join(char ***list, char ***more) {
        size_t n = strv_length(*list), extra = strv_length(*more);

        if (reserve(list, n, extra) < 0)
                return -ENOMEM;
        if (extra > 0)
                memcpy(*list + n, *more, (extra + 1) * sizeof(char *));
        free(*more);
        *more = NULL;
        return 0;
}

int strv_copy(char *const *list, char ***ret) {
        size_t n = strv_length(list);
        _cleanup_(strv_freep) char **copy = NULL;

        if (reserve(&copy, 0, n) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(list[i]);
                if (!copy[i])
                        return -ENOMEM;
                copy[i + 1] = NULL;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

bool strv_has(char *const *list, const char *string) {
        for (; list && *list; list++)
                if (string_equal(*list, string))
                        return true;
        return false;
}

bool strv_equal(char *const *a, char *const *b) {
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;
        for (size_t i = 0; i < n; i++)
                if (strcmp(a[i], b[i]) != 0)
                        return false;
        return true;
}

char **strv_free(char **list) {
        for (size_t i = 0; list && list[i]; i++)
                free(list[i]);
        free(list);
        return NULL;
}
