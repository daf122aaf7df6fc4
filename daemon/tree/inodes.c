/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The entries of a manifest by inode number. See tree/inodes.h. */

#include "tree/inodes.h"

#include "base/array.h"

static int compare(const void *a, const void *b) {
        const Inode *x = a, *y = b;

        if (x->ino != y->ino)
                return x->ino < y->ino ? -1 : 1;
        return x->index < y->index ? -1 : x->index > y->index;
}

int inodes_collect(Inodes *ret, const Manifest *manifest, uint64_t (*ino)(const Entry *entry)) {
        Inodes inodes = { .items = calloc(manifest->n_entries + 1, sizeof(*inodes.items)) };

        if (!inodes.items)
                return -ENOMEM;
        for (size_t i = 0; i < manifest->n_entries; i++) {
                uint64_t number = ino(&manifest->entries[i]);

                if (number != 0)
                        inodes.items[inodes.n++] = (Inode){ .ino = number, .index = i };
        }
        qsort(inodes.items, inodes.n, sizeof(*inodes.items), compare);
        *ret = inodes;
        return 0;
}

void inodes_done(Inodes *inodes) {
        free(inodes->items);
        *inodes = (Inodes){};
}

static int compare_with_ino(const void *item, const void *ino) {
        uint64_t x = ((const Inode *) item)->ino, y = *(const uint64_t *) ino;

        return x < y ? -1 : x > y;
}

size_t inodes_find(const Inodes *inodes, uint64_t ino) {
        size_t index = array_seek(inodes->items, inodes->n, sizeof(Inode), compare_with_ino, &ino);

        return index < inodes->n && inodes->items[index].ino == ino ? index : inodes->n;
}
