/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What has been in the trash on disk for longer than TrashKeep= leaves it, also of a daemon that is never stopped.
 * That the trash makes way for what is new when the disk is full is not decided here: see save/writeback.c. Loop
 * thread only; the work is a job. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"

#include <systemd/sd-event.h>

typedef struct TrashExpiry {
        sd_event *event;            /* borrowed */
        Pool *pool;                 /* borrowed */
        const MirrorConfig *config; /* borrowed; what the job reads is copied */
        void (*ended)(void *userdata); /* a job came back */
        void *userdata;
        const int *sourcefd;        /* borrowed; -1 while there is no source */

        sd_event_source *timer;
        bool running;
        uint64_t n_runs;            /* that came to their end */
} TrashExpiry;

void trash_expiry_done(TrashExpiry *trash);

/* Something may have been put there: plans the next emptying, if none is planned. After that it goes on by itself
 * until the trash is empty. */
void trash_expiry_update(TrashExpiry *trash);
