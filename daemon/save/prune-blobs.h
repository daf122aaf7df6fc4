/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Shared content that clients deleted (Ollama's blobs): it is removed from the disk when, after SweepDelay=, no
 * pointer of the whole store references it any more and every pointer there can be understood. Mark and sweep,
 * because a client counts only the references that it sees in the mirror. Loop thread only, except for what the job
 * has. */

#include "base/base.h"
#include "base/periodic-job.h"
#include "config/config.h"
#include "save/disk.h"
#include "tree/manifest.h"

/* The caller fills in what is above the line, and of .job the .event and the .pool. */
typedef struct BlobPruner {
        PeriodicJob job;
        const MirrorConfig *config;      /* borrowed */
        bool (*may_run)(void *userdata); /* nothing is on its way to the disk */
        void (*ended)(void *userdata);   /* a run is over */
        void *userdata;
        /* --- */
        Manifest *marked;                /* for deletion: entries as on disk, inode not known; NULL: none */
        LayoutKind layout;
        int sourcefd;                    /* borrowed */
        size_t n_removed;                /* blobs, in all */
        char *unclear;                   /* the pointer that was logged as not understood; NULL */
        /* The job has these while it runs. */
        Disk disk;
        LayoutKind disk_layout;
        bool trash;
        Manifest *candidates;            /* what was marked when the run began */
        /* results */
        int result;                      /* of unreferenced_find() */
        char *unclear_now;
        size_t n_removed_now;
        uint64_t bytes_now;
} BlobPruner;

void prune_blobs_init(BlobPruner *pruner);
/* Not while a worker has the job. */
void prune_blobs_done(BlobPruner *pruner);

/* Takes over from @base what is marked for deletion, and plans the next run. A blob that is marked for the first time
 * starts the delay again for all of them. */
void prune_blobs_update(BlobPruner *pruner, const Manifest *base, LayoutKind layout, int sourcefd);
