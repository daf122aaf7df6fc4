/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The metrics: that each family is there once, that what a sample says is true, and that no name breaks the format. What Prometheus' own checker says of them is in metrics.py. */

#include "ground.h"
#include "report/metrics.h"

static const MirrorStatus settled = { .name = "m", .state = MIRROR_IDLE, .ready = true, .files = 12, .bytes = 41 * GIB };

static void assert_has_line(const MirrorStatus *mirrors, size_t n, const char *line) {
        _cleanup_(freep) char *text = metrics_text(mirrors, n, "1.0"), *wanted = NULL, *whole = NULL;

        assert_non_null(text);
        assert_true(asprintf(&wanted, "\n%s\n", line) > 0);
        assert_true(asprintf(&whole, "\n%s", text) > 0);
        if (!strstr(whole, wanted))
                fail_msg("no line '%s' in:\n%s", line, text);
}

static void assert_says(MirrorStatus mirror, const char *line) {
        assert_has_line(&mirror, 1, line);
}

static void the_version_is_reported_even_without_a_mirror(void **state) {
        (void) state;
        assert_has_line(NULL, 0, "shmstaged_build_info{version=\"1.0\"} 1");
}

static void every_family_is_announced_once_and_in_one_piece(void **state) {
        MirrorStatus two[2] = { settled, settled };
        _cleanup_(freep) char *text = NULL;
        char *families[200];
        size_t n = 0;

        (void) state;
        two[1].name = "n";
        text = metrics_text(two, 2, "1.0");
        assert_non_null(text);
        for (char *rest = NULL, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                const char *name = line[0] == '#' ? line + strlen("# HELP ") : line;
                size_t length = strcspn(name, " {");

                if (strncmp(line, "# HELP ", 7) != 0) {
                        /* it belongs to what was announced last */
                        assert_true(n > 0);
                        assert_true(strlen(families[n - 1]) == length && strncmp(families[n - 1], name, length) == 0);
                        continue;
                }
                families[n] = strndup(name, length);
                for (size_t i = 0; i < n; i++)
                        assert_string_not_equal(families[i], families[n]);
                n++;
                assert_true(n < ELEMENTSOF(families));
        }
        assert_true(n > 25);
        for (size_t i = 0; i < n; i++)
                free(families[i]);
}

static void each_mirror_has_its_sample(void **state) {
        MirrorStatus two[2] = { settled, settled };

        (void) state;
        two[1].name = "other";
        two[1].files = 3;
        assert_has_line(two, 2, "shmstaged_files{mirror=\"m\"} 12\nshmstaged_files{mirror=\"other\"} 3");
}

static void a_name_cannot_break_out_of_its_label(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.name = "a\"b\\c\nd";
        assert_says(m, "shmstaged_files{mirror=\"a\\\"b\\\\c\\nd\"} 12");
}

static void exactly_the_state_it_is_in_is_1(void **state) {
        MirrorStatus m = settled;

        (void) state;
        for (unsigned i = 0; i < MIRROR_STATES; i++) {
                _cleanup_(freep) char *text = NULL, *line = NULL;
                size_t n = 0;

                m.state = i;
                assert_true(asprintf(&line, "shmstaged_state{mirror=\"m\",state=\"%s\"} 1", mirror_status_state_name(i)) > 0);
                assert_says(m, line);
                text = metrics_text(&m, 1, "1.0");
                for (const char *at = text; (at = strstr(at, "shmstaged_state{")); at++)
                        n += strncmp(strchr(at, '}'), "} 1\n", 4) == 0;
                assert_int_equal(n, 1);
        }
}

static void ready_is_only_what_can_be_counted_on(void **state) {
        static const MirrorState down[] = { MIRROR_SAVING, MIRROR_REMOVING, MIRROR_STOPPED, MIRROR_FAILED };
        MirrorStatus m = settled;

        (void) state;
        assert_says(m, "shmstaged_ready{mirror=\"m\"} 1");
        m.state = MIRROR_STAGING; /* something new, beside what is there */
        assert_says(m, "shmstaged_ready{mirror=\"m\"} 1");
        for (size_t i = 0; i < ELEMENTSOF(down); i++) {
                m.state = down[i];
                assert_says(m, "shmstaged_ready{mirror=\"m\"} 0");
        }
        m = settled;
        m.failing = true;
        assert_says(m, "shmstaged_ready{mirror=\"m\"} 0");
        m = settled;
        m.ready = false;
        assert_says(m, "shmstaged_ready{mirror=\"m\"} 0");
}

