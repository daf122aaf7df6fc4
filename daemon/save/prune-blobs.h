/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What clients deleted of shared content (Ollama's blobs): it leaves the disk when, after SweepDelay=, no pointer of
 * the whole store names it any more, and every pointer there can be understood. Mark and sweep, because a client
 * counts only the references that it sees in the mirror. Loop thread only; the work is a job. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"
#include "tree/manifest.h"

#include <systemd/sd-event.h>

typedef struct BlobPruner {
        sd_event *event;            /* borrowed */
        Pool *pool;                 /* borrowed */
        const MirrorConfig *config; /* borrowed; what the job reads is copied */
        bool (*may_run)(void *userdata); /* nothing is on its way to the disk */
        void (*ended)(void *userdata);   /* a job came back */
        void *userdata;

        sd_event_source *timer;
        Manifest *condemned;        /* entries as on disk, inode not known; NULL: none */
        uint64_t due_usec;          /* after the one that came last */
        LayoutKind layout;
        int sourcefd;               /* borrowed */
        bool running;
        size_t n_removed;           /* blobs, in all */
        char *unsure;               /* the pointer that was told not to be understood */
} BlobPruner;

void prune_blobs_done(BlobPruner *pruner);

/* Reads what is condemned from @base, and plans accordingly. Something new puts it off for all. */
void prune_blobs_update(BlobPruner *pruner, const Manifest *base, LayoutKind layout, int sourcefd);
