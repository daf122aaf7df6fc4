/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* When a source is looked at again: at once after a change, then not before it can have held still; from time to
 * time where no change is reported; and never where the configuration says so. Loop thread only. */

#include "base/base.h"
#include "config/config.h"
#include "tree/watch.h"

#include <systemd/sd-event.h>

typedef struct ScanSchedule {
        sd_event *event;           /* borrowed */
        Watch *watch;              /* borrowed */
        unsigned number;           /* of the mirror: its source is root 2n for the watch, its target 2n + 1 */
        void (*survey)(void *userdata); /* it is time; not called again before scan_schedule_idle() */
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
        /* the kernel allows no more watches: the mirror is polled, and deletions in it are not seen */
        bool guard_blind;
        bool guard_lost;           /* the mirror was unmounted, moved or removed */
} ScanSchedule;

/* Starts to watch, if that is wanted and possible. The first look() comes when all is watched; or from within, where
 * nothing is. Returns a negative errno if the watch could not be had, which is survived by polling. */
int scan_schedule_begin(ScanSchedule *schedule, const MirrorConfig *config, bool eventless);

/* The watch goes by what the configuration says now. Restarts it with @anew, after the source was replaced. */
int scan_schedule_adjust(ScanSchedule *schedule, const MirrorConfig *config, bool anew);

/* Takes a report. Positive if it is the first to say that there are no more watches. */
int scan_schedule_event(ScanSchedule *schedule, const MirrorConfig *config, const WatchReport *report, bool resting);

/* Starts to watch the mirror. scan_schedule_is_guarding() when that is settled, one way or another; it is told by a
 * report. A negative errno if the watch could not be had, which is survived by polling. */
int scan_schedule_guard(ScanSchedule *schedule, const MirrorConfig *config);
bool scan_schedule_is_guarding(const ScanSchedule *schedule);
void scan_schedule_end_guard(ScanSchedule *schedule);

/* Somebody knows that something is not as it was seen. */
void scan_schedule_request(ScanSchedule *schedule, bool resting);

/* A look begins now, or has come back. */
void scan_schedule_begun(ScanSchedule *schedule);
void scan_schedule_source_returned(ScanSchedule *schedule);

/* Nothing is being done: plans the next look, if there is to be one. */
typedef enum ScanReason {
        SCAN_REASON_AT_REST,
        SCAN_REASON_UNSETTLED, /* something did not hold still */
        SCAN_REASON_HURT,      /* something may come right by itself */
        SCAN_REASON_LOST,      /* the source is not there: what is reported of it means nothing */
        SCAN_REASON_NOW,       /* somebody asked */
} ScanReason;
void scan_schedule_idle(ScanSchedule *schedule, const MirrorConfig *config, ScanReason reason);

void scan_schedule_end(ScanSchedule *schedule);
