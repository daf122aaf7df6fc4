/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What changed below the watched directories. A thread of its own, and one per process.
 *
 * libinotifytools has one state for the whole process without locks, returns events in a static buffer and hides its
 * descriptor, so there is one Watch per process, and watch_new() must come before other threads and before many
 * descriptors are open (its select() cannot take a number of 1024 or more). An event only means that a path has to be
 * checked: the owner compares it with the manifest. Nothing here reads files, hashes or waits for them. */

#include "base/base.h"
#include "tree/watch-report.h"

typedef struct Watch Watch;

/* Starts the thread. 0, or a negative errno and the step that failed in *reterr_what; see inotify_start(). While this
 * user can have no inotify instance, all roots are WATCH_EXHAUSTED. */
int watch_new(Watch **ret, const char **reterr_what);

/* Stops and joins the thread within a fraction of a second, also in the middle of a listing. */
Watch *watch_free(Watch *watch);
DEFINE_CLEANUP(Watch, watch_free)

/* Readable (EPOLLIN) when watch_next() has a report. */
int watch_get_fd(Watch *watch);

/* Watches @path (absolute, a directory, not a symbolic link) and everything below it on the same filesystem, except
 * what is named @skip at the top (NULL for none). Does not wait; WATCH_ARMED comes when all is watched. @root is the
 * caller's number for it. @traceless: stores through a mapping need not move a file's times there, as on a tmpfs, so
 * files in a directory that comes into the root, which may have been written before it was watched, are reported as
 * written. Elsewhere their times tell.
 * 0, -EEXIST if the number is in use, -EINVAL if @path is not absolute, or -ENOMEM. */
int watch_add(Watch *watch, unsigned root, const char *path, const char *skip, bool traceless);

/* Asks for a WATCH_SYNCED report, which comes when all that the kernel had to tell before this call is in a report.
 * While nothing can be watched it comes with WATCH_RESYNC. It does not come while the thread is held up by a directory
 * that does not answer. -ENOENT if there is no such root. */
int watch_sync(Watch *watch, unsigned root);

/* No report about the root comes after this; its number is free again. -ENOENT if there is no such root. */
int watch_remove(Watch *watch, unsigned root);

/* Takes the next report: positive and *ret to be freed with watch_report_free(), 0 if there is none, or -ENOMEM. A root
 * has at most one report waiting, which gathers what happens; with more than WATCH_REPORT_PATHS_MAX paths it becomes a
 * WATCH_RESYNC. */
int watch_next(Watch *watch, WatchReport **ret);

/* How often everything had to be listed again, and the number of directories watched now. For tests. */
typedef struct WatchCounts {
        uint64_t resyncs;
        uint64_t directories;
} WatchCounts;
void watch_get_counts(Watch *watch, WatchCounts *ret);
