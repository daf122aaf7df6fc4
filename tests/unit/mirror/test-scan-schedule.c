/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When the next scan of a mirror is. No time passes: what counts is when the timer is set to. */

#include "mirror/scan-schedule.h"

#include "base/text.h"
#include "ground.h"

enum { SOURCE = 7, MIRROR = 8 };

static sd_event *event;
static Watch *watch;
static ScanSchedule schedule;
static MirrorConfig config;
static unsigned n_scans;

static void on_scan(void *userdata) {
        (void) userdata;
        n_scans++;
        scan_schedule_scan_began(&schedule);
}

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("source");
        make_directory("mirror");
        config = (MirrorConfig){ .source = text_format("%s/source", ground_base),
                                 .target = text_format("%s/mirror", ground_base),
                                 .watch_source = true,
                                 .settle_usec = 3 * USEC_PER_SEC,
                                 .poll_usec = 60 * USEC_PER_SEC };
        n_scans = 0;
        assert_int_equal(sd_event_run(event, 0) >= 0, true); /* so that the loop has a time */
        scan_schedule_init(&schedule, event, watch, SOURCE, MIRROR, on_scan, NULL);
        return 0;
}

static int teardown(void **state) {
        scan_schedule_end(&schedule);
        free(config.source);
        free(config.target);
        return ground_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The first scan has begun, of a source that is watched or need not be. */
static void begin(bool eventless) {
        WatchReport armed = { .root = SOURCE, .flags = WATCH_ARMED };

        assert_int_equal(scan_schedule_begin(&schedule, &config, eventless), 0);
        if (!eventless)
                (void) scan_schedule_event(&schedule, &config, &armed, false);
        assert_int_equal(n_scans, 1);
        scan_schedule_scan_ended(&schedule);
}

static int report(unsigned root, unsigned flags, bool idle) {
        WatchReport now = { .root = root, .flags = flags };

        return scan_schedule_event(&schedule, &config, &now, idle);
}

/* Milliseconds until the next scan; -1: none is planned. */
static int64_t until_scan(void) {
        uint64_t usec;

        return clock_timer_is_set(&schedule.timer, &usec) ? (int64_t) (usec - clock_now(event)) / 1000 : -1;
}

static int64_t idle(ScanReason reason) {
        scan_schedule_idle(&schedule, &config, reason);
        return until_scan();
}

/* ---- the first scan ---- */

static void the_first_scan_waits_until_the_source_is_watched(void **state) {
        (void) state;
        assert_int_equal(scan_schedule_begin(&schedule, &config, false), 0);
        assert_true(schedule.source.added);
        assert_int_equal(n_scans, 0);
        (void) report(SOURCE, WATCH_DIRTY, false);
        assert_int_equal(n_scans, 0);
        (void) report(SOURCE, WATCH_ARMED, false);
        assert_int_equal(n_scans, 1);
        (void) report(SOURCE, WATCH_ARMED, false);
        assert_int_equal(n_scans, 1);
        assert_true(schedule.source.dirty);
}

static void it_does_not_wait_where_nothing_is_watched(void **state) {
        (void) state;
        begin(true);
        assert_false(schedule.source.added);
        scan_schedule_end(&schedule);
        scan_schedule_init(&schedule, event, watch, SOURCE, MIRROR, on_scan, NULL);
        config.watch_source = false;
        assert_int_equal(scan_schedule_begin(&schedule, &config, false), 0);
        assert_int_equal(n_scans, 2);
}

static void a_source_that_cannot_be_watched_is_scanned_and_polled(void **state) {
        (void) state;
        assert_int_equal(scan_schedule_begin(&schedule, &config, false), 0);
        assert_true(report(SOURCE, WATCH_EXHAUSTED, false) > 0);
        assert_int_equal(n_scans, 1);
        assert_int_equal(report(SOURCE, WATCH_EXHAUSTED, false), 0);
        assert_int_equal(idle(SCAN_REASON_NONE), 60000);
}

/* ---- the two watches ---- */

static void each_watch_has_its_own_reports(void **state) {
        (void) state;
        begin(false);
        assert_int_equal(scan_schedule_watch_mirror(&schedule, &config), 0);
        assert_false(scan_schedule_mirror_is_decided(&schedule));
        (void) report(SOURCE, WATCH_ARMED | WATCH_DIRTY, false);
        assert_false(scan_schedule_mirror_is_decided(&schedule));
        assert_true(schedule.source.dirty);
        assert_false(schedule.mirror.dirty);
        scan_schedule_scan_began(&schedule);
        (void) report(MIRROR, WATCH_ARMED | WATCH_DIRTY, false);
        assert_true(scan_schedule_mirror_is_watched(&schedule));
        assert_false(schedule.source.dirty);
        assert_true(schedule.mirror.dirty);
}

static void a_mirror_that_is_not_wholly_watched_is_decided_but_not_watched(void **state) {
        (void) state;
        begin(false);
        assert_int_equal(scan_schedule_watch_mirror(&schedule, &config), 0);
        assert_true(report(MIRROR, WATCH_EXHAUSTED, false) > 0);
        assert_true(scan_schedule_mirror_is_decided(&schedule));
        assert_false(scan_schedule_mirror_is_watched(&schedule));
        (void) report(MIRROR, WATCH_ARMED, false);
        assert_false(scan_schedule_mirror_is_watched(&schedule));
        assert_int_equal(idle(SCAN_REASON_NONE), 60000);
}

static void a_lost_mirror_is_no_longer_watched(void **state) {
        (void) state;
        begin(false);
        assert_int_equal(scan_schedule_watch_mirror(&schedule, &config), 0);
        (void) report(MIRROR, WATCH_ARMED, false);
        (void) report(MIRROR, WATCH_LOST, false);
        assert_false(scan_schedule_mirror_is_watched(&schedule));
        assert_true(schedule.mirror.dirty);
}

static void the_configuration_starts_and_stops_the_watch_on_the_source(void **state) {
        (void) state;
        begin(false);
        config.watch_source = false;
        assert_int_equal(scan_schedule_adjust(&schedule, &config, false), 0);
        assert_false(schedule.source.added);
        config.watch_source = true;
        assert_int_equal(scan_schedule_adjust(&schedule, &config, false), 0);
        assert_true(schedule.source.added);
}

/* ---- the next scan ---- */

static void at_rest_nothing_is_planned(void **state) {
        (void) state;
        begin(false);
        assert_int_equal(idle(SCAN_REASON_NONE), -1);
}

static void what_changed_is_scanned_when_it_can_have_settled(void **state) {
        (void) state;
        begin(false);
        assert_int_equal(idle(SCAN_REASON_NONE), -1);
        (void) report(SOURCE, WATCH_DIRTY, true);
        assert_int_equal(until_scan(), 3000);
        schedule.begun_usec -= 10 * USEC_PER_SEC; /* after a quiet time it comes soon */
        clock_timer_stop(&schedule.timer);
        (void) report(SOURCE, WATCH_DIRTY, true);
        assert_int_equal(until_scan(), 250);
}

static void a_change_of_the_mirror_comes_sooner_but_leaves_time_to_others(void **state) {
        (void) state;
        begin(false);
        schedule.effort_usec = 0;
        (void) report(MIRROR, WATCH_DIRTY, true);
        assert_int_equal(until_scan(), 50);
        schedule.effort_usec = USEC_PER_SEC;
        clock_timer_stop(&schedule.timer);
        scan_schedule_request(&schedule, true);
        assert_int_equal(until_scan(), 3000);
}

static void an_earlier_scan_is_not_put_off(void **state) {
        (void) state;
        begin(false);
        schedule.effort_usec = 0;
        scan_schedule_request(&schedule, true);
        assert_int_equal(until_scan(), 50);
        (void) report(SOURCE, WATCH_DIRTY, true);
        assert_int_equal(until_scan(), 50);
        assert_int_equal(idle(SCAN_REASON_NOW), 0);
}

static void while_it_is_not_idle_nothing_is_planned(void **state) {
        (void) state;
        begin(false);
        (void) report(SOURCE, WATCH_DIRTY, false);
        (void) report(MIRROR, WATCH_DIRTY, false);
        scan_schedule_request(&schedule, false);
        assert_int_equal(until_scan(), -1);
}

static void a_lost_source_is_tried_again_with_growing_pauses(void **state) {
        static const int64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };

        (void) state;
        begin(false);
        for (size_t i = 0; i < ELEMENTSOF(pauses); i++) {
                assert_int_equal(idle(SCAN_REASON_SOURCE_LOST), pauses[i]);
                (void) report(SOURCE, WATCH_DIRTY, true); /* means nothing now */
                assert_int_equal(until_scan(), pauses[i]);
                scan_schedule_scan_began(&schedule);
        }
        config.poll_usec = 5 * USEC_PER_SEC;
        assert_int_equal(idle(SCAN_REASON_SOURCE_LOST), 5000);
        scan_schedule_scan_began(&schedule);
        assert_int_equal(idle(SCAN_REASON_NONE), -1);
        assert_int_equal(idle(SCAN_REASON_SOURCE_LOST), 1000);
}

