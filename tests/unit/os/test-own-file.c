/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Our own files: replaced whole, never through a link. */

#include "ground.h"
#include "os/own-file.h"

static void missing_directories_are_made(void **state) {
        char path[128];

        (void) state;
        (void) snprintf(path, sizeof(path), "%s/a/b//c", ground_base);
        assert_int_equal(own_file_make_path(path), 0);
        assert_true(S_ISDIR(stat_at("a/b/c").st_mode));
        assert_int_equal(stat_at("a/b/c").st_mode & 0777, 0755);
        assert_int_equal(own_file_make_path(path), 0);
        put_text("file", "");
        (void) snprintf(path, sizeof(path), "%s/file", ground_base);
        assert_int_equal(own_file_make_path(path), -ENOTDIR);
        (void) snprintf(path, sizeof(path), "%s/file/below", ground_base);
        assert_int_equal(own_file_make_path(path), -ENOTDIR);
}

static void a_file_is_written_whole(void **state) {
        int fd = open_directory(".");

        (void) state;
        assert_int_equal(own_file_replace(fd, "name", "first", 5, 0600, true), 0);
        assert_content("name", "first", 5);
        assert_int_equal(stat_at("name").st_mode & 0777, 0600);
        assert_int_equal(own_file_replace(fd, "name", "second one", 10, 0600, true), 0);
        assert_content("name", "second one", 10);
        assert_false(is_there(".name.new"));
        (void) close(fd);
}

static void a_file_that_cannot_be_written_stays_as_it_was(void **state) {
        _cleanup_(freep) char *big = calloc(1, MIB);
        int fd;

        (void) state;
        make_tmpfs("full", "size=64k");
        fd = open_directory("full");
        assert_int_equal(own_file_replace(fd, "name", "first", 5, 0600, true), 0);
        assert_int_equal(own_file_replace(fd, "name", big, MIB, 0600, true), -ENOSPC);
        assert_content("full/name", "first", 5);
        assert_false(is_there("full/.name.new"));
        (void) close(fd);
}

static void each_use_of_a_file_opens_it_as_it_has_to(void **state) {
        int fd = open_directory("."), file;
        FILE *stream = NULL;

        (void) state;
        assert_int_equal(own_file_open(fd, "journal", OWN_FILE_READ), -ENOENT);
        file = own_file_open(fd, "journal", OWN_FILE_APPEND);
        assert_int_equal(write(file, "one", 3), 3);
        (void) close(file);
        file = own_file_open(fd, "journal", OWN_FILE_APPEND);
        assert_int_equal(write(file, "two", 3), 3);
        assert_content("journal", "onetwo", 6);
        assert_int_equal(own_file_empty(file), 0);
        assert_content("journal", "", 0);
        (void) close(file);
        put_text("text", "what was there");
        assert_int_equal(own_file_open_stream(fd, "text", OWN_FILE_WRITE, &stream), 0);
        assert_true(fputs("new", stream) >= 0 && fclose(stream) == 0);
        assert_content("text", "new", 3);
        put_text("lock", "1234");
        file = own_file_open(fd, "lock", OWN_FILE_LOCK);
        assert_true(file >= 0);
        (void) close(file);
        assert_content("lock", "1234", 4);
        assert_int_equal(symlink("text", "link"), 0);
        for (OwnFileUse use = OWN_FILE_READ; use <= OWN_FILE_LOCK_READ; use++)
                assert_int_equal(own_file_open(fd, "link", use), -ELOOP);
        (void) close(fd);
}

static void what_is_gone_need_not_be_removed(void **state) {
        int fd = open_directory(".");

        (void) state;
        put_text("name", "x");
        assert_int_equal(own_file_remove(fd, "name"), 0);
        assert_int_equal(own_file_remove(fd, "name"), 0);
        assert_int_equal(own_file_make_directory(fd, "dir", 0755), 0);
        assert_int_equal(own_file_make_directory(fd, "dir", 0755), 0);
        assert_int_equal(own_file_remove(fd, "dir"), -EISDIR);
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(missing_directories_are_made),
                ON_GROUND(a_file_is_written_whole),
                ON_GROUND(a_file_that_cannot_be_written_stays_as_it_was),
                ON_GROUND(each_use_of_a_file_opens_it_as_it_has_to),
                ON_GROUND(what_is_gone_need_not_be_removed),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
