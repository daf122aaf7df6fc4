/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The one line that `systemctl status` shows: what it says in each state, and that it never says more than is true. */

#include "ground.h"
#include "report/mirror-status.h"

static void assert_line_at(const MirrorStatus *mirrors, size_t n, StatusRate rate, const char *expected) {
        _cleanup_(freep) char *line = mirror_status_line(mirrors, n, &rate);

        assert_non_null(line);
        assert_string_equal(line, expected);
}

static void assert_line(MirrorStatus mirror, const char *expected) {
        assert_line_at(&mirror, 1, (StatusRate){}, expected);
}

static void assert_contains(MirrorStatus mirror, const char *part) {
        StatusRate rate = {};
        _cleanup_(freep) char *line = mirror_status_line(&mirror, 1, &rate);

        if (!line || !strstr(line, part))
                fail_msg("'%s' does not say '%s'", line, part);
}

static const MirrorStatus settled = { .name = "m", .state = MIRROR_IDLE, .ready = true, .files = 12, .bytes = 41 * GIB };

static void a_ready_mirror_says_so(void **state) {
        MirrorStatus m = settled;

        (void) state;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified");
        m.files = 1;
        m.huge_bytes = 99;
        m.measured_bytes = 100;
        assert_line(m, "Ready: 1 file, 41G in RAM, verified; 2 MiB pages: 99%");
        m.files = m.bytes = m.measured_bytes = 0;
        assert_line(m, "Ready: 0 files, 0B in RAM, verified");
}

static void direct_reads_are_reported_as_a_share_of_what_was_staged_if_there_were_some(void **state) {
        MirrorStatus m = settled, both[2] = { settled, settled };

        (void) state;
        m.copied_bytes = 40 * GIB;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified");
        m.direct_bytes = 30 * GIB;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; direct reads: 75%");
        m.direct_bytes = 40 * GIB;
        m.huge_bytes = m.measured_bytes = 100;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; 2 MiB pages: 100%; direct reads: 100%");
        both[0].copied_bytes = both[0].direct_bytes = GIB;
        both[1].copied_bytes = 3 * GIB;
        assert_line_at(both, 2, (StatusRate){}, "Ready: 24 files, 82G in RAM, verified; direct reads: 25%");
}

static void models_are_reported_by_their_number(void **state) {
        MirrorStatus m = settled, both[2] = { settled, settled };

        (void) state;
        m.n_models = 1;
        assert_line(m, "Ready: 12 files (1 model), 41G in RAM, verified");
        both[0].n_models = 3;
        both[1].n_models = 2;
        assert_line_at(both, 2, (StatusRate){}, "Ready: 24 files (5 models), 82G in RAM, verified");
        m.n_withheld = 1;
        assert_contains(m, "Degraded: 12 files (1 model), 41G");
}

static void all_is_saved_only_if_it_is_in_every_mirror_that_saves(void **state) {
        MirrorStatus m = settled, both[2] = { settled, settled };

        (void) state;
        m.saves = true;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified");
        m.all_saved = true;
        m.huge_bytes = m.measured_bytes = 100;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; all saved; 2 MiB pages: 100%");
        both[0].saves = both[0].all_saved = true; /* the other one has nothing to save */
        assert_line_at(both, 2, (StatusRate){}, "Ready: 24 files, 82G in RAM, verified; all saved");
        both[1].saves = true;
        both[1].n_unsaved = 1;
        both[1].unsaved_bytes = MIB;
        assert_line_at(both, 2, (StatusRate){}, "Ready: 24 files, 82G in RAM, verified; 1 not on disk yet (1M)");
}

static void what_was_released_is_no_degradation(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.n_released = 2;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; 2 released");
}

static void a_scrub_is_shown_when_it_has_ended_or_repaired_something(void **state) {
        MirrorStatus m = settled, both[2] = { settled, settled };

        (void) state;
        m.scrubbed_bytes = 41 * GIB;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; scrubbed: 41G");
        m.n_repaired = 1;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; scrubbed: 41G, 1 repaired");
        m.scrubbed_bytes = 0;
        assert_line(m, "Ready: 12 files, 41G in RAM, verified; scrubbed: 0B, 1 repaired");
        both[0].scrubbed_bytes = both[1].scrubbed_bytes = GIB;
        both[1].n_repaired = 2;
        assert_line_at(both, 2, (StatusRate){}, "Ready: 24 files, 82G in RAM, verified; scrubbed: 2G, 2 repaired");
}

