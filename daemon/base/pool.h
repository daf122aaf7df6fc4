/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Workers: each takes a job, runs it, and mails it back to the loop. */

#include "base/base.h"
#include "base/mailbox.h"

/* To be embedded as first member. The submitter owns it again when done() is called. */
typedef struct Job Job;
struct Job {
        Letter letter;           /* pool's, between submit and done */
        void (*run)(Job *job);   /* on a worker */
        void (*done)(Job *job);  /* on the loop */
};

typedef struct Pool Pool;

/* Starts @n_workers threads with all signals blocked. */
int pool_new(unsigned n_workers, Pool **ret);

/* Lets running jobs end and joins the workers; no job may be queued any more. */
Pool *pool_free(Pool *pool);
DEFINE_CLEANUP(Pool, pool_free)

/* How many there are to be: @configured, or if that is 0, as many as the machine is served well by. */
unsigned pool_choose_workers(unsigned configured);

unsigned pool_workers(Pool *pool);

/* Loop thread only. Jobs start in the order in which they were submitted. */
void pool_submit(Pool *pool, Job *job);

/* Jobs submitted and not yet done(). Loop thread only. */
size_t pool_busy(Pool *pool);

/* Readable when finished jobs wait for pool_dispatch(), which calls their done(). Loop thread only. */
int pool_get_fd(Pool *pool);
void pool_dispatch(Pool *pool);