static void what_failed_is_tried_again(void **state) {
        (void) state;
        begin(false);
        assert_int_equal(idle(SCAN_REASON_HURT), 30000);
        scan_schedule_scan_began(&schedule);
        assert_int_equal(idle(SCAN_REASON_UNSETTLED), 3000);
}

static void polling_is_off_with_an_interval_of_zero(void **state) {
        (void) state;
        begin(true);
        assert_int_equal(idle(SCAN_REASON_NONE), 60000);
        scan_schedule_scan_began(&schedule);
        config.poll_usec = 0;
        assert_int_equal(idle(SCAN_REASON_NONE), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(the_first_scan_waits_until_the_source_is_watched),
                TEST(it_does_not_wait_where_nothing_is_watched),
                TEST(a_source_that_cannot_be_watched_is_scanned_and_polled),
                TEST(each_watch_has_its_own_reports),
                TEST(a_mirror_that_is_not_wholly_watched_is_decided_but_not_watched),
                TEST(a_lost_mirror_is_no_longer_watched),
                TEST(the_configuration_starts_and_stops_the_watch_on_the_source),
                TEST(at_rest_nothing_is_planned),
                TEST(what_changed_is_scanned_when_it_can_have_settled),
                TEST(a_change_of_the_mirror_comes_sooner_but_leaves_time_to_others),
                TEST(an_earlier_scan_is_not_put_off),
                TEST(while_it_is_not_idle_nothing_is_planned),
                TEST(a_lost_source_is_tried_again_with_growing_pauses),
                TEST(what_failed_is_tried_again),
                TEST(polling_is_off_with_an_interval_of_zero),
        };
        const char *what;
        int failed;

        ground_enter();
        if (watch_new(&watch, &what) < 0 || sd_event_default(&event) < 0)
                return EXIT_FAILURE;
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        watch = watch_free(watch);
        event = sd_event_unref(event);
        return failed;
}
