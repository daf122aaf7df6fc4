/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Background work that comes up again and again. See base/periodic-job.h. */

#include "base/periodic-job.h"

static void on_worker(Job *job) {
        PeriodicJob *periodic = (PeriodicJob *) job;

        periodic->work(periodic->userdata);
}

static void on_return(Job *job) {
        PeriodicJob *periodic = (PeriodicJob *) job;

        periodic->running = false;
        periodic->finish(periodic->userdata);
}

bool periodic_job_start(PeriodicJob *job) {
        if (job->running || (job->prepare && !job->prepare(job->userdata)))
                return false;
        atomic_store(&job->stop, false);
        job->running = true;
        job->job = (Job){ .run = on_worker, .done = on_return };
        pool_submit(job->pool, &job->job);
        return true;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        PeriodicJob *job = userdata;

        if (!periodic_job_start(job))
                periodic_job_plan(job, job->retry_usec);
        return 0;
}

void periodic_job_plan(PeriodicJob *job, uint64_t usec) {
        job->timer.event = job->event;
        job->timer.handler = on_timer;
        job->timer.userdata = job;
        job->timer.accuracy_usec = job->accuracy_usec > 0 ? job->accuracy_usec : USEC_PER_SEC;
        (void) clock_timer_set_in(&job->timer, usec);
}

bool periodic_job_is_planned(const PeriodicJob *job) {
        uint64_t usec;

        return clock_timer_is_set(&job->timer, &usec);
}

void periodic_job_stop(PeriodicJob *job) {
        atomic_store(&job->stop, true);
}

void periodic_job_done(PeriodicJob *job) {
        clock_timer_done(&job->timer);
}
