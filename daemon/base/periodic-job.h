/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Background work that comes up again and again: a job for a worker that runs after a pause or on demand, and never
 * twice at the same time. To be embedded in what it works on. Loop thread only, except for work(). */

#include "base/base.h"
#include "base/clock.h"
#include "base/pool.h"

#include <stdatomic.h>

/* Begins as zeros with what is above the line filled in. */
typedef struct PeriodicJob {
        Job job;                         /* first; the pool's while it runs */
        sd_event *event;                 /* borrowed; may be NULL if it is never planned */
        Pool *pool;                      /* borrowed */
        bool (*prepare)(void *userdata); /* collects what work() needs; false: not now. NULL: always ready */
        void (*work)(void *userdata);    /* on a worker */
        void (*finish)(void *userdata);  /* on the loop, no longer running: may plan or start the next run */
        void *userdata;
        uint64_t retry_usec;             /* a planned run that cannot start is tried again after this */
        uint64_t accuracy_usec;          /* so much later may a planned run start; 0: 1 s, nobody waits for it */
        /* --- */
        ClockTimer timer;
        bool running;
        atomic_bool stop;                /* work() should return soon; any thread may read it */
} PeriodicJob;

/* Starts it @usec from now, instead of when it was planned before; UINT64_MAX: not at all. Without memory for the
 * timer it does not run. */
void periodic_job_plan(PeriodicJob *job, uint64_t usec);
bool periodic_job_is_planned(const PeriodicJob *job);

/* Starts it now. False if it is running already or cannot run now. */
bool periodic_job_start(PeriodicJob *job);

/* Asks the run that is under way to end early; finish() is called all the same. */
void periodic_job_stop(PeriodicJob *job);

/* Drops what is planned. Not while a worker has it. */
void periodic_job_done(PeriodicJob *job);
