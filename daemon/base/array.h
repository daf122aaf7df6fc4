/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Growing arrays that keep no capacity: a pointer and a count of elements are all there is. */

#include "base/base.h"

/* Makes room for one more element behind the first @n of @array (an lvalue of pointer type, NULL with @n 0): 0 or
 * -ENOMEM, and then the array is as it was. The capacity is the next power of two, so an array has to grow by this
 * alone; it may shrink by its count at any time. */
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
