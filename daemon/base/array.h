/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Growing arrays of a pointer and a count: the capacity follows from the count and is not stored. And a search in those
 * that are in order. */

#include "base/base.h"

/* Makes room for one more element behind the first @n of @array (an lvalue of pointer type, NULL if @n is 0). 0, or
 * -ENOMEM with the array as it was. The room is always for the next power of two, so an array must grow by this macro
 * alone; its count may be lowered at any time. */
#define ARRAY_ROOM(array, n) array_room(&(array), n, sizeof(*(array)))

static inline int array_room(void *array, size_t n, size_t size) {
        void **items = array, *grown;

        if ((n & (n - 1)) != 0)
                return 0;
        grown = reallocarray(*items, MAX(2 * n, (size_t) 4), size);
        if (!grown)
                return -ENOMEM;
        *items = grown;
        return 0;
}

/* The index of the first of @n elements of @size bytes that does not come before @key, @n if all of them do.
 * @compare: an element with the key, as for bsearch() but the other way round. */
static inline size_t array_seek(const void *array, size_t n, size_t size,
                                int (*compare)(const void *element, const void *key), const void *key) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare((const char *) array + middle * size, key) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}
