/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Worker threads: each takes a job from a queue, runs it, and sends it back to the loop. */

#include "base/base.h"
#include "base/mailbox.h"

/* Embed it as first member. The job belongs to the pool from pool_submit() on until done() is called. */
typedef struct Job Job;
struct Job {
        Letter letter;           /* for the pool */
        void (*run)(Job *job);   /* on a worker */
        void (*done)(Job *job);  /* on the loop */
};

typedef struct Pool Pool;

/* Starts @n_workers threads, with all signals blocked in them. */
int pool_new(unsigned n_workers, Pool **ret);

/* The same with threads of this nice value, for jobs that others should not feel. If the process is not allowed to set
 * it, they have that of the loop. */
int pool_new_nice(unsigned n_workers, int nice, Pool **ret);

/* Waits for running jobs to end and joins the workers; no job may be waiting in the queue. */
Pool *pool_free(Pool *pool);
DEFINE_CLEANUP(Pool, pool_free)

/* How many workers to start: @configured (Workers=), or if that is 0, a number that suits the processors. */
unsigned pool_choose_workers(unsigned configured);

unsigned pool_workers(Pool *pool);

/* Loop thread only. Jobs start in the order in which they were submitted. */
void pool_submit(Pool *pool, Job *job);

/* Readable when jobs have run and wait for pool_dispatch(), which calls their done(). Loop thread only. */
int pool_get_fd(Pool *pool);
void pool_dispatch(Pool *pool);
