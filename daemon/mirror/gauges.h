/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What has to be counted before it can be told: the trash on disk, and what of the mirror is on swap. A saver counts
 * it, when something may have changed it (the trash) or when somebody asks and swap is in use at all; nobody waits
 * for it, and what is told is the last that is known. Loop thread only, but for what the job has while it is out. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"

#include <stdatomic.h>

typedef struct Gauges {
        Job job;                       /* first */
        Pool *pool;                    /* borrowed */
        const MirrorConfig *config;    /* borrowed; what the job reads is copied */
        void (*ended)(void *userdata); /* the job came back */
        void *userdata;

        bool running;
        uint64_t trash_key;            /* of the count at hand, or the last one */
        bool trash_counted;
        uint64_t swap_usec;            /* when that was counted last; monotonic */
        uint64_t trash_bytes, trash_files, swapped_bytes; /* the last that is known; UINT64_MAX: nothing */

        /* The job has these while it is out. */
        char *name;
        int sourcefd, mirrorfd;        /* our own; -1: not to be looked at */
        atomic_bool cancel;
        int trash_result, swap_result;
        uint64_t bytes, files, swapped;
} Gauges;

void gauges_init(Gauges *gauges);
/* Not while the job is out. */
void gauges_done(Gauges *gauges);

/* Counts the trash anew if @key is another one than at the last time. @sourcefd: -1 for none. */
void gauges_count_trash(Gauges *gauges, int sourcefd, uint64_t key);

/* Somebody asks for what is on swap. */
void gauges_ask_swap(Gauges *gauges, int mirrorfd);

/* The job, if it is out, is to come back soon. */
void gauges_stop(Gauges *gauges);
