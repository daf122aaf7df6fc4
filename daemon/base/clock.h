/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The time, and timers of the event loop. All times are microseconds. */

#include "base/base.h"

#include <systemd/sd-event.h>
#include <time.h>

/* The time of CLOCK_MONOTONIC, CLOCK_REALTIME or another clock that cannot fail. Any thread. */
uint64_t clock_usec(clockid_t clock);

/* CLOCK_MONOTONIC as the loop saw it when it woke up: what happens in one turn happens at one time. Loop thread. */
uint64_t clock_now(sd_event *event);

/* A timer that fires once for each time that it is set. Begins as zeros with what is above the line filled in; loop
 * thread only. */
typedef struct ClockTimer {
        sd_event *event;                 /* borrowed */
        sd_event_time_handler_t handler;
        void *userdata;
        uint64_t accuracy_usec;          /* 0: what sd-event takes by default, 250 ms */
        /* --- */
        sd_event_source *source;         /* made when the timer is first set */
} ClockTimer;

/* Fires at @usec (CLOCK_MONOTONIC), instead of whenever it was set to; UINT64_MAX: not at all. 0 or a negative
 * errno: then it does not fire. */
int clock_timer_set(ClockTimer *timer, uint64_t usec);

/* Fires @usec from now; UINT64_MAX: not at all. */
int clock_timer_set_in(ClockTimer *timer, uint64_t usec);

void clock_timer_stop(ClockTimer *timer);

/* Whether it is set and has not fired, and when it fires. */
bool clock_timer_is_set(const ClockTimer *timer, uint64_t *ret_usec);

void clock_timer_done(ClockTimer *timer);
