/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The list of what a pointer names. See layout/reference-list.h. */

#include "layout/reference-list.h"

#include "base/array.h"

void reference_list_done(References *references) {
        for (size_t i = 0; i < references->n; i++)
                free(references->items[i].path);
        free(references->items);
        *references = (References){};
}

int reference_list_add(References *references, char *path, uint64_t size, bool pointer) {
        if (!path || ARRAY_ROOM(references->items, references->n) < 0) {
                free(path);
                return -ENOMEM;
        }
        references->items[references->n++] = (Reference){ .path = path, .size = size, .pointer = pointer };
        return 0;
}

static int compare_references(const void *a, const void *b) {
        return strcmp(((const Reference *) a)->path, ((const Reference *) b)->path);
}

int reference_list_sort(References *references) {
        bool agree = true;
        size_t kept = 0;

        if (references->n > 0)
                qsort(references->items, references->n, sizeof(Reference), compare_references);
        for (size_t i = 0; i < references->n; i++) {
                Reference *item = &references->items[i], *last = kept > 0 ? &references->items[kept - 1] : NULL;

                if (!last || strcmp(last->path, item->path) != 0) {
                        references->items[kept++] = *item;
                        continue;
                }
                agree = agree && (item->size == last->size || item->size == UINT64_MAX || last->size == UINT64_MAX);
                last->size = MIN(last->size, item->size);
                last->pointer = last->pointer || item->pointer;
                free(item->path);
        }
        references->n = kept;
        return agree ? 0 : REFERENCES_DISAGREE;
}
