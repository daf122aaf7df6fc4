/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Sets of paths: each once, found by name, and with all below a directory. */

#include "base/path.h"
#include "base/pathset.h"
#include "ground.h"

static void add_all(PathSet *set, const char *const *paths, size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_int_equal(pathset_add(set, paths[i]), 0);
        pathset_sort(set);
}

static void an_empty_set_has_nothing(void **state) {
        PathSet set = {};

        (void) state;
        pathset_sort(&set);
        assert_false(pathset_has(&set, "a"));
        assert_false(pathset_has(&set, ""));
        assert_false(pathset_covers(&set, "a/b"));
        pathset_done(&set);
        pathset_done(&set);
}

static void each_path_is_there_once_and_in_order(void **state) {
        static const char *const paths[] = { "b", "a/b", "a", "b", "a b", "a", "b" };
        static const char *const order[] = { "a", "a b", "a/b", "b" };
        PathSet set = {};

        (void) state;
        add_all(&set, paths, ELEMENTSOF(paths));
        assert_int_equal(set.n, ELEMENTSOF(order));
        for (size_t i = 0; i < set.n; i++)
                assert_string_equal(set.items[i], order[i]);
        pathset_sort(&set);
        assert_int_equal(set.n, ELEMENTSOF(order));
        assert_true(pathset_has(&set, "a b"));
        assert_false(pathset_has(&set, "a "));
        assert_false(pathset_has(&set, "a/b/c"));
        pathset_done(&set);
        assert_int_equal(set.n, 0);
}

static void an_inserted_path_is_found_at_once(void **state) {
        static const char *const paths[] = { "b", "a/b", "a", "b", "c", "a b", "a", "c" };
        static const char *const order[] = { "a", "a b", "a/b", "b", "c" };
        PathSet set = {};

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                assert_int_equal(pathset_insert(&set, paths[i]), 0);
                assert_true(pathset_has(&set, paths[i]));
        }
        assert_int_equal(set.n, ELEMENTSOF(order));
        for (size_t i = 0; i < set.n; i++)
                assert_string_equal(set.items[i], order[i]);
        pathset_done(&set);
}

/* By comparison with a look at each path; the characters around the slash come between a directory and what is in it. */
static void what_is_below_a_path_is_dropped_with_it(void **state) {
        static const char letters[] = "a./0b";
        uint64_t seed = random_seed();

        (void) state;
        for (unsigned round = 0; round < 2000; round++) {
                PathSet set = {};
                char path[8];
                size_t kept = 0;

                for (unsigned i = 0; i < 20; i++) {
                        size_t length = 1 + random_below(&seed, 6);

                        for (size_t k = 0; k < length; k++)
                                path[k] = letters[random_below(&seed, k > 0 && k + 1 < length && path[k - 1] != '/' ? 5 : 2)];
                        path[length] = '\0';
                        assert_int_equal(pathset_insert(&set, path), 0);
                }
                path[1 + random_below(&seed, 2)] = '\0';
                if (path[1] == '/')
                        path[1] = '\0';
                for (size_t i = 0; i < set.n; i++)
                        kept += !path_is_below(set.items[i], path);
                pathset_drop(&set, path);
                assert_int_equal(set.n, kept);
                for (size_t i = 0; i < set.n; i++) {
                        assert_false(path_is_below(set.items[i], path));
                        assert_true(i == 0 || strcmp(set.items[i - 1], set.items[i]) < 0);
                }
                pathset_done(&set);
        }
}

static void a_gathered_path_that_comes_again_takes_no_more_memory(void **state) {
        static const char *const paths[] = { "b", "a", "c" };
        PathSet set = {};

        (void) state;
        for (unsigned i = 0; i < 10000; i++)
                assert_int_equal(pathset_gather(&set, paths[i % 3], 1000), 0);
        assert_in_range(set.n, 3, 64);
        pathset_sort(&set);
        assert_int_equal(set.n, 3);
        assert_int_equal(pathset_gather(&set, "d", 4), 0);
        assert_int_equal(pathset_gather(&set, "e", 4), -ENOMEM);
        assert_int_equal(set.n, 4);
        pathset_done(&set);
}

static void a_directory_covers_what_is_below_it(void **state) {
        static const char *const paths[] = { "dir", "x/y/z", "top-secret" };
        PathSet set = {};

        (void) state;
        add_all(&set, paths, ELEMENTSOF(paths));
        assert_true(pathset_covers(&set, "dir"));
        assert_true(pathset_covers(&set, "dir/a"));
        assert_true(pathset_covers(&set, "dir/a/b"));
        assert_true(pathset_covers(&set, "x/y/z/0"));
        assert_false(pathset_covers(&set, "dir2"));
        assert_false(pathset_covers(&set, "dir2/a"));
        assert_false(pathset_covers(&set, "di"));
        assert_false(pathset_covers(&set, "x/y"));
        assert_false(pathset_covers(&set, "x"));
        assert_false(pathset_covers(&set, "top/secret"));
        pathset_done(&set);
}

static void what_is_added_counts_after_the_next_sort(void **state) {
        char path[16];
        PathSet set = {};

        (void) state;
        for (unsigned i = 0; i < 1000; i++) { /* in no order, and each twice */
                (void) snprintf(path, sizeof(path), "p%u", i * 7919 % 500);
                assert_int_equal(pathset_add(&set, path), 0);
                if (i % 100 == 99)
                        pathset_sort(&set);
        }
        assert_int_equal(set.n, 500);
        for (unsigned i = 0; i < 500; i++) {
                (void) snprintf(path, sizeof(path), "p%u", i);
                assert_true(pathset_has(&set, path));
        }
        pathset_done(&set);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_set_has_nothing),
                cmocka_unit_test(each_path_is_there_once_and_in_order),
                cmocka_unit_test(an_inserted_path_is_found_at_once),
                cmocka_unit_test(what_is_below_a_path_is_dropped_with_it),
                cmocka_unit_test(a_gathered_path_that_comes_again_takes_no_more_memory),
                cmocka_unit_test(a_directory_covers_what_is_below_it),
                cmocka_unit_test(what_is_added_counts_after_the_next_sort),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
