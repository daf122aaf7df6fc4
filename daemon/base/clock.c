/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The time, and timers. See base/clock.h. */

#include "base/clock.h"

uint64_t clock_usec(clockid_t clock) {
        struct timespec now;

        (void) clock_gettime(clock, &now); /* cannot fail for the clocks that the header names */
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

uint64_t clock_now(sd_event *event) {
        uint64_t now;

        /* It fails only after the loop has ended, when no handler is called any more. */
        return sd_event_now(event, CLOCK_MONOTONIC, &now) < 0 ? clock_usec(CLOCK_MONOTONIC) : now;
}

int clock_timer_set(ClockTimer *timer, uint64_t usec) {
        int r;

        if (usec == UINT64_MAX) {
                clock_timer_stop(timer);
                return 0;
        }
        if (!timer->source)
                return sd_event_add_time(timer->event, &timer->source, CLOCK_MONOTONIC, usec, timer->accuracy_usec,
                                         timer->handler, timer->userdata);
        r = sd_event_source_set_time(timer->source, usec);
        return r < 0 ? r : sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

int clock_timer_set_in(ClockTimer *timer, uint64_t usec) {
        uint64_t now = clock_now(timer->event);

        return clock_timer_set(timer, usec >= UINT64_MAX - now ? UINT64_MAX : now + usec);
}

void clock_timer_stop(ClockTimer *timer) {
        if (timer->source)
                (void) sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
}

bool clock_timer_is_set(const ClockTimer *timer, uint64_t *ret_usec) {
        int enabled = SD_EVENT_OFF;

        if (!timer->source || sd_event_source_get_enabled(timer->source, &enabled) < 0 || enabled == SD_EVENT_OFF)
                return false;
        return sd_event_source_get_time(timer->source, ret_usec) >= 0;
}

void clock_timer_done(ClockTimer *timer) {
        timer->source = sd_event_source_disable_unref(timer->source);
}
