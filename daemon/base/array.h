/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Growing arrays of a pointer and a count: the capacity follows from the count and is not stored. */

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