static void degraded_is_what_is_ready_and_not_whole(void **state) {
        MirrorStatus m = settled;

        (void) state;
        assert_says(m, "shmstaged_degraded{mirror=\"m\"} 0");
        m.n_withheld = 2;
        assert_says(m, "shmstaged_degraded{mirror=\"m\"} 1");
        assert_says(m, "shmstaged_withheld_files{mirror=\"m\"} 2");
        m.ready = false; /* then it is not ready, which is worse */
        assert_says(m, "shmstaged_degraded{mirror=\"m\"} 0");
}

static void numbers_flags_and_shares_are_what_the_status_has(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.save_fails = true;
        m.unsaved_bytes = UINT64_MAX;
        m.measured_bytes = 8;
        m.huge_bytes = 7;
        m.counters.saved_bytes = 5 * GIB;
        assert_says(m, "shmstaged_save_failing{mirror=\"m\"} 1");
        assert_says(m, "shmstaged_unsaved_bytes{mirror=\"m\"} 18446744073709551615");
        assert_says(m, "shmstaged_huge_pages_ratio{mirror=\"m\"} 0.8750");
        assert_says(m, "shmstaged_saved_bytes_total{mirror=\"m\"} 5368709120");
}

static void what_is_not_known_has_no_sample(void **state) {
        static const char *const names[] = { "huge_pages_ratio", "unsaved_since_timestamp_seconds", "tmpfs_size_bytes", "trash_bytes", "swapped_bytes" };
        MirrorStatus m = settled;

        (void) state;
        for (int known = 0; known < 2; known++) {
                _cleanup_(freep) char *text = NULL;

                m.measured_bytes = m.unsaved_since_usec = m.tmpfs_size = (uint64_t) known;
                m.trash_bytes = m.swapped_bytes = known ? 0 : UINT64_MAX;
                text = metrics_text(&m, 1, "1.0");
                assert_non_null(text);
                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        _cleanup_(freep) char *sample = NULL;

                        assert_true(asprintf(&sample, "\nshmstaged_%s{", names[i]) > 0);
                        assert_int_equal(strstr(text, sample) != NULL, known);
                }
        }
}

static void the_oldest_change_is_reported_by_its_time_in_seconds(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.unsaved_since_usec = 1700000000250000;
        assert_says(m, "shmstaged_unsaved_since_timestamp_seconds{mirror=\"m\"} 1700000000");
}

static void a_source_is_up_unless_it_is_lost(void **state) {
        MirrorStatus m = settled;

        (void) state;
        assert_says(m, "shmstaged_source_up{mirror=\"m\"} 1");
        m.source_state = SOURCE_LOST;
        assert_says(m, "shmstaged_source_up{mirror=\"m\"} 0");
}

static void what_was_staged_is_reported_by_its_way_each_from_the_start(void **state) {
        MirrorStatus m = settled;

        (void) state;
        assert_says(m, "shmstaged_staged_files_total{mirror=\"m\",method=\"sendfile\"} 0");
        m.counters.staged[0] = (StagedBy){ .method = "direct", .files = 3, .bytes = 300 };
        m.counters.staged[1] = (StagedBy){ .method = "buffered", .files = 1, .bytes = 100 };
        assert_says(m, "shmstaged_staged_files_total{mirror=\"m\",method=\"direct\"} 3");
        assert_says(m, "shmstaged_staged_bytes_total{mirror=\"m\",method=\"buffered\"} 100");
        assert_says(m, "shmstaged_staged_bytes_total{mirror=\"m\",method=\"sendfile\"} 0");
}

static void mismatches_are_counted_by_what_found_them(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.counters.staging_mismatches = 2;
        m.counters.scrub_mismatches = 1;
        assert_says(m, "shmstaged_mismatches_total{mirror=\"m\",found_by=\"staging\"} 2");
        assert_says(m, "shmstaged_mismatches_total{mirror=\"m\",found_by=\"scrub\"} 1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_version_is_reported_even_without_a_mirror),
                cmocka_unit_test(every_family_is_announced_once_and_in_one_piece),
                cmocka_unit_test(each_mirror_has_its_sample),
                cmocka_unit_test(a_name_cannot_break_out_of_its_label),
                cmocka_unit_test(exactly_the_state_it_is_in_is_1),
                cmocka_unit_test(ready_is_only_what_can_be_counted_on),
                cmocka_unit_test(degraded_is_what_is_ready_and_not_whole),
                cmocka_unit_test(numbers_flags_and_shares_are_what_the_status_has),
                cmocka_unit_test(what_is_not_known_has_no_sample),
                cmocka_unit_test(the_oldest_change_is_reported_by_its_time_in_seconds),
                cmocka_unit_test(a_source_is_up_unless_it_is_lost),
                cmocka_unit_test(what_was_staged_is_reported_by_its_way_each_from_the_start),
                cmocka_unit_test(mismatches_are_counted_by_what_found_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
