/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* When a source is looked at again: at once after a change, then not before it can have held still; from time to time where no
 * change is reported; and never where the configuration says so. Loop thread only. */

#include "base/base.h"
#include "config/config.h"
#include "tree/watch.h"

#include <systemd/sd-event.h>

typedef struct Lookout {
        sd_event *event;           /* borrowed */
        Watch *watch;              /* borrowed */
        unsigned number;           /* of the mirror: its source is root 2n for the watch, its target 2n + 1 */
        void (*look)(void *userdata); /* it is time; not called again before lookout_rest() */
        void *userdata;
        sd_event_source *timer;    /* owned */
        uint64_t looked_usec;      /* when the last look began */
        bool eventless;            /* the filesystem reports nothing: poll */
        bool watched;              /* watch_add() has been called */
        bool armed;                /* a look misses nothing from now on */
        bool broken;               /* the watch has ended with the directory that it was on */
        bool exhausted;            /* the kernel allows no more watches: poll */
        bool dirty;                /* something was reported of the source since the last look began */
        bool mirror_dirty;         /* likewise of the mirror */
        bool lost;                 /* the source */
        unsigned n_lost;           /* so many looks in a row did not find it */
        uint64_t effort_usec;      /* what the last look took: looks leave so much time, and more, to others */

        /* The watch on the mirror, from when it is complete. */
        bool guarded;              /* watch_add() has been called */
        bool guard_armed;          /* every change of the mirror is reported from now on */
        bool guard_blind;          /* the kernel allows no more watches: the mirror is polled, and deletions in it are not seen */
        bool guard_lost;           /* the mirror was unmounted, moved or removed */
} Lookout;

/* Starts to watch, if that is wanted and possible. The first look() comes when all is watched; or from within, where nothing is. Returns a
 * negative errno if the watch could not be had, which is survived by polling. */
int lookout_begin(Lookout *lookout, const MirrorConfig *config, bool eventless);

/* The watch goes by what the configuration says now. Restarts it with @anew, after the source was replaced. */
int lookout_adjust(Lookout *lookout, const MirrorConfig *config, bool anew);

/* Takes a report. Positive if it is the first to say that there are no more watches. */
int lookout_notice(Lookout *lookout, const MirrorConfig *config, const WatchReport *report, bool resting);

/* Starts to watch the mirror. lookout_is_guarding() when that is settled, one way or another; it is told by a report. A negative errno if the watch could not be had, which is
 * survived by polling. */
int lookout_guard(Lookout *lookout, const MirrorConfig *config);
bool lookout_is_guarding(const Lookout *lookout);
void lookout_end_guard(Lookout *lookout);

/* Somebody knows that something is not as it was seen. */
void lookout_ask(Lookout *lookout, bool resting);

/* A look begins now, or has come back. */
void lookout_begun(Lookout *lookout);
void lookout_came_back(Lookout *lookout);

/* Nothing is being done: plans the next look, if there is to be one. */
typedef enum LookoutReason {
        LOOKOUT_AT_REST,
        LOOKOUT_UNSETTLED, /* something did not hold still */
        LOOKOUT_HURT,      /* something may come right by itself */
        LOOKOUT_LOST,      /* the source is not there: what is reported of it means nothing */
        LOOKOUT_NOW,       /* somebody asked */
} LookoutReason;
void lookout_rest(Lookout *lookout, const MirrorConfig *config, LookoutReason reason);

void lookout_end(Lookout *lookout);
