/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a file is known by, and what is opened, created or given attributes only if it is what was expected. */

#include "ground.h"
#include "os/tree-attributes.h"

static int root = -1;

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("tree");
        put_text("tree/file", "content");
        root = open_directory("tree");
        return 0;
}

static int teardown(void **state) {
        root = close_fd(root);
        return ground_teardown(state);
}

static FileIdentity seen(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return identity_of(&st);
}

/* --- identities --- */

static void what_counts_depends_on_the_type(void **state) {
        static const FileIdentity a = { .ino = 1, .size = 2, .mtime_nsec = 3, .ctime_nsec = 4, .type = S_IFREG };
        static const struct {
                FileIdentity b;
                IdentityMatch file, link, directory;
        } cases[] = {
                { { 1, 2, 3, 4, 0 }, IDENTITY_SAME, IDENTITY_SAME, IDENTITY_SAME },
                { { 1, 2, 3, 9, 0 }, IDENTITY_TOUCHED, IDENTITY_TOUCHED, IDENTITY_SAME },
                { { 1, 2, 9, 4, 0 }, IDENTITY_DIFFERENT, IDENTITY_DIFFERENT, IDENTITY_SAME },
                { { 1, 9, 3, 4, 0 }, IDENTITY_DIFFERENT, IDENTITY_SAME, IDENTITY_SAME },
                { { 9, 2, 3, 4, 0 }, IDENTITY_DIFFERENT, IDENTITY_DIFFERENT, IDENTITY_DIFFERENT },
                { { 0, 2, 3, 4, 0 }, IDENTITY_SAME, IDENTITY_SAME, IDENTITY_SAME }, /* no inode number: not compared */
                { { 1, 2, 3, 0, 0 }, IDENTITY_SAME, IDENTITY_SAME, IDENTITY_SAME }, /* no ctime */
        };
        static const uint32_t types[] = { S_IFREG, S_IFLNK, S_IFDIR };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IdentityMatch wanted[] = { cases[i].file, cases[i].link, cases[i].directory };

                for (size_t k = 0; k < ELEMENTSOF(types); k++) {
                        FileIdentity x = a, y = cases[i].b;

                        x.type = y.type = types[k];
                        assert_int_equal(identity_compare(&x, &y), wanted[k]);
                        assert_int_equal(identity_compare(&y, &x), wanted[k]);
                        y.type = types[(k + 1) % ELEMENTSOF(types)];
                        assert_int_equal(identity_compare(&x, &y), IDENTITY_DIFFERENT);
                }
        }
}

static void a_rename_only_touches(void **state) {
        FileIdentity before = seen("tree/file"), after;

        (void) state;
        (void) usleep(20000); /* the kernel's clock for files ticks in milliseconds */
        assert_int_equal(rename("tree/file", "tree/other"), 0);
        after = seen("tree/other");
        assert_int_equal(identity_compare(&before, &after), IDENTITY_TOUCHED);
        assert_int_equal(tree_access_check((TreeName){ root, "other" }, &before), TREE_OCCUPIED);
        assert_int_equal(tree_access_check_moved((TreeName){ root, "other" }, &before), 0);
        assert_int_equal(tree_access_check((TreeName){ root, "file" }, &before), TREE_ABSENT);
        assert_int_equal(tree_access_inode((TreeName){ root, "other" }), before.ino);
        assert_int_equal(tree_access_inode((TreeName){ root, "file" }), 0);
}

/* --- opening --- */

static int open_expected(const char *path, const FileIdentity *expected) {
        struct stat st;
        int fd = -1, r = tree_access_open_expected(root, path, expected, &fd, &st);

        assert_int_equal(r == 0, fd >= 0);
        if (r == 0)
                assert_int_equal(st.st_ino, seen("tree/file").ino);
        (void) close_fd(fd);
        return r;
}

static void only_what_is_expected_is_opened(void **state) {
        FileIdentity expected = seen("tree/file");

        (void) state;
        make_directory("tree/sub");
        assert_int_equal(symlink("sub", "tree/link"), 0);
        assert_int_equal(symlink("file", "tree/filelink"), 0);
        assert_int_equal(open_expected("file", &expected), 0);
        assert_int_equal(open_expected("absent", &expected), TREE_ABSENT);
        assert_int_equal(open_expected("sub/absent", &expected), TREE_ABSENT);
        assert_int_equal(open_expected("sub", &expected), TREE_OCCUPIED);
        assert_int_equal(open_expected("filelink", &expected), TREE_OCCUPIED);
        assert_int_equal(open_expected("link/file", &expected), TREE_OCCUPIED);
        assert_int_equal(open_expected("file/file", &expected), TREE_OCCUPIED);
        assert_int_equal(open_expected("../tree/file", &expected), TREE_OCCUPIED);
        (void) usleep(20000);
        assert_int_equal(chmod("tree/file", 0600), 0);
        assert_int_equal(open_expected("file", &expected), TREE_OCCUPIED);
        expected.ctime_nsec = 0;
        assert_int_equal(open_expected("file", &expected), 0);
        put_text("tree/file", "longer than before");
        assert_int_equal(open_expected("file", &expected), TREE_OCCUPIED);
}

