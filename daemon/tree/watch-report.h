/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the watch reports about a root, and how it is gathered: one thread adds to drafts, another takes them as
 * reports. Each root has one draft, which keeps paths sorted and each once. */

#include "base/base.h"

#include <pthread.h>

typedef enum WatchFlags {
        /* the paths named have changed, appeared or gone */
        WATCH_DIRTY = 1 << 0,
        /* anything may have changed (overflow): scan everything, and infer no deletion */
        WATCH_RESYNC = 1 << 1,
        /* the root itself was deleted, moved or unmounted: propagate nothing. No report follows */
        WATCH_LOST = 1 << 2,
        /* some directory cannot be watched (fs.inotify.max_user_watches): poll this root */
        WATCH_EXHAUSTED = 1 << 3,
        /* every directory of the root is watched from now on. Reported once for each watch_add(), unless
         * WATCH_EXHAUSTED or WATCH_LOST is reported instead */
        WATCH_ARMED = 1 << 4,
        /* all that happened before watch_sync() has been reported, at the latest with this */
        WATCH_SYNCED = 1 << 5,
} WatchFlags;

/* A report about one root. A path in it is a file, link or directory that was created, closed after writing, moved or
 * deleted, or whose mode, owner or times changed; whatever an appearing directory holds is listed too. A directory
 * stands for everything below it: it may have been away and come back with less than it had.
 *
 * Those that were closed after writing, also by the munmap() of a writable shared mapping, are listed once more, under
 * the name by which the file was opened, or to which that name was moved meanwhile: of a hard link that name only; of
 * an O_TMPFILE "#INODE" (decimal) in the directory where it was opened, also after it was linked to a name; of a file
 * that was removed or replaced while it was open, the name it had, which may be another file's by now.
 *
 * A file in a directory that has just appeared (created, moved in, or renamed) may have been closed before the
 * directory was watched, so the files that the first listing finds there are listed with them. Files of our own are
 * among these if they were moved into the new directory before it was listed, but not if they were moved there later.
 * A directory that was away and is back before its absence was noticed has kept its watch, so its files are not. */
typedef struct WatchReport {
        unsigned root;   /* as given to watch_add() */
        unsigned flags;  /* WatchFlags */
        char **paths;    /* relative to the root, sorted, each once, NULL-terminated; NULL with WATCH_RESYNC */
        size_t n_paths;
        char **written;  /* those of the paths that may have been written, in the same way; the strings are those of
                          * @paths */
        size_t n_written;
} WatchReport;

WatchReport *watch_report_free(WatchReport *report);
DEFINE_CLEANUP(WatchReport, watch_report_free)

enum { WATCH_REPORT_PATHS_MAX = 100000 }; /* more make it a WATCH_RESYNC */

/* What all drafts of one watch share. */
typedef struct WatchReports {
        pthread_mutex_t lock;
        int fd;           /* eventfd, readable while a draft waits to be taken; set once */
        size_t n_waiting; /* lock: drafts with flags */
} WatchReports;

/* No draft waits to be taken. */
bool watch_reports_is_taken(WatchReports *reports);

/* What was gathered about one root since it was last taken. Begins as zeros. All of it is under WatchReports.lock. */
typedef struct WatchDraft {
        unsigned flags;
        bool closed;
        void *paths;    /* tsearch() set of strings */
        size_t n_paths;
        void *written;  /* the same of some of these strings */
        size_t n_written;
} WatchDraft;

int watch_reports_init(WatchReports *reports);
/* Also after a watch_reports_init() that failed. */
void watch_reports_done(WatchReports *reports);

/* Adds flags; with WATCH_DIRTY a path, or NULL for one that there was no memory for, which was also @written or not.
 * True if that made it a WATCH_RESYNC, because of too many paths or too little memory. */
bool watch_reports_add(WatchReports *reports, WatchDraft *draft, unsigned flags, const char *path, bool written);

/* Takes what was gathered as the report of root number @root: positive, 0 if there is nothing, or -ENOMEM: then the
 * draft stays as it is. */
int watch_reports_take(WatchReports *reports, WatchDraft *draft, unsigned root, WatchReport **ret);

/* Discards what was gathered, and whatever is added from now on. */
void watch_reports_close(WatchReports *reports, WatchDraft *draft);
