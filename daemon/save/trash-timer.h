/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Removes from the trash on disk what has been there for longer than TrashKeep= allows, also while the daemon runs
 * for months. That the trash makes room for new files on a full disk is another matter: see disk_make_room(). Loop
 * thread only, except for what the job has. */

#include "base/base.h"
#include "base/periodic-job.h"
#include "config/config.h"
#include "save/disk.h"

/* The caller fills in what is above the line, and of .job the .event and the .pool. */
typedef struct TrashTimer {
        PeriodicJob job;
        const MirrorConfig *config;    /* borrowed */
        const int *sourcefd;           /* borrowed; -1 while there is no source */
        void (*ended)(void *userdata); /* a run is over */
        void *userdata;
        /* --- */
        uint64_t n_runs;               /* that are over */
        /* The job has these while it runs. */
        Disk disk;
        uint64_t keep_usec;
        bool left;                     /* result: something is still in the trash */
} TrashTimer;

void trash_timer_init(TrashTimer *expiry);
/* Not while a worker has the job. */
void trash_timer_done(TrashTimer *expiry);

/* Something may have been put into the trash: plans a run, if none is planned. From then on it goes on by itself until
 * the trash is empty. */
void trash_timer_update(TrashTimer *expiry);
