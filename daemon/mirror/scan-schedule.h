/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* When a mirror is scanned: soon after the first sign of a change, and then not before the change can have held still;
 * from time to time where changes are not reported; and never where the configuration says so. Holds what is known of
 * the two watches, on the source and on the mirror. Loop thread only. */

#include "base/base.h"
#include "base/clock.h"
#include "config/config.h"
#include "tree/watch.h"

/* One of the two directories of a mirror, and what is known of the watch on it. */
typedef struct Watched {
        unsigned root;   /* its number for the watch, unique among all directories that are watched */
        bool added;      /* watch_add() has been called */
        bool armed;      /* every change is reported from now on, but see .exhausted and .lost */
        bool exhausted;  /* the kernel allows no more watches: it has to be polled */
        bool lost;       /* the directory was deleted, moved or unmounted, and the watch ended with it */
        bool dirty;      /* something was reported since the last scan began */
} Watched;

typedef struct ScanSchedule {
        sd_event *event;              /* borrowed */
        Watch *watch;                 /* borrowed */
        void (*scan)(void *userdata); /* it is time; not called again before scan_schedule_idle() */
        void *userdata;

        Watched source; /* from the beginning, if the configuration wants it */
        Watched mirror; /* from when it is complete */
        bool eventless; /* the source's filesystem reports no changes made elsewhere: poll */
        bool started;   /* the first scan was begun: before, it waits until the source is watched */

        ClockTimer timer;        /* of the next scan */
        uint64_t begun_usec;     /* when the last scan began */
        uint64_t effort_usec;    /* how long it took: scans leave so much time, and more, to others */
        unsigned n_source_lost;  /* so many scans in a row did not find the source */
} ScanSchedule;

/* @source_root and @mirror_root: numbers for the watch that nothing else has. */
void scan_schedule_init(ScanSchedule *schedule, sd_event *event, Watch *watch, unsigned source_root,
                        unsigned mirror_root, void (*scan)(void *userdata), void *userdata);

/* Starts to watch the source, if that is wanted and possible. The first scan() comes when all of it is watched; or
 * from within, where nothing is. Returns a negative errno if the watch failed; the source is then polled. */
int scan_schedule_begin(ScanSchedule *schedule, const MirrorConfig *config, bool eventless);

/* Starts or stops watching the source as the configuration now says. @restart: the source was replaced, so the watch
 * is on a directory that is gone. The result as above. */
int scan_schedule_adjust(ScanSchedule *schedule, const MirrorConfig *config, bool restart);

/* Takes a report about one of the two. Positive if it is the first to say that there are no more watches. */
int scan_schedule_event(ScanSchedule *schedule, const MirrorConfig *config, const WatchReport *report, bool idle);

/* Starts to watch the mirror. scan_schedule_mirror_is_decided() when it is known whether that worked: at once, or by a
 * later report. Returns a negative errno if the watch failed; the mirror is then polled, and deletions in it are not
 * noticed. */
int scan_schedule_watch_mirror(ScanSchedule *schedule, const MirrorConfig *config);
bool scan_schedule_mirror_is_decided(const ScanSchedule *schedule);

/* Every change of the mirror is reported. */
bool scan_schedule_mirror_is_watched(const ScanSchedule *schedule);

/* Every change of the source is reported. */
bool scan_schedule_source_is_watched(const ScanSchedule *schedule);

/* Something in the mirror is not as the last scan saw it. */
void scan_schedule_request(ScanSchedule *schedule, bool idle);

/* A scan begins now, or has come back. */
void scan_schedule_scan_began(ScanSchedule *schedule);
void scan_schedule_scan_ended(ScanSchedule *schedule);

/* Nothing is being done: plans the next scan, if there is to be one. */
typedef enum ScanReason {
        SCAN_REASON_NONE,
        SCAN_REASON_UNSETTLED,   /* something did not hold still */
        SCAN_REASON_HURT,        /* something failed that may work the next time */
        SCAN_REASON_SOURCE_LOST, /* what is reported of the source means nothing */
        SCAN_REASON_NOW,         /* an operator or a new configuration asks for it */
} ScanReason;
void scan_schedule_idle(ScanSchedule *schedule, const MirrorConfig *config, ScanReason reason);

/* Stops both watches and the timer. */
void scan_schedule_end(ScanSchedule *schedule);
