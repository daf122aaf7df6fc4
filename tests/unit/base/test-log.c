/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Lines on the console, and how many of a burst are logged. Fields are tested with a real journal, in the system
 * tests. */

#include "base/log.h"
#include "ground.h"

static unsigned cleared;

static void clear(void) {
        cleared++;
}

/* Everything that is written to stderr from begin_capture() on goes to a file. */
static int saved_stderr;

static void begin_capture(void) {
        int fd = open("stderr", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        saved_stderr = dup(STDERR_FILENO);
        assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        (void) close(fd);
}

static void assert_captured(const char *expected) {
        (void) fflush(stderr);
        assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
        (void) close(saved_stderr);
        assert_content("stderr", expected, strlen(expected));
}

static void a_line_says_how_bad_it_is(void **state) {
        (void) state;
        log_setup(LOG_TARGET_CONSOLE, LOG_INFO);
        begin_capture();
        log_error("Failed to read '%s': %d", "a", 5);
        log_warning("two");
        log_notice("three");
        log_info("four");
        log_debug("five");
        assert_captured("Error: Failed to read 'a': 5\nWarning: two\nthree\nfour\n");
}

static void what_is_less_important_than_the_limit_is_dropped(void **state) {
        (void) state;
        log_setup(LOG_TARGET_CONSOLE, LOG_WARNING);
        begin_capture();
        log_notice("no");
        log_warning("yes");
        assert_captured("Warning: yes\n");
        log_setup(LOG_TARGET_CONSOLE, LOG_DEBUG);
        begin_capture();
        log_debug("yes");
        assert_captured("yes\n");
}

static void a_progress_bar_is_cleared_before_each_line_and_only_then(void **state) {
        (void) state;
        log_setup(LOG_TARGET_CONSOLE, LOG_INFO);
        log_set_before_line(clear);
        begin_capture();
        log_info("one");
        log_debug("not logged");
        log_info("two");
        assert_captured("one\ntwo\n");
        assert_int_equal(cleared, 2);
        log_set_before_line(NULL);
}

static void a_burst_passes_up_to_its_limit_and_the_rest_is_counted(void **state) {
        LogLimit limit = { .max = 3 };

        (void) state;
        for (unsigned burst = 0; burst < 3; burst++) {
                for (unsigned i = 0; i < 10; i++)
                        assert_int_equal(log_limit_pass(&limit), i < 3);
                assert_int_equal(log_limit_end(&limit), 7);
        }
}

static void a_burst_within_its_limit_suppresses_nothing(void **state) {
        LogLimit limit = { .max = 3 }, none = {};

        (void) state;
        assert_int_equal(log_limit_end(&limit), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_true(log_limit_pass(&limit));
        assert_int_equal(log_limit_end(&limit), 0);
        assert_true(log_limit_pass(&limit)); /* the next burst has begun */
        assert_false(log_limit_pass(&none));
        assert_int_equal(log_limit_end(&none), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(a_line_says_how_bad_it_is),
                ON_GROUND(what_is_less_important_than_the_limit_is_dropped),
                ON_GROUND(a_progress_bar_is_cleared_before_each_line_and_only_then),
                cmocka_unit_test(a_burst_passes_up_to_its_limit_and_the_rest_is_counted),
                cmocka_unit_test(a_burst_within_its_limit_suppresses_nothing),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
