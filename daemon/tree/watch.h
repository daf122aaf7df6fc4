/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What changed below the watched directories. A thread of its own, and one per process.
 *
 * The library keeps one process-wide state without locks, returns events in a static buffer and hides its
 * descriptor, so there is one Watch per process, and watch_new() must come before other threads and before many
 * descriptors are open (its select() cannot take a number of 1024 or more). An event never says more than "look
 * here": the owner compares with the manifest. Nothing here opens, hashes or waits for a file. */

#include "base/base.h"
#include "tree/watch-report.h"

typedef struct Watch Watch;

/* Starts the thread. 0, or negative errno (-EMFILE: fs.inotify.max_user_instances; *reterr_what says the step). */
int watch_new(Watch **ret, const char **reterr_what);

/* Stops and joins the thread within a fraction of a second, also in the middle of a scan. */
Watch *watch_free(Watch *watch);
DEFINE_CLEANUP(Watch, watch_free)

/* Readable (EPOLLIN) when watch_next() has something. For the loop. */
int watch_get_fd(Watch *watch);

/* Watches @path (absolute, a directory, not a symbolic link) and everything below it on the same filesystem, except
 * what is named @skip at the top (NULL for none). Returns at once; WATCH_ARMED comes when all is watched. @root is the
 * caller's number for it: -EEXIST if it is in use. */
int watch_add(Watch *watch, unsigned root, const char *path, const char *skip);

/* No report about the root comes after this; its number is free again. -ENOENT if there is no such root. */
int watch_remove(Watch *watch, unsigned root);

/* Takes the next report: positive and *ret to be freed with watch_report_free(), 0 when there is none. The
 * watch gathers what it sees: a root has at most one waiting report, and one with more than a bounded number of
 * paths (100,000) becomes a WATCH_RESYNC. */
int watch_next(Watch *watch, WatchReport **ret);

/* How often everything had to be looked at again, and directories watched now: for status and tests. */
typedef struct WatchCounts {
        uint64_t resyncs;
        uint64_t directories;
} WatchCounts;
void watch_get_counts(Watch *watch, WatchCounts *ret);