static void damage_in_ram_is_a_degradation(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.n_damaged = 1;
        assert_line(m, "Degraded: 12 files, 41G in RAM, verified; 1 damaged in RAM");
        assert_false(mirror_status_is_complete(&m, 1));
}

static void progress_is_reported_with_rate_and_time_left(void **state) {
        MirrorStatus m = { .state = MIRROR_STAGING, .todo_bytes = 100 * MIB, .done_bytes = 25 * MIB, .path = "llama.gguf" };

        (void) state;
        assert_line_at(&m, 1, (StatusRate){}, "Staging: 25% (25M of 100M): llama.gguf");
        assert_line_at(&m, 1, (StatusRate){ .bytes_per_sec = MIB }, "Staging: 25% (25M of 100M, 1M/s, 1min 15s left): llama.gguf");
        assert_line_at(&m, 1, (StatusRate){ .bytes_per_sec = MIB, .stalled_usec = 7 * USEC_PER_SEC },
                       "Staging: 25% (25M of 100M, no progress for 7.0s): llama.gguf");
        m.done_bytes = 200 * MIB; /* more than planned, because a file was tried again */
        m.path = NULL;
        assert_line_at(&m, 1, (StatusRate){ .bytes_per_sec = MIB }, "Staging: 100% (100M of 100M, 1M/s, 0s left)");
}

static void the_last_saves_are_reported_with_what_holds_them_up(void **state) {
        MirrorStatus m = { .state = MIRROR_SAVING };

        (void) state;
        assert_line(m, "Checking for unsaved changes");
        m.n_unsaved = 2;
        m.unsaved_bytes = 3 * MIB;
        assert_line(m, "Saving before the stop: 2 remaining (3M)");
        m.unsaved = "The disk is full";
        assert_line(m, "Saving before the stop: 2 remaining (3M). The disk is full");
        assert_line_at(&m, 1, (StatusRate){ .stalled_usec = 12 * USEC_PER_SEC }, "Saving before the stop: 2 remaining (3M), no progress for 12s. The disk is full");
}

static void a_hostile_name_is_escaped(void **state) {
        (void) state;
        assert_line((MirrorStatus){ .state = MIRROR_STAGING, .path = "evil\nREADY=1" }, "Staging: 100% (0B of 0B): evil\\x0aREADY=1");
}

static void before_the_plan_it_says_what_it_waits_for(void **state) {
        MirrorStatus m = { .state = MIRROR_STARTING };

        (void) state;
        assert_line(m, "Opening source and target");
        m.state = MIRROR_SCANNING;
        m.seen = 1234;
        assert_line(m, "Scanning: 1234 entries");
        m.state = MIRROR_PLANNED;
        assert_line(m, "Scanning: 1234 entries");
        assert_line_at(&m, 1, (StatusRate){ .stalled_usec = 65 * USEC_PER_SEC },
                       "Scanning: 1234 entries; no progress for 1min 5s");
}

static void the_end_says_what_is_left(void **state) {
        (void) state;
        assert_line((MirrorStatus){ .state = MIRROR_REMOVING, .bytes = 3 * GIB, .ready = true }, "Removing the mirror: 3G remaining");
}

static void a_failure_says_why(void **state) {
        MirrorStatus both[2] = { settled, { .state = MIRROR_FAILED, .problem = "The source is gone" } };

        (void) state;
        assert_line_at(both, 2, (StatusRate){}, "Failed: The source is gone");
        assert_false(mirror_status_is_complete(both, 2));
}

