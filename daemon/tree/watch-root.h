/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A directory that watch_add() was called for, with all below it: how far its watch has come, and what is reported of
 * it. "thread" and "lock" at a field mean what they mean in tree/watch.c. */

#include "base/base.h"
#include "tree/watch-report.h"
#include "tree/watch-tree.h"

#include <stdatomic.h>

typedef enum RootState {
        WATCH_ROOT_NEW,
        WATCH_ROOT_ARMING,    /* being listed for the first time */
        WATCH_ROOT_ARMED,     /* all directories are watched */
        WATCH_ROOT_RESYNCING, /* being listed again, after events were lost */
        WATCH_ROOT_LOST,
} RootState;

typedef struct WatchRoot WatchRoot;
struct WatchRoot {
        WatchTreeRoot tree;      /* thread; first, because the callback of the tree casts it to the whole */
        WatchRoot *next;         /* Watch.roots */
        unsigned number;
        char *path;
        char *skip;
        WatchTree *watch_tree;   /* borrowed, like the next two */
        WatchReports *reports;
        atomic_uint_fast64_t *resyncs;

        RootState state;          /* thread */
        bool incomplete_reported; /* thread */

        bool syncing;     /* thread: it was asked for when the thread last looked */
        bool sync_asked;  /* lock */
        bool closed;      /* lock: the thread is to free it */
        WatchDraft draft; /* under the lock of @reports */
};

/* @from has the number and what is borrowed, and zeros. Copies the strings. NULL on ENOMEM. */
WatchRoot *watch_root_new(const WatchRoot *from, const char *path, const char *skip);
WatchRoot *watch_root_free(WatchRoot *root);

/* The callback of the tree. */
void watch_root_changed(WatchTreeRoot *root, const char *path, bool written);

/* Adds the root to the tree, for the first time or again. */
void watch_root_start(WatchRoot *root);

/* Without inotify: reports, once, that the root has to be polled, and scanned now for what was missed. */
void watch_root_exhausted(WatchRoot *root);

/* All events there were have been turned into reports. */
void watch_root_synced(WatchRoot *root, bool listening);

/* Turns what the tree found into reports. @listening: inotify is started. The root is armed when no directory waits for
 * its initial listing any more. */
void watch_root_settle(WatchRoot *root, bool listening);
