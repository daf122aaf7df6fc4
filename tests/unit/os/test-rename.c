/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Renames that overwrite nothing, and how an exchange is undone while another process changes the directory. What
 * happens on filesystems without the flags is in the tests of save/disk, which mount one. */

#include "ground.h"
#include "os/rename.h"

static void put_two(void) {
        make_directory("ours");
        make_directory("theirs");
        put_text("ours/new", "new");
        put_text("theirs/old", "old");
}

static void a_free_name_is_taken_and_an_occupied_one_is_not(void **state) {
        int ours, theirs;

        (void) state;
        put_two();
        ours = open_directory("ours");
        theirs = open_directory("theirs");
        assert_int_equal(rename_new(ours, "new", theirs, "old"), RENAME_OCCUPIED);
        assert_content("ours/new", "new", 3);
        assert_content("theirs/old", "old", 3);
        assert_int_equal(rename_new(ours, "new", theirs, "free"), 0);
        assert_content("theirs/free", "new", 3);
        assert_false(is_there("ours/new"));
        assert_int_equal(rename_new(ours, "absent", theirs, "free2"), -ENOENT);
        assert_int_equal(symlink("nowhere", "theirs/dangling"), 0);
        put_text("ours/new", "new");
        assert_int_equal(rename_new(ours, "new", theirs, "dangling"), RENAME_OCCUPIED); /* a link is a name as well */
        (void) close(ours);
        (void) close(theirs);
}

static void a_missing_file_has_no_inode(void **state) {
        int ours;

        (void) state;
        put_two();
        ours = open_directory("ours");
        assert_int_equal(rename_inode(ours, "absent"), 0);
        assert_int_equal(rename_inode(ours, "new"), stat_at("ours/new").st_ino);
        (void) close(ours);
}

/* As it is after an exchange: "new" is at theirs/old, and "old" at ours/new. */
static ino_t exchange(int *ret_ours, int *ret_theirs) {
        ino_t placed;

        put_two();
        *ret_ours = open_directory("ours");
        *ret_theirs = open_directory("theirs");
        placed = rename_inode(*ret_ours, "new");
        assert_int_equal(rename_with_flags(*ret_ours, "new", *ret_theirs, "old", RENAME_EXCHANGE), 0);
        assert_content("theirs/old", "new", 3);
        return placed;
}

static void an_exchange_is_undone(void **state) {
        int ours, theirs;
        ino_t placed = exchange(&ours, &theirs);

        (void) state;
        assert_int_equal(rename_undo(ours, "new", theirs, "old", placed, "spare"), 0);
        assert_content("theirs/old", "old", 3);
        assert_content("ours/new", "new", 3);
        (void) close(ours);
        (void) close(theirs);
}

static void a_newer_file_of_another_process_stays_where_it_was_put(void **state) {
        int ours, theirs;
        ino_t placed = exchange(&ours, &theirs);

        (void) state;
        put_text("theirs/tmp", "newest");
        assert_int_equal(rename("theirs/tmp", "theirs/old"), 0); /* replaces what the exchange had placed */
        assert_int_equal(rename_undo(ours, "new", theirs, "old", placed, "spare"), 0);
        assert_content("theirs/old", "newest", 6);
        assert_content("ours/new", "old", 3);
        (void) close(ours);
        (void) close(theirs);
}

static void what_was_taken_out_goes_back_when_the_name_is_free_again(void **state) {
        int ours, theirs;
        ino_t placed = exchange(&ours, &theirs);

        (void) state;
        assert_int_equal(unlink("theirs/old"), 0);
        assert_int_equal(rename_undo(ours, "new", theirs, "old", placed, "spare"), 0);
        assert_content("theirs/old", "old", 3);
        assert_false(is_there("ours/new"));
        (void) close(ours);
        (void) close(theirs);
}

static void what_cannot_go_back_is_kept_under_another_name(void **state) {
        int ours, theirs;
        ino_t placed = exchange(&ours, &theirs);

        (void) state;
        assert_int_equal(unlink("theirs/old"), 0);
        assert_int_equal(rmdir("theirs"), 0); /* a directory that is removed takes no names any more */
        assert_int_equal(rename_undo(ours, "new", theirs, "old", placed, "spare"), RENAME_ASTRAY);
        assert_content("ours/spare", "old", 3);
        assert_false(is_there("ours/new"));
        (void) close(ours);
        (void) close(theirs);
}

static void errors_that_refuse_flags_or_links_are_distinguished_from_others(void **state) {
        static const int flags[] = { EINVAL, ENOSYS, EOPNOTSUPP }, links[] = { EPERM, EMLINK },
                         others[] = { 0, EIO, ENOSPC, ENOENT, EEXIST, EXDEV, EROFS };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                assert_true(rename_is_unsupported(flags[i]) && rename_is_link_unsupported(flags[i]));
        for (size_t i = 0; i < ELEMENTSOF(links); i++)
                assert_true(!rename_is_unsupported(links[i]) && rename_is_link_unsupported(links[i]));
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_false(rename_is_unsupported(others[i]) || rename_is_link_unsupported(others[i]));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(a_free_name_is_taken_and_an_occupied_one_is_not),
                ON_GROUND(a_missing_file_has_no_inode),
                ON_GROUND(an_exchange_is_undone),
                ON_GROUND(a_newer_file_of_another_process_stays_where_it_was_put),
                ON_GROUND(what_was_taken_out_goes_back_when_the_name_is_free_again),
                ON_GROUND(what_cannot_go_back_is_kept_under_another_name),
                cmocka_unit_test(errors_that_refuse_flags_or_links_are_distinguished_from_others),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