static void whatever_is_missing_is_a_degradation(void **state) {
        MirrorStatus m = settled;

        (void) state;
        assert_true(mirror_status_is_complete(&m, 1));
        m.n_withheld = 2;
        m.withheld = "'/a' is corrupt";
        assert_false(mirror_status_is_complete(&m, 1));
        assert_line(m, "Degraded: 12 files, 41G in RAM, verified; 2 withheld. '/a' is corrupt");
        m = settled;
        m.n_skipped = 3;
        assert_false(mirror_status_is_complete(&m, 1));
        assert_contains(m, "Degraded:");
        assert_contains(m, "; 3 not in RAM for lack of space");
        m = settled;
        m.n_unreadable = 1;
        m.unreadable = "'/dark' cannot be read";
        assert_false(mirror_status_is_complete(&m, 1));
        assert_contains(m, "Degraded:");
        assert_contains(m, "'/dark' cannot be read");
        m = settled;
        m.problem = "The source is empty";
        assert_false(mirror_status_is_complete(&m, 1));
        assert_contains(m, ". The source is empty");
        m = settled;
        m.ready = false;
        assert_false(mirror_status_is_complete(&m, 1));
}

static void what_a_client_changed_is_no_degradation(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.n_held = 1;
        assert_true(mirror_status_is_complete(&m, 1));
        assert_contains(m, "Ready:");
        assert_contains(m, "; 1 changed in the mirror only");
}

static void a_conflict_is_no_degradation_and_says_where_the_other_version_is(void **state) {
        MirrorStatus m = settled;

        (void) state;
        m.n_conflicts = 2;
        m.conflict = ".shmstaged/conflicts/now/a";
        assert_true(mirror_status_is_complete(&m, 1));
        assert_contains(m, "Ready:");
        assert_contains(m, "; 2 changed on both sides, the other version is kept as '.shmstaged/conflicts/now/a'");
}

static void trouble_is_reported_while_staging_too(void **state) {
        (void) state;
        assert_contains((MirrorStatus){ .state = MIRROR_STAGING, .todo_bytes = 10, .n_withheld = 1, .withheld = "'/a' is corrupt" },
                        "; 1 withheld. '/a' is corrupt");
}

static void mirrors_are_added_up(void **state) {
        MirrorStatus both[2] = {
                { .state = MIRROR_STAGING, .todo_bytes = 300, .done_bytes = 100, .files = 1, .bytes = 10 },
                { .state = MIRROR_IDLE, .ready = true, .todo_bytes = 100, .done_bytes = 100, .files = 2, .bytes = 20 },
        };

        (void) state;
        assert_int_equal(mirror_status_percent(both, 2), 50);
        assert_line_at(both, 2, (StatusRate){}, "Staging: 50% (200B of 400B)");
        assert_false(mirror_status_is_complete(both, 2));
        both[0].state = MIRROR_IDLE;
        both[0].ready = true;
        assert_line_at(both, 2, (StatusRate){}, "Ready: 3 files, 30B in RAM, verified");
        assert_true(mirror_status_is_complete(both, 2));
}

static void nothing_to_copy_is_all_of_it(void **state) {
        MirrorStatus m = { .state = MIRROR_STAGING };

        (void) state;
        assert_int_equal(mirror_status_percent(&m, 1), 100);
        m.todo_bytes = 1000;
        m.done_bytes = 999;
        assert_int_equal(mirror_status_percent(&m, 1), 99); /* never rounded up */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_ready_mirror_says_so),
                cmocka_unit_test(direct_reads_are_reported_as_a_share_of_what_was_staged_if_there_were_some),
                cmocka_unit_test(models_are_reported_by_their_number),
                cmocka_unit_test(all_is_saved_only_if_it_is_in_every_mirror_that_saves),
                cmocka_unit_test(what_was_released_is_no_degradation),
                cmocka_unit_test(a_scrub_is_shown_when_it_has_ended_or_repaired_something),
                cmocka_unit_test(damage_in_ram_is_a_degradation),
                cmocka_unit_test(progress_is_reported_with_rate_and_time_left),
                cmocka_unit_test(the_last_saves_are_reported_with_what_holds_them_up),
                cmocka_unit_test(a_hostile_name_is_escaped),
                cmocka_unit_test(before_the_plan_it_says_what_it_waits_for),
                cmocka_unit_test(the_end_says_what_is_left),
                cmocka_unit_test(a_failure_says_why),
                cmocka_unit_test(whatever_is_missing_is_a_degradation),
                cmocka_unit_test(what_a_client_changed_is_no_degradation),
                cmocka_unit_test(a_conflict_is_no_degradation_and_says_where_the_other_version_is),
                cmocka_unit_test(trouble_is_reported_while_staging_too),
                cmocka_unit_test(mirrors_are_added_up),
                cmocka_unit_test(nothing_to_copy_is_all_of_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
