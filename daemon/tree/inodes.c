/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The entries of a manifest by inode number. See tree/inodes.h. */

#include "tree/inodes.h"

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

size_t inodes_find(const Inodes *inodes, uint64_t ino) {
        size_t low = 0, high = inodes->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (inodes->items[middle].ino < ino)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < inodes->n && inodes->items[low].ino == ino ? low : inodes->n;
}
