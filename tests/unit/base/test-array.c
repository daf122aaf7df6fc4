/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Arrays that grow: room is there before each element, and what was there stays. */

#include "base/array.h"
#include "ground.h"

#include <malloc.h>

/* The last test asks for more than there is, at which the sanitizers would end the program. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__asan_default_options(void) {
        return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void) {
        return "allocator_may_return_null=1";
}

typedef struct Item {
        size_t number;
        char more[32];
} Item;

static void every_element_has_room_and_stays(void **state) {
        Item *items = NULL;

        (void) state;
        for (size_t n = 0; n < 5000; n++) {
                assert_int_equal(ARRAY_ROOM(items, n), 0);
                assert_true(malloc_usable_size(items) >= (n + 1) * sizeof(Item));
                items[n].number = n;
        }
        for (size_t n = 0; n < 5000; n++)
                assert_int_equal(items[n].number, n);
        free(items);
}

static void it_is_moved_only_at_powers_of_two(void **state) {
        size_t changes = 0, size = 0;
        Item *items = NULL;

        (void) state;
        for (size_t n = 0; n < 4096; n++) {
                assert_int_equal(ARRAY_ROOM(items, n), 0);
                changes += malloc_usable_size(items) != size;
                size = malloc_usable_size(items);
        }
        assert_int_equal(changes, 11); /* 4, 8, ... 4096 */
        free(items);
}

static void the_count_may_be_lowered_at_any_time(void **state) {
        uint64_t seed = random_seed();
        Item *items = NULL;
        size_t n = 0;

        (void) state;
        for (unsigned i = 0; i < 20000; i++) {
                if (n > 0 && random_below(&seed, 3) == 0) {
                        n -= random_below(&seed, (unsigned) n + 1);
                        continue;
                }
                assert_int_equal(ARRAY_ROOM(items, n), 0);
                assert_true(malloc_usable_size(items) >= (n + 1) * sizeof(Item));
                items[n] = (Item){ .number = n };
                n++;
                for (size_t k = 0; k < n; k++)
                        assert_int_equal(items[k].number, k);
        }
        free(items);
}

static int compare(const void *item, const void *number) {
        size_t x = ((const Item *) item)->number, y = *(const size_t *) number;

        return x < y ? -1 : x > y;
}

static void the_first_that_is_not_before_the_key_is_found(void **state) {
        Item items[20] = {};

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(items); i++)
                items[i].number = i / 3 * 2; /* each even number three times */
        for (size_t n = 0; n <= ELEMENTSOF(items); n++)
                for (size_t key = 0; key < 20; key++) {
                        size_t wanted = 0;

                        while (wanted < n && items[wanted].number < key)
                                wanted++;
                        assert_int_equal(array_seek(items, n, sizeof(Item), compare, &key), wanted);
                }
        assert_int_equal(array_seek(NULL, 0, sizeof(Item), compare, &(size_t){ 1 }), 0);
}

static void without_memory_the_array_is_as_it_was(void **state) {
        volatile size_t n = (size_t) 1 << 60; /* which the compiler must not know */
        Item *items = malloc(sizeof(Item)), *before = items;

        (void) state;
        assert_int_equal(ARRAY_ROOM(items, n), -ENOMEM);
        assert_ptr_equal(items, before);
        free(items);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_element_has_room_and_stays),
                cmocka_unit_test(it_is_moved_only_at_powers_of_two),
                cmocka_unit_test(the_count_may_be_lowered_at_any_time),
                cmocka_unit_test(the_first_that_is_not_before_the_key_is_found),
                cmocka_unit_test(without_memory_the_array_is_as_it_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
