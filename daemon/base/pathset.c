/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A set of paths. See base/pathset.h. */

#include "base/pathset.h"

#include "base/array.h"
#include "base/path.h"

void pathset_done(PathSet *set) {
        for (size_t i = 0; i < set->n; i++)
                free(set->items[i]);
        free(set->items);
        *set = (PathSet){};
}

int pathset_add(PathSet *set, const char *path) {
        char *copy;

        if (ARRAY_ROOM(set->items, set->n) < 0 || !(copy = strdup(path)))
                return -ENOMEM;
        set->items[set->n++] = copy;
        return 0;
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int compare_with_directory(const void *item, const void *directory) {
        return path_compare_inside(*(char *const *) item, directory);
}

int pathset_insert(PathSet *set, const char *path) {
        size_t index = array_seek(set->items, set->n, sizeof(char *), compare, &path);
        char *copy;

        if (index < set->n && strcmp(set->items[index], path) == 0)
                return 0;
        if (ARRAY_ROOM(set->items, set->n) < 0 || !(copy = strdup(path)))
                return -ENOMEM;
        memmove(set->items + index + 1, set->items + index, (set->n - index) * sizeof(char *));
        set->items[index] = copy;
        set->n++;
        return 0;
}

int pathset_gather(PathSet *set, const char *path, size_t max) {
        if (set->n >= 64 && (set->n & (set->n - 1)) == 0) /* it would grow: see base/array.h */
                pathset_sort(set);
        return set->n >= max ? -ENOMEM : pathset_add(set, path);
}

int pathset_copy(const PathSet *from, PathSet *to) {
        PathSet copy = {};
        int r = 0;

        for (size_t i = 0; r == 0 && i < from->n; i++)
                r = pathset_add(&copy, from->items[i]);
        if (r < 0)
                pathset_done(&copy);
        else
                *to = copy;
        return r;
}

void pathset_sort(PathSet *set) {
        size_t kept = 0;

        if (set->n > 0)
                qsort(set->items, set->n, sizeof(char *), compare);
        for (size_t i = 0; i < set->n; i++)
                if (kept > 0 && strcmp(set->items[kept - 1], set->items[i]) == 0)
                        free(set->items[i]);
                else
                        set->items[kept++] = set->items[i];
        set->n = kept;
}

bool pathset_has(const PathSet *set, const char *path) {
        return set->n > 0 && bsearch(&path, set->items, set->n, sizeof(char *), compare);
}

bool pathset_covers(const PathSet *set, const char *path) {
        _cleanup_(freep) char *part = set->n > 0 ? strdup(path) : NULL;
        char *slash;

        while (part) {
                if (pathset_has(set, part))
                        return true;
                slash = strrchr(part, '/');
                if (!slash)
                        break;
                *slash = '\0';
        }
        return false;
}

void pathset_remove(PathSet *set, const char *path) {
        char **found = set->n > 0 ? bsearch(&path, set->items, set->n, sizeof(char *), compare) : NULL;

        if (!found)
                return;
        free(*found);
        memmove(found, found + 1, (size_t) (set->items + set->n - found - 1) * sizeof(char *));
        set->n--;
}

void pathset_drop(PathSet *set, const char *path) {
        size_t first, end;

        pathset_remove(set, path);
        first = end = array_seek(set->items, set->n, sizeof(char *), compare_with_directory, path);
        while (end < set->n && path_compare_inside(set->items[end], path) == 0)
                free(set->items[end++]);
        if (end > first)
                memmove(set->items + first, set->items + end, (set->n - end) * sizeof(char *));
        set->n -= end - first;
}

int pathset_take(PathSet *set, char ***ret) {
        char **grown = reallocarray(set->items, set->n + 1, sizeof(char *));

        if (!grown)
                return -ENOMEM;
        grown[set->n] = NULL;
        *set = (PathSet){};
        *ret = grown;
        return 0;
}
