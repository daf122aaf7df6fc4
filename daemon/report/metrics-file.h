/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* MetricsFile=: the metrics as a file, for the node exporter's textfile collector. A job writes it as a whole (by a
 * rename) when something in it has changed, at most every ten seconds, and once more at the end; so nothing wakes up
 * for it while nothing changes. A failure is logged once, and the next change is another attempt.
 *
 * Loop thread only, except for what the job has while it runs. */

#include "base/base.h"
#include "base/clock.h"
#include "base/pool.h"

typedef struct MetricsFile {
        Job job;                         /* first */
        sd_event *event;                 /* borrowed */
        Pool *pool;                      /* borrowed */
        char *(*render)(void *userdata); /* the metrics as they are now: a new string, NULL on ENOMEM */
        void (*ended)(void *userdata);   /* see metrics_file_end() */
        void *userdata;

        char *path;           /* NULL: none */
        char *obsolete;       /* an earlier path, where the file has to be removed; NULL: none */
        char *written;        /* what the file contains; NULL: not known */
        ClockTimer timer;     /* until due_usec; after metrics_file_end() until the last write is too late */
        uint64_t due_usec;    /* it is not written before; CLOCK_MONOTONIC */
        bool running;         /* a job runs */
        bool changed;         /* something has changed since it was begun */
        bool ending;          /* metrics_file_end() was called, */
        bool last, late;      /* the last job was begun, and did not end in time */
        int reported_error;   /* the failure that was logged, a negative errno; 0: the last write succeeded */

        /* The job has these while it runs. */
        char *text, *job_path, *job_obsolete;
        int result;
} MetricsFile;

/* The caller sets the fields up to userdata; the rest begins as zeros. metrics_file_done() not while a job runs. */
void metrics_file_done(MetricsFile *file);

/* An absolute path; NULL or "" for none. A file at an earlier path is removed, because its metrics would never change
 * again. 0 or -ENOMEM. */
int metrics_file_set_path(MetricsFile *file, const char *path);

/* Something may have changed. */
void metrics_file_touch(MetricsFile *file);

/* Writes for the last time. True when that is done, or has not ended within a few seconds; else ended() is called when
 * it is time to ask again. */
bool metrics_file_end(MetricsFile *file);

/* A job still waits for its disk: the process has to end without it. */
bool metrics_file_is_stuck(const MetricsFile *file);
