/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* MetricsFile=: the metrics as a file, for the node exporter's textfile collector. Written by a job, whole (a
 * rename), when something in them has changed, at most every ten seconds, and once more at the end; so nothing wakes
 * up for it while nothing changes. What cannot be written is told once, and tried again with the next change.
 *
 * Loop thread only, but for what the job has while it is out. */

#include "base/base.h"
#include "base/pool.h"

#include <systemd/sd-event.h>

typedef struct MetricsFile {
        Job job;                        /* first */
        sd_event *event;                /* borrowed */
        Pool *pool;                     /* borrowed */
        char *(*render)(void *userdata); /* the metrics as they are now: a new string, NULL on ENOMEM */
        void (*ended)(void *userdata);  /* see metrics_file_end() */
        void *userdata;

        char *path;                     /* NULL: none */
        char *obsolete;                 /* a path of before, where the file has to go; NULL: none */
        char *written;                  /* what it has; NULL: not known */
        sd_event_source *timer;
        uint64_t due_usec;              /* not before */
        bool running, again;            /* a job is out; something has changed since */
        bool ending, last, late;        /* the end; its job was begun; it did not come back in time */
        int log_once;                       /* the error that was told, negative; 0: all is well */

        /* The job has these while it is out. */
        char *text, *job_path, *job_obsolete;
        int result;
} MetricsFile;

/* The fields above, up to userdata, are set by the caller; the rest is zeros. Not while a job is out. */
void metrics_file_done(MetricsFile *file);

/* Absolute; NULL or "" for none. A file that was written elsewhere before is removed: nobody would ever correct it.
 * 0 or -ENOMEM. */
int metrics_file_set_path(MetricsFile *file, const char *path);

/* Something may have changed. */
void metrics_file_touch(MetricsFile *file);

/* Writes for the last time. True when that is over, or it has not come to an end within a few seconds; else ended()
 * is called when this is to be asked again. */
bool metrics_file_end(MetricsFile *file);

/* A job hangs on its disk: the process can only end without it. */
bool metrics_file_is_stuck(const MetricsFile *file);
