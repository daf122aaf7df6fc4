/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The state of the daemon, from what the manager knows and the states of the mirrors. */

#include "control/status.h"
#include "ground.h"

static MirrorStatus mirror(MirrorState state) {
        return (MirrorStatus){ .name = "m", .state = state, .ready = state == MIRROR_IDLE, .files = 2, .bytes = 10, .n_unsaved = 1, .unsaved_bytes = 3 };
}

static void assert_state(const char *state, ControlState manager, MirrorState first, MirrorState second) {
        const MirrorStatus mirrors[] = { mirror(first), mirror(second) };

        assert_string_equal(control_status_facts(&manager, mirrors, ELEMENTSOF(mirrors)).state, state);
}

static void the_state_is_that_of_the_mirrors_until_the_daemon_is_ready(void **state) {
        (void) state;
        assert_state("starting", (ControlState){}, MIRROR_SCANNING, MIRROR_PLANNED);
        assert_state("staging", (ControlState){}, MIRROR_IDLE, MIRROR_STAGING);
        assert_state("ready", (ControlState){ .ready = true }, MIRROR_IDLE, MIRROR_IDLE);
        assert_state("degraded", (ControlState){ .ready = true }, MIRROR_IDLE, MIRROR_FAILED);
        assert_state("reloading", (ControlState){ .ready = true, .reloading = true }, MIRROR_IDLE, MIRROR_STAGING);
}

static void at_the_end_it_says_what_is_still_done(void **state) {
        const ControlState stopping = { .ready = true, .stopping = true };

        (void) state;
        assert_state("saving", stopping, MIRROR_SAVING, MIRROR_REMOVING);
        assert_state("removing", stopping, MIRROR_REMOVING, MIRROR_STOPPED);
        assert_state("removing", stopping, MIRROR_FAILED, MIRROR_REMOVING);
        assert_state("failed", stopping, MIRROR_FAILED, MIRROR_STOPPED);
        assert_state("failed", (ControlState){}, MIRROR_FAILED, MIRROR_FAILED);
}

static void sums_are_of_all_mirrors_and_a_daemon_that_stops_is_not_ready(void **state) {
        const MirrorStatus mirrors[] = { mirror(MIRROR_IDLE), mirror(MIRROR_IDLE) };
        ControlFacts facts = control_status_facts(&(ControlState){ .ready = true }, mirrors, 2);

        (void) state;
        assert_true(facts.ready && !facts.degraded);
        assert_int_equal(facts.files, 4);
        assert_int_equal(facts.bytes, 20);
        assert_int_equal(facts.unsaved, 2);
        assert_int_equal(facts.unsaved_bytes, 6);
        assert_false(control_status_facts(&(ControlState){ .ready = true, .stopping = true }, mirrors, 2).ready);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_state_is_that_of_the_mirrors_until_the_daemon_is_ready),
                cmocka_unit_test(at_the_end_it_says_what_is_still_done),
                cmocka_unit_test(sums_are_of_all_mirrors_and_a_daemon_that_stops_is_not_ready),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
