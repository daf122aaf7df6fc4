/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The phases that a real mirror goes through, from its start to each of its ends. */

#include "ground.h"
#include "live.h"

#include <sys/epoll.h>

/* Every change of phase since live_start(), as "attaching arming ...". */
static char phases[4096];
static MirrorPhase last;

static void on_changed(Mirror *mirror, void *userdata) {
        (void) userdata;
        if (mirror->phase != last)
                (void) snprintf(phases + strlen(phases), sizeof(phases) - strlen(phases), " %s",
                                mirror_phase_name(mirror->phase));
        last = mirror->phase;
}

/* As live_start(), and writes down the phases. */
static void start(const char *lines) {
        (void) strcpy(phases, "attaching");
        last = PHASE_ATTACHING;
        live_start(lines);
        live_context.changed = on_changed;
}

static void assert_ended(MirrorState state, const char *expected) {
        live_wait(live_is_over, NULL, "the end");
        assert_int_equal(mirror_state(live_mirror), state);
        assert_string_equal(phases, expected);
}

static bool is_in(void *userdata) {
        return live_mirror->phase == *(MirrorPhase *) userdata;
}

static void wait_for(MirrorPhase phase) {
        live_wait(is_in, &phase, mirror_phase_name(phase));
}

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("source");
        make_directory("mirror");
        put_text("source/a", "content");
        (void) usleep(50000); /* else it may be so new that its times prove nothing, and it is seen again */
        return 0;
}

