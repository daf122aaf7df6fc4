/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The time, and timers of the event loop. All times are in microseconds. */

#include "base/base.h"

#include <systemd/sd-event.h>
#include <time.h>

/* The time of CLOCK_MONOTONIC, CLOCK_REALTIME or another clock that cannot fail. Any thread. */
uint64_t clock_usec(clockid_t clock);

/* CLOCK_MONOTONIC as of the moment at which the loop woke up, so that all events of one iteration have the same time.
 * Loop thread. */
uint64_t clock_now(sd_event *event);

/* A timer that fires once for each time that it is set. Begins as zeros, with the fields above the line filled in.
 * Loop thread only. */
typedef struct ClockTimer {
        sd_event *event;                 /* borrowed */
        sd_event_time_handler_t handler;
        void *userdata;
        uint64_t accuracy_usec;          /* 0: the default of sd-event, 250 ms */
        /* --- */
        sd_event_source *source;         /* created when the timer is first set */
} ClockTimer;

/* Sets the timer to @usec (CLOCK_MONOTONIC) in place of an earlier time; UINT64_MAX stops it. 0, or a negative errno
 * with the timer stopped. */
int clock_timer_set(ClockTimer *timer, uint64_t usec);

/* The same with a time from clock_now() on. */
int clock_timer_set_in(ClockTimer *timer, uint64_t usec);

void clock_timer_stop(ClockTimer *timer);

/* True if it is set and has not fired yet; then *ret_usec is when it fires. */
bool clock_timer_is_set(const ClockTimer *timer, uint64_t *ret_usec);

void clock_timer_done(ClockTimer *timer);
