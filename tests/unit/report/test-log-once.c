/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What scans find at single paths is logged once for as long as it is true, and not for thousands of paths at a time. */

#include "base/log.h"
#include "ground.h"
#include "report/log-once.h"

#include <sys/mman.h>

static MirrorConfig config = { .name = (char *) "m", .source = (char *) "/data", .target = (char *) "/ram", .write_back = true };
static char logged[64 * 1024];

/* Scans once more, and returns what was logged about it. */
static const char *scan_plan(LogOnce *log_once, const Manifest *source, const Plan *plan) {
        int old = dup(STDERR_FILENO), fd = memfd_create("log", MFD_CLOEXEC);
        ssize_t n;

        assert_true(old >= 0 && fd >= 0);
        assert_true(dup2(fd, STDERR_FILENO) >= 0);
        log_once_scan(log_once, &config, source, plan);
        (void) fflush(stderr);
        assert_true(dup2(old, STDERR_FILENO) >= 0);
        n = pread(fd, logged, sizeof(logged) - 1, 0);
        assert_true(n >= 0);
        logged[n] = '\0';
        (void) close(old);
        (void) close(fd);
        return logged;
}

static const char *scan(LogOnce *log_once, const Manifest *source) {
        Plan nothing = {};

        return scan_plan(log_once, source, &nothing);
}

static size_t lines_of(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += *text == '\n';
        return n;
}

static Manifest *omit(const char *path, OmissionReason reason, int error) {
        Manifest *source = NULL;

        assert_int_equal(manifest_new(&source), 0);
        assert_int_equal(manifest_omit(source, path, reason, error), 0);
        return source;
}

static void what_stays_true_is_logged_once(void **state) {
        _cleanup_(manifest_freep) Manifest *source = omit("fifo", OMIT_SPECIAL, 0);
        LogOnce log_once = {};

        (void) state;
        assert_string_equal(scan(&log_once, source), "Left out '/data/fifo': it is a device, pipe or socket\n");
        assert_string_equal(scan(&log_once, source), "");
        assert_int_equal(manifest_omit(source, "another", OMIT_UNREADABLE, EACCES), 0);
        assert_int_equal(lines_of(scan(&log_once, source)), 1);
        assert_non_null(strstr(logged, "Warning: Failed to read '/data/another': Permission denied"));
        log_once_done(&log_once);
}

static void what_was_over_is_logged_again_when_it_comes_back(void **state) {
        _cleanup_(manifest_freep) Manifest *source = omit("fifo", OMIT_SPECIAL, 0), *clean = NULL;
        LogOnce log_once = {};

        (void) state;
        assert_int_equal(manifest_new(&clean), 0);
        assert_int_equal(lines_of(scan(&log_once, source)), 1);
        assert_string_equal(scan(&log_once, clean), "");
        assert_int_equal(lines_of(scan(&log_once, source)), 1);
        log_once_done(&log_once);
}

static void another_problem_of_the_same_path_is_logged_too(void **state) {
        _cleanup_(manifest_freep) Manifest *special = omit("a", OMIT_SPECIAL, 0), *dark = omit("a", OMIT_UNREADABLE, EIO);
        LogOnce log_once = {};

        (void) state;
        assert_non_null(strstr(scan(&log_once, special), "Left out"));
        assert_non_null(strstr(scan(&log_once, dark), "Input/output error"));
        log_once_done(&log_once);
}

static void a_change_in_the_mirror_is_logged_only_where_nothing_is_saved(void **state) {
        _cleanup_(manifest_freep) Manifest *source = NULL;
        Entry notes = { .path = (char *) "notes" }, model = { .path = (char *) "model" };
        PlanItem items[] = { { .action = PLAN_SAVE, .mirror = &notes }, { .action = PLAN_KEEP, .source = &model, .mirror = &model } };
        Plan plan = { .items = items, .n_items = ELEMENTSOF(items) };
        LogOnce log_once = {};

        (void) state;
        assert_int_equal(manifest_new(&source), 0);
        assert_string_equal(scan_plan(&log_once, source, &plan), "");
        config.write_back = false;
        assert_non_null(strstr(scan_plan(&log_once, source, &plan), "'/ram/notes' is new or changed in the mirror only"));
        assert_int_equal(lines_of(logged), 1);
        assert_string_equal(scan_plan(&log_once, source, &plan), "");
        config.write_back = true;
        log_once_done(&log_once);
}

static void of_many_a_few_are_logged_and_the_rest_is_counted_and_remembered(void **state) {
        _cleanup_(manifest_freep) Manifest *source = omit("f000", OMIT_SPECIAL, 0);
        LogOnce log_once = {};

        (void) state;
        for (int i = 1; i < 1000; i++) {
                char name[8];

                (void) snprintf(name, sizeof(name), "f%03d", i);
                assert_int_equal(manifest_omit(source, name, OMIT_SPECIAL, 0), 0);
        }
        assert_int_equal(lines_of(scan(&log_once, source)), 21);
        assert_non_null(strstr(logged, "'/data/f019'"));
        assert_null(strstr(logged, "'/data/f020'"));
        assert_non_null(strstr(logged, "\nMirror 'm': 980 similar messages suppressed\n"));
        assert_string_equal(scan(&log_once, source), "");
        assert_int_equal(manifest_omit(source, "g", OMIT_SPECIAL, 0), 0);
        assert_int_equal(lines_of(scan(&log_once, source)), 1); /* the count began again */
        log_once_done(&log_once);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_stays_true_is_logged_once),
                cmocka_unit_test(what_was_over_is_logged_again_when_it_comes_back),
                cmocka_unit_test(another_problem_of_the_same_path_is_logged_too),
                cmocka_unit_test(a_change_in_the_mirror_is_logged_only_where_nothing_is_saved),
                cmocka_unit_test(of_many_a_few_are_logged_and_the_rest_is_counted_and_remembered),
        };

        log_setup(LOG_TARGET_CONSOLE, LOG_DEBUG);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
