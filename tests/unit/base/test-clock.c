/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Times of the loop, and timers that fire once for each time that they are set. */

#include "base/clock.h"
#include "ground.h"

static sd_event *event;
static unsigned fired;
static uint64_t fired_at;

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        assert_ptr_equal(userdata, &fired);
        fired++;
        fired_at = clock_usec(CLOCK_MONOTONIC);
        return 0;
}

static int setup(void **state) {
        (void) state;
        fired = 0;
        return sd_event_new(&event);
}

static int teardown(void **state) {
        (void) state;
        event = sd_event_unref(event);
        return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static ClockTimer make_timer(void) {
        return (ClockTimer){ .event = event, .handler = on_timer, .userdata = &fired, .accuracy_usec = 1 };
}

/* Turns the loop until nothing has happened for @usec. */
static void run_loop(uint64_t usec) {
        int r;

        while ((r = sd_event_run(event, usec)) > 0)
                ;
        assert_int_equal(r, 0);
}

static void a_clock_counts_microseconds_of_what_it_is_asked_for(void **state) {
        struct timespec before, after;
        uint64_t usec;

        (void) state;
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &before), 0);
        usec = clock_usec(CLOCK_REALTIME);
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &after), 0);
        assert_true(usec >= (uint64_t) before.tv_sec * USEC_PER_SEC + (uint64_t) before.tv_nsec / 1000);
        assert_true(usec <= (uint64_t) after.tv_sec * USEC_PER_SEC + (uint64_t) after.tv_nsec / 1000);
        assert_true(clock_usec(CLOCK_MONOTONIC) <= clock_usec(CLOCK_MONOTONIC));
}

static uint64_t seen_first, seen_last;

static int read_twice(sd_event_source *source, void *userdata) {
        uint64_t start = clock_usec(CLOCK_MONOTONIC);

        (void) source;
        (void) userdata;
        seen_first = clock_now(event);
        while (clock_usec(CLOCK_MONOTONIC) < start + 2000)
                ;
        seen_last = clock_now(event);
        return 0;
}

static void one_iteration_of_the_loop_has_one_time(void **state) {
        sd_event_source *source = NULL;

        (void) state;
        assert_int_equal(sd_event_add_defer(event, &source, read_twice, NULL), 0);
        run_loop(0);
        assert_true(seen_first > 0);
        assert_true(seen_first == seen_last);
        sd_event_source_unref(source);
}

static void a_timer_fires_once_and_not_before_its_time(void **state) {
        ClockTimer timer = make_timer();
        uint64_t wanted = clock_usec(CLOCK_MONOTONIC) + 20000, when = 0;

        (void) state;
        assert_false(clock_timer_is_set(&timer, &when));
        assert_int_equal(clock_timer_set(&timer, wanted), 0);
        assert_true(clock_timer_is_set(&timer, &when));
        assert_true(when == wanted);
        run_loop(100000);
        assert_int_equal(fired, 1);
        assert_true(fired_at >= wanted);
        assert_false(clock_timer_is_set(&timer, &when));
        clock_timer_done(&timer);
}

static void a_timer_can_be_set_again_after_it_fired(void **state) {
        ClockTimer timer = make_timer();

        (void) state;
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(clock_timer_set_in(&timer, 0), 0);
                run_loop(50000);
                assert_int_equal(fired, i);
        }
        clock_timer_done(&timer);
}

static void a_new_time_replaces_the_one_before(void **state) {
        ClockTimer timer = make_timer();
        uint64_t now = clock_usec(CLOCK_MONOTONIC), when = 0;

        (void) state;
        assert_int_equal(clock_timer_set(&timer, now), 0);
        assert_int_equal(clock_timer_set(&timer, now + USEC_PER_SEC * 3600), 0);
        run_loop(20000);
        assert_int_equal(fired, 0);
        assert_true(clock_timer_is_set(&timer, &when));
        assert_true(when == now + USEC_PER_SEC * 3600);
        assert_int_equal(clock_timer_set(&timer, now), 0);
        run_loop(20000);
        assert_int_equal(fired, 1);
        clock_timer_done(&timer);
}

static void the_greatest_time_and_a_stop_are_never(void **state) {
        ClockTimer timer = make_timer();
        uint64_t when;

        (void) state;
        clock_timer_stop(&timer); /* one that was never set */
        assert_int_equal(clock_timer_set(&timer, UINT64_MAX), 0);
        assert_null(timer.source);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(clock_timer_set_in(&timer, 0), 0);
                if (i == 0)
                        assert_int_equal(clock_timer_set(&timer, UINT64_MAX), 0);
                else if (i == 1)
                        assert_int_equal(clock_timer_set_in(&timer, UINT64_MAX - 1), 0); /* would overflow */
                else
                        clock_timer_stop(&timer);
                assert_false(clock_timer_is_set(&timer, &when));
        }
        run_loop(20000);
        assert_int_equal(fired, 0);
        clock_timer_done(&timer);
}

static void a_timer_that_is_done_does_not_fire_and_can_be_done_again(void **state) {
        ClockTimer timer = make_timer();
        uint64_t when;

        (void) state;
        assert_int_equal(clock_timer_set_in(&timer, 0), 0);
        clock_timer_done(&timer);
        clock_timer_done(&timer);
        assert_false(clock_timer_is_set(&timer, &when));
        run_loop(20000);
        assert_int_equal(fired, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_clock_counts_microseconds_of_what_it_is_asked_for),
                CASE(one_iteration_of_the_loop_has_one_time),
                CASE(a_timer_fires_once_and_not_before_its_time),
                CASE(a_timer_can_be_set_again_after_it_fired),
                CASE(a_new_time_replaces_the_one_before),
                CASE(the_greatest_time_and_a_stop_are_never),
                CASE(a_timer_that_is_done_does_not_fire_and_can_be_done_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
