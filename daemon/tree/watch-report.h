/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the watch tells its owner about a root, and the gathering of it: one thread writes drafts, another takes
 * them as reports. Each root has one draft, in which paths are kept sorted and once. */

#include "base/base.h"

#include <pthread.h>

typedef enum WatchFlags {
        WATCH_DIRTY = 1 << 0,     /* the paths named have changed, appeared or gone */
        WATCH_RESYNC = 1 << 1,    /* anything may have changed (overflow): look at everything, infer no deletion */
        /* the root itself was deleted, moved or unmounted: propagate nothing. The last word */
        WATCH_LOST = 1 << 2,
        WATCH_EXHAUSTED = 1 << 3, /* some directory cannot be watched (fs.inotify.max_user_watches): poll this root */
        WATCH_ARMED = 1 << 4,     /* every directory of the root is watched from now on. Said once per watch_add(),
                                   * unless WATCH_EXHAUSTED or WATCH_LOST is said in its place */
} WatchFlags;

/* One letter about one root. */
typedef struct WatchReport {
        unsigned root;   /* as given to watch_add() */
        unsigned flags;
        char **paths;    /* relative to the root, sorted, no duplicates, NULL-terminated; NULL where WATCH_RESYNC
                          * is set. A path is a file, link or directory that was created, closed after writing, moved
                          * or deleted, or whose mode, owner or times changed; whatever an appearing directory holds
                          * is listed too. A directory stands for everything below it: it may have been away
                          * and come back with less than it had. */
        size_t n_paths;
} WatchReport;

WatchReport *watch_report_free(WatchReport *report);
DEFINE_CLEANUP(WatchReport, watch_report_free)

enum { WATCH_REPORT_PATHS_MAX = 100000 }; /* one more makes it a WATCH_RESYNC */

/* All drafts of one watch. */
typedef struct WatchReports {
        pthread_mutex_t lock;
        int fd;           /* eventfd, readable while a draft waits to be taken; set once */
        size_t n_waiting; /* lock: drafts with flags */
} WatchReports;

/* What was gathered about one root since it was last taken. Begins as zeros. */
typedef struct WatchDraft {
        unsigned flags; /* lock of the desk, like the rest */
        bool closed;
        void *paths;    /* tsearch() set of strings */
        size_t n_paths;
} WatchDraft;

int watch_reports_init(WatchReports *reports);
void watch_reports_done(WatchReports *reports); /* takes one whose init failed */

/* Adds flags; with WATCH_DIRTY a path, or NULL for one that could not be named. True if that made it a
 * WATCH_RESYNC, because of too many paths or too little memory. */
bool watch_reports_add(WatchReports *reports, WatchDraft *draft, unsigned flags, const char *path);

/* Positive and the report of root number @root, 0 if there is none, or -ENOMEM: then it stays. */
int watch_reports_take(WatchReports *reports, WatchDraft *draft, unsigned root, WatchReport **ret);

/* Throws away what was gathered, and whatever is told from now on. */
void watch_reports_close(WatchReports *reports, WatchDraft *draft);