static int teardown(void **state) {
        if (live_mirror)
                live_end();
        return ground_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#define START "attaching arming scanning planned staging recording guarding idle"
/* becoming idle asks for a scan, by which changes from before the mirror was watched are found */
#define SETTLED START " scanning planned staging idle"
#define LAST_SCAN " last-scan-due last-scan saving-rest draining"
#define REMOVAL " removing detaching"

static void settle(void) {
        live_settle();
        wait_for(PHASE_SCANNING);
        wait_for(PHASE_IDLE);
        assert_string_equal(phases, SETTLED);
}

static void a_stop_ends_with_a_last_scan_and_the_removal(void **state) {
        (void) state;
        start("WriteBack=yes");
        settle();
        mirror_stop(live_mirror);
        assert_ended(MIRROR_STOPPED, SETTLED LAST_SCAN REMOVAL " stopped");
        assert_false(is_there("mirror/a"));
}

static void without_write_back_the_last_scan_finds_what_was_written(void **state) {
        (void) state;
        start("WriteBack=no");
        settle();
        mirror_stop(live_mirror);
        assert_ended(MIRROR_STOPPED, SETTLED LAST_SCAN REMOVAL " stopped");
}

static void a_mirror_that_is_kept_is_detached_without_removal(void **state) {
        (void) state;
        start("WriteBack=no\nRemoveOnStop=no");
        settle();
        mirror_stop(live_mirror);
        assert_ended(MIRROR_STOPPED, SETTLED " draining detaching stopped");
        assert_true(is_there("mirror/a"));
        assert_int_equal(umount("mirror"), 0);
}

static void a_stop_while_the_plan_waits_ends_it(void **state) {
        (void) state;
        start("WriteBack=yes");
        live_wait(live_is_planned, NULL, "a plan");
        mirror_stop(live_mirror);
        assert_ended(MIRROR_STOPPED, "attaching arming scanning planned" LAST_SCAN REMOVAL " stopped");
}

static void a_stop_while_a_job_is_out_waits_for_it(void **state) {
        (void) state;
        start("WriteBack=yes");
        mirror_stop(live_mirror);
        assert_int_equal(live_mirror->phase, PHASE_ATTACHING);
        assert_true(mirror_state_is_stopping(live_mirror));
        assert_ended(MIRROR_STOPPED, "attaching" LAST_SCAN REMOVAL " stopped");
}

static void a_start_without_a_source_fails(void **state) {
        (void) state;
        assert_int_equal(rename("source", "elsewhere"), 0);
        start("WriteBack=yes");
        assert_ended(MIRROR_FAILED, "attaching draining detaching failed");
        assert_non_null(mirror_status(live_mirror).problem);
        mirror_stop(live_mirror);
        assert_int_equal(mirror_state(live_mirror), MIRROR_FAILED);
}

static void a_start_that_does_not_fit_fails(void **state) {
        (void) state;
        shell("head -c 70M /dev/urandom > source/big");
        start("OnNoRoom=fail");
        live_wait(live_is_planned, NULL, "a plan");
        assert_false(mirror_fits(live_mirror));
        assert_ended(MIRROR_FAILED, "attaching arming scanning planned draining detaching failed");
}

static bool is_found(void *userdata) {
        (void) userdata;
        return !live_mirror->lost;
}

static void a_lost_source_is_waited_for_in_idle(void **state) {
        (void) state;
        start("WriteBack=yes");
        settle();
        assert_int_equal(rename("source", "elsewhere"), 0);
        wait_for(PHASE_SCANNING);
        wait_for(PHASE_IDLE);
        assert_string_equal(phases, SETTLED " scanning idle");
        assert_true(live_mirror->lost);
        assert_int_equal(rename("elsewhere", "source"), 0);
        live_wait(is_found, NULL, "the source");
        wait_for(PHASE_IDLE);
        assert_string_equal(phases + strlen(phases) - strlen(" scanning planned staging idle"),
                            " scanning planned staging idle");
}

#define LOST SETTLED " scanning" LAST_SCAN " detaching"

static void a_mirror_that_was_unmounted_is_attached_again(void **state) {
        (void) state;
        start("WriteBack=yes");
        settle();
        assert_int_equal(umount2("mirror", MNT_DETACH), 0);
        wait_for(PHASE_LAST_SCAN_DUE);
        assert_true(mirror_state_is_being_recreated(live_mirror));
        live_settle();
        assert_int_equal(strncmp(phases, LOST " " START, strlen(LOST " " START)), 0);
        assert_int_equal(live_mirror->end.reason, END_NONE);
        assert_true(is_there("mirror/a"));
}

static void a_stop_during_the_recreation_ends_it(void **state) {
        (void) state;
        start("WriteBack=yes");
        settle();
        assert_int_equal(umount2("mirror", MNT_DETACH), 0);
        wait_for(PHASE_DETACHING);
        mirror_stop(live_mirror);
        assert_ended(MIRROR_STOPPED, LOST " stopped");
}

static void the_end_waits_for_a_recheck(void **state) {
        (void) state;
        start("WriteBack=no");
        settle();
        mirror_recheck_began(live_mirror);
        mirror_stop(live_mirror);
        wait_for(PHASE_DRAINING);
        assert_int_equal(sd_event_run(live_event, 0) >= 0, true);
        assert_int_equal(live_mirror->phase, PHASE_DRAINING);
        mirror_recheck_ended(live_mirror);
        assert_ended(MIRROR_STOPPED, SETTLED LAST_SCAN REMOVAL " stopped");
}

static void an_abandoned_mirror_stays_failed(void **state) {
        (void) state;
        start("WriteBack=no");
        settle();
        mirror_recheck_began(live_mirror);
        mirror_stop(live_mirror);
        mirror_abandon(live_mirror);
        assert_ended(MIRROR_FAILED, SETTLED " last-scan-due failed");
        mirror_state_set(live_mirror, PHASE_DETACHING);
        assert_ended(MIRROR_FAILED, SETTLED " last-scan-due failed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_stop_ends_with_a_last_scan_and_the_removal),
                TEST(without_write_back_the_last_scan_finds_what_was_written),
                TEST(a_mirror_that_is_kept_is_detached_without_removal),
                TEST(a_stop_while_the_plan_waits_ends_it),
                TEST(a_stop_while_a_job_is_out_waits_for_it),
                TEST(a_start_without_a_source_fails),
                TEST(a_start_that_does_not_fit_fails),
                TEST(a_lost_source_is_waited_for_in_idle),
                TEST(a_mirror_that_was_unmounted_is_attached_again),
                TEST(a_stop_during_the_recreation_ends_it),
                TEST(the_end_waits_for_a_recheck),
                TEST(an_abandoned_mirror_stays_failed),
        };
        int failed;

        ground_enter();
        live_enter();
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        live_leave();
        return failed;
}
