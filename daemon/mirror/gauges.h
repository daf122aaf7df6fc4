/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Figures for the status and the metrics that take some counting: how much is in the trash on disk, and how much of
 * the mirror is on swap. A saver counts the trash when something may have changed it, and swap when a status is
 * requested and swap is in use at all. Nobody waits for either: a status has the last figure that is known. Loop
 * thread only, except for what the job has. */

#include "base/base.h"
#include "base/periodic-job.h"
#include "config/config.h"
#include "save/disk.h"

/* The caller fills in what is above the line, and of .job the .pool. */
typedef struct Gauges {
        PeriodicJob job;               /* never planned: on demand only */
        const MirrorConfig *config;    /* borrowed */
        void (*ended)(void *userdata); /* the job is over */
        void *userdata;
        /* --- */
        uint64_t trash_key;            /* of the last count, or the one under way */
        bool trash_counted;
        uint64_t swap_usec;            /* when swap was counted last; monotonic */
        uint64_t trash_bytes, trash_files, swapped_bytes; /* the last figures; UINT64_MAX: not known */
        /* The job has these while it runs. */
        Disk disk;                     /* .rootfd -1: do not count the trash */
        int mirrorfd;                  /* our own; -1: do not count what is on swap */
        int trash_result, swap_result;
        uint64_t bytes, files, swapped;
} Gauges;

void gauges_init(Gauges *gauges);
/* Not while a worker has the job. */
void gauges_done(Gauges *gauges);

/* Counts the trash if @key is not the same as the last time. @sourcefd: -1 for none. */
void gauges_count_trash(Gauges *gauges, int sourcefd, uint64_t key);

/* Counts what is on swap, unless that was done a moment ago. */
void gauges_count_swap(Gauges *gauges, int mirrorfd);