static void a_file_is_held_while_nothing_may_write_to_it(void **state) {
        FileIdentity expected = seen("tree/file");
        TreeName at = { root, "file" };
        TreeHold hold = TREE_HOLD_NONE;
        int fd;

        (void) state;
        assert_int_equal(tree_access_hold(at, &expected, &hold), 0);
        assert_true(hold.leased);
        assert_false(tree_access_is_claimed(&hold));
        assert_int_equal(open("tree/file", O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
        assert_int_equal(errno, EAGAIN);
        assert_true(tree_access_is_claimed(&hold)); /* and the signal did not end this process */
        tree_access_let_go(&hold);
        fd = open("tree/file", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_true(tree_access_is_being_written(fd));
        assert_int_equal(tree_access_hold(at, &expected, &hold), TREE_BUSY);
        (void) close(fd);
        fd = open("tree/file", O_RDONLY | O_CLOEXEC);
        assert_false(tree_access_is_being_written(fd));
        (void) close(fd);
        assert_int_equal(tree_access_hold((TreeName){ root, "absent" }, &expected, &hold), TREE_ABSENT);
        assert_int_equal(symlink("file", "tree/link"), 0);
        assert_int_equal(tree_access_hold((TreeName){ root, "link" }, &expected, &hold), TREE_OCCUPIED);
        assert_int_equal(mkfifo("tree/fifo", 0600), 0);
        assert_int_equal(tree_access_hold((TreeName){ root, "fifo" }, &expected, &hold), TREE_OCCUPIED);
        assert_int_equal(hold.fd, -1);
}

/* --- what is ours --- */

static void what_is_created_never_replaces_anything(void **state) {
        TreeName at = { root, "new" };
        int fd = tree_access_create_unnamed(root), other;

        (void) state;
        assert_int_equal(write(fd, "unnamed", 7), 7);
        assert_int_equal(tree_access_name_unnamed(fd, (TreeName){ root, "file" }), -EEXIST);
        assert_int_equal(tree_access_name_unnamed(fd, at), 0);
        assert_content("tree/new", "unnamed", 7);
        assert_int_equal(tree_access_create_file(at, 0600), -EEXIST);
        assert_int_equal(tree_access_create_directory(at, 0700), -EEXIST);
        assert_int_equal(tree_access_create_symlink(at, "x"), -EEXIST);
        other = tree_access_reopen(fd, O_RDONLY);
        assert_true(other >= 0);
        (void) close(other);
        (void) close(fd);
}

static void what_is_dropped_is_a_file_or_an_empty_directory(void **state) {
        (void) state;
        assert_int_equal(tree_access_create_directory((TreeName){ root, "dir" }, 0700), 0);
        put_text("tree/dir/file", "x");
        assert_int_equal(tree_access_drop((TreeName){ root, "dir" }), -ENOTEMPTY);
        assert_int_equal(tree_access_drop_directory((TreeName){ root, "dir" }), -ENOTEMPTY);
        assert_int_equal(tree_access_drop_directory((TreeName){ root, "file" }), -ENOTDIR);
        assert_int_equal(unlink("tree/dir/file"), 0);
        assert_int_equal(tree_access_drop((TreeName){ root, "dir" }), 0);
        assert_int_equal(tree_access_drop((TreeName){ root, "file" }), 0);
        assert_int_equal(tree_access_drop((TreeName){ root, "file" }), -ENOENT);
}

/* --- attributes --- */

static void attributes_are_set_on_what_is_expected_only(void **state) {
        TreeAttributes attributes = { .uid = 7, .gid = 8, .mode = 04604, .mtime_nsec = 1234567891 };
        struct stat st;

        (void) state;
        for (unsigned durable = 0; durable < 2; durable++) {
                FileIdentity expected = seen("tree/file"), other = expected;

                other.size++;
                assert_int_equal(tree_attributes_set_expected(root, "file", &other, &attributes, durable, &st), TREE_OCCUPIED);
                assert_true(seen("tree/file").mtime_nsec == expected.mtime_nsec);
                assert_int_equal(tree_attributes_set_expected(root, "file", &expected, &attributes, durable, &st), 0);
                assert_true(st.st_uid == 7 && st.st_gid == 8 && (st.st_mode & 07777) == 0604);
                assert_true(fs_nsec(&st.st_mtim) == 1234567891 && identity_of(&st).ctime_nsec == seen("tree/file").ctime_nsec);
                attributes.uid = attributes.gid = UINT32_MAX; /* stays as it is */
                expected = seen("tree/file");
                assert_int_equal(tree_attributes_set_expected(root, "file", &expected, &attributes, durable, &st), 0);
                assert_true(st.st_uid == 7 && st.st_gid == 8);
                assert_int_equal(chown("tree/file", 0, 0), 0);
                attributes.uid = 7, attributes.gid = 8;
                put_text("tree/file", "content");
                assert_int_equal(tree_attributes_set_expected(root, "absent", &expected, &attributes, durable, &st), -ENOENT);
        }
        assert_int_equal(symlink("file", "tree/link"), 0);
        {
                FileIdentity link = seen("tree/link");

                assert_int_equal(tree_attributes_set_expected(root, "link", &link, &attributes, false, &st), TREE_OCCUPIED);
        }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_counts_depends_on_the_type),
                CASE(a_rename_only_touches),
                CASE(only_what_is_expected_is_opened),
                CASE(a_file_is_held_while_nothing_may_write_to_it),
                CASE(what_is_created_never_replaces_anything),
                CASE(what_is_dropped_is_a_file_or_an_empty_directory),
                CASE(attributes_are_set_on_what_is_expected_only),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
