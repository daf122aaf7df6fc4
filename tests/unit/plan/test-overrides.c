/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What an operator released, wants and accepted: the nearest thing that was said counts, and a copy does not change. */

#include "ground.h"
#include "plan/overrides.h"

static void what_was_said_last_and_nearest_counts(void **state) {
        Wishes wishes = {};

        (void) state;
        assert_int_equal(wishes_of(&wishes, "a"), WISH_NONE);
        assert_int_equal(wishes_release(&wishes, "a"), 0);
        assert_int_equal(wishes_of(&wishes, "a/b/c"), WISH_RELEASED);
        assert_int_equal(wishes_of(&wishes, "ab"), WISH_NONE);
        assert_int_equal(wishes_want(&wishes, "a/b"), 0);
        assert_int_equal(wishes_of(&wishes, "a/b/c"), WISH_WANTED);
        assert_int_equal(wishes_of(&wishes, "a/c"), WISH_RELEASED);
        assert_true(wishes_want_below(&wishes, "a"));
        assert_false(wishes_want_below(&wishes, "a/b"));
        assert_int_equal(wishes_release(&wishes, "a"), 0); /* with all that is below it */
        assert_int_equal(wishes_of(&wishes, "a/b/c"), WISH_RELEASED);
        assert_false(wishes_want_below(&wishes, "a"));
        wishes_forget(&wishes, "a/b");
        assert_int_equal(wishes_of(&wishes, "a"), WISH_RELEASED);
        wishes_forget(&wishes, "a");
        assert_int_equal(wishes_of(&wishes, "a/b/c"), WISH_NONE);
        wishes_done(&wishes);
}

static void a_copy_does_not_change(void **state) {
        char *names[] = { (char *) "x", (char *) "y", NULL };
        Wishes wishes = {}, copy = {};
        Entry doomed = { .path = (char *) "d", .size = 3, .ino = 4 };

        (void) state;
        assert_int_equal(wishes_release(&wishes, "a"), 0);
        assert_int_equal(wishes_want(&wishes, "b"), 0);
        assert_int_equal(wishes_request(&wishes, names), 1);
        assert_int_equal(wishes_request(&wishes, names), 2);
        assert_int_equal(wishes_doom(&wishes, &doomed), 0);
        wishes_sort(&wishes);
        assert_int_equal(pathset_add(&wishes.in_effect, "a"), 0);
        assert_int_equal(wishes_copy(&wishes, &copy), 0);
        wishes_forget(&wishes, "a");
        wishes_end_request(&wishes, 1);
        assert_int_equal(wishes.n_requests, 1);
        assert_int_equal(wishes.requests[0].id, 2);
        wishes_done(&wishes);
        assert_int_equal(wishes_of(&copy, "a"), WISH_RELEASED);
        assert_int_equal(wishes_of(&copy, "b"), WISH_WANTED);
        assert_int_equal(copy.n_requests, 2);
        assert_string_equal(copy.requests[0].names[1], "y");
        assert_true(wishes_is_doomed(&copy, &doomed));
        assert_int_equal(wishes_n_released(&copy), 0);
        wishes_done(&copy);
}

static void an_acceptance_is_for_one_file_as_it_was(void **state) {
        const Entry file = { .path = (char *) "a", .size = 10, .ino = 20, .mtime_nsec = 30, .ctime_nsec = 40 };
        Acceptance acceptance = { .path = (char *) "a", .size = 10, .ino = 20, .mtime_nsec = 30, .ctime_nsec = 40 };
        Wishes wishes = {};

        (void) state;
        assert_int_equal(wishes_accept(&wishes, ACCEPT_BYTES, &acceptance), 0);
        assert_true(wishes_accepts(&wishes, ACCEPT_BYTES, &file));
        assert_false(wishes_accepts(&wishes, ACCEPT_NAME, &file)); /* another guard */
        for (unsigned i = 0; i < 5; i++) {
                Entry other = file;

                other.path = i == 0 ? (char *) "b" : other.path;
                other.size += i == 1;
                other.ino += i == 2;
                other.mtime_nsec += i == 3;
                other.ctime_nsec += i == 4;
                assert_false(wishes_accepts(&wishes, ACCEPT_BYTES, &other));
        }
        acceptance.ctime_nsec = 41;
        assert_int_equal(wishes_accept(&wishes, ACCEPT_BYTES, &acceptance), 0);
        assert_int_equal(wishes.n_acceptances, 1);
        assert_false(wishes_accepts(&wishes, ACCEPT_BYTES, &file));
        wishes_end_acceptance(&wishes, "a");
        assert_int_equal(wishes.n_acceptances, 0);
        wishes_done(&wishes);
}

static void what_is_doomed_is_so_as_it_was(void **state) {
        const Entry file = { .path = (char *) "a", .size = 10, .ino = 20, .mtime_nsec = 30 }, directory = { .path = (char *) "d", .type = ENTRY_DIRECTORY, .ino = 5, .mtime_nsec = 6 };
        Wishes wishes = {};
        Entry other = file;

        (void) state;
        assert_false(wishes_is_doomed(&wishes, &file));
        assert_int_equal(wishes_doom(&wishes, &file), 0);
        assert_int_equal(wishes_doom(&wishes, &directory), 0);
        wishes_sort(&wishes);
        assert_true(wishes_is_doomed(&wishes, &file));
        other.mtime_nsec++;
        assert_false(wishes_is_doomed(&wishes, &other));
        other = file;
        other.ino++;
        assert_false(wishes_is_doomed(&wishes, &other));
        other = file;
        other.type = ENTRY_SYMLINK;
        assert_false(wishes_is_doomed(&wishes, &other));
        other = directory;
        other.mtime_nsec++; /* what was in it is gone by now */
        assert_true(wishes_is_doomed(&wishes, &other));
        wishes_done(&wishes);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_said_last_and_nearest_counts),
                cmocka_unit_test(a_copy_does_not_change),
                cmocka_unit_test(an_acceptance_is_for_one_file_as_it_was),
                cmocka_unit_test(what_is_doomed_is_so_as_it_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
