/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator released, wants and accepted: the nearest thing that was said counts, and a copy does not change. */

#include "ground.h"
#include "plan/overrides.h"

static void what_was_said_last_and_nearest_counts(void **state) {
        Overrides overrides = {};

        (void) state;
        assert_int_equal(overrides_get(&overrides, "a"), OVERRIDE_NONE);
        assert_int_equal(overrides_release(&overrides, "a"), 0);
        assert_int_equal(overrides_get(&overrides, "a/b/c"), OVERRIDE_RELEASED);
        assert_int_equal(overrides_get(&overrides, "ab"), OVERRIDE_NONE);
        assert_int_equal(overrides_stage(&overrides, "a/b"), 0);
        assert_int_equal(overrides_get(&overrides, "a/b/c"), OVERRIDE_STAGED);
        assert_int_equal(overrides_get(&overrides, "a/c"), OVERRIDE_RELEASED);
        assert_true(overrides_stages_below(&overrides, "a"));
        assert_false(overrides_stages_below(&overrides, "a/b"));
        assert_int_equal(overrides_release(&overrides, "a"), 0); /* with all that is below it */
        assert_int_equal(overrides_get(&overrides, "a/b/c"), OVERRIDE_RELEASED);
        assert_false(overrides_stages_below(&overrides, "a"));
        overrides_forget(&overrides, "a/b");
        assert_int_equal(overrides_get(&overrides, "a"), OVERRIDE_RELEASED);
        overrides_forget(&overrides, "a");
        assert_int_equal(overrides_get(&overrides, "a/b/c"), OVERRIDE_NONE);
        overrides_done(&overrides);
}

static void a_copy_does_not_change(void **state) {
        char *names[] = { (char *) "x", (char *) "y", NULL };
        Overrides overrides = {}, copy = {};
        Entry marked_deleted = { .path = (char *) "d", .size = 3, .ino = 4 };

        (void) state;
        assert_int_equal(overrides_release(&overrides, "a"), 0);
        assert_int_equal(overrides_stage(&overrides, "b"), 0);
        assert_int_equal(overrides_request(&overrides, names), 1);
        assert_int_equal(overrides_request(&overrides, names), 2);
        assert_int_equal(overrides_mark_deleted(&overrides, &marked_deleted), 0);
        overrides_sort(&overrides);
        assert_int_equal(pathset_add(&overrides.in_effect, "a"), 0);
        assert_int_equal(overrides_copy(&overrides, &copy), 0);
        overrides_forget(&overrides, "a");
        overrides_end_request(&overrides, 1);
        assert_int_equal(overrides.n_requests, 1);
        assert_int_equal(overrides.requests[0].id, 2);
        overrides_done(&overrides);
        assert_int_equal(overrides_get(&copy, "a"), OVERRIDE_RELEASED);
        assert_int_equal(overrides_get(&copy, "b"), OVERRIDE_STAGED);
        assert_int_equal(copy.n_requests, 2);
        assert_string_equal(copy.requests[0].names[1], "y");
        assert_true(overrides_is_marked_deleted(&copy, &marked_deleted));
        assert_int_equal(overrides_count_released(&copy), 0);
        overrides_done(&copy);
}

static void an_acceptance_is_for_one_file_as_it_was(void **state) {
        const Entry file = { .path = (char *) "a", .size = 10, .ino = 20, .mtime_nsec = 30, .ctime_nsec = 40 };
        Acceptance acceptance = { .path = (char *) "a", .size = 10, .ino = 20, .mtime_nsec = 30, .ctime_nsec = 40 };
        Overrides overrides = {};

        (void) state;
        assert_int_equal(overrides_accept(&overrides, ACCEPT_BYTES, &acceptance), 0);
        assert_true(overrides_accepts(&overrides, ACCEPT_BYTES, &file));
        assert_false(overrides_accepts(&overrides, ACCEPT_NAME, &file)); /* another guard */
        for (unsigned i = 0; i < 5; i++) {
                Entry other = file;

                other.path = i == 0 ? (char *) "b" : other.path;
                other.size += i == 1;
                other.ino += i == 2;
                other.mtime_nsec += i == 3;
                other.ctime_nsec += i == 4;
                assert_false(overrides_accepts(&overrides, ACCEPT_BYTES, &other));
        }
        acceptance.ctime_nsec = 41;
        assert_int_equal(overrides_accept(&overrides, ACCEPT_BYTES, &acceptance), 0);
        assert_int_equal(overrides.n_acceptances, 1);
        assert_false(overrides_accepts(&overrides, ACCEPT_BYTES, &file));
        overrides_end_acceptance(&overrides, "a");
        assert_int_equal(overrides.n_acceptances, 0);
        overrides_done(&overrides);
}

static void what_is_marked_for_deletion_is_so_as_it_was(void **state) {
        const Entry file = { .path = (char *) "a", .size = 10, .ino = 20, .mtime_nsec = 30 }, directory = { .path = (char *) "d", .type = ENTRY_DIRECTORY, .ino = 5, .mtime_nsec = 6 };
        Overrides overrides = {};
        Entry other = file;

        (void) state;
        assert_false(overrides_is_marked_deleted(&overrides, &file));
        assert_int_equal(overrides_mark_deleted(&overrides, &file), 0);
        assert_int_equal(overrides_mark_deleted(&overrides, &directory), 0);
        overrides_sort(&overrides);
        assert_true(overrides_is_marked_deleted(&overrides, &file));
        other.mtime_nsec++;
        assert_false(overrides_is_marked_deleted(&overrides, &other));
        other = file;
        other.ino++;
        assert_false(overrides_is_marked_deleted(&overrides, &other));
        other = file;
        other.type = ENTRY_SYMLINK;
        assert_false(overrides_is_marked_deleted(&overrides, &other));
        other = directory;
        other.mtime_nsec++; /* what was in it is gone by now */
        assert_true(overrides_is_marked_deleted(&overrides, &other));
        overrides_done(&overrides);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_said_last_and_nearest_counts),
                cmocka_unit_test(a_copy_does_not_change),
                cmocka_unit_test(an_acceptance_is_for_one_file_as_it_was),
                cmocka_unit_test(what_is_marked_for_deletion_is_so_as_it_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
