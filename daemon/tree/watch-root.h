/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One directory that somebody asked to have watched, with all below it: how far its watch has come, and what is
 * reported of it. What the fields say of threads is as in tree/watch.c, which has the list of them. */

#include "base/base.h"
#include "tree/watch-report.h"
#include "tree/watch-tree.h"

#include <stdatomic.h>

typedef enum RootState {
        WATCH_ROOT_NEW,
        WATCH_ROOT_ARMING,    /* being listed for the first time */
        WATCH_ROOT_ARMED,
        WATCH_ROOT_RESYNCING, /* being listed again */
        WATCH_ROOT_LOST,
} RootState;

typedef struct WatchRoot WatchRoot;
struct WatchRoot {
        WatchTreeRoot tree;    /* thread; first, so that the tree's callback finds the rest */
        WatchRoot *next; /* of the list */
        unsigned number;
        char *path;
        char *skip;
        WatchTree *watch_tree; /* borrowed */
        WatchReports *reports;      /* borrowed */
        atomic_uint_fast64_t *resyncs; /* borrowed */

        RootState state;      /* thread */
        bool incomplete_reported; /* thread */

        bool closed;      /* lock: to be taken out of the list */
        WatchDraft draft; /* the desk's lock */
};

/* @from has the number and what is borrowed, and zeros. NULL on ENOMEM. */
WatchRoot *watch_root_new(const WatchRoot *from, const char *path, const char *skip);
WatchRoot *watch_root_free(WatchRoot *root);

/* For the tree. */
void watch_root_changed(WatchTreeRoot *root, const char *path);

void watch_root_start(WatchRoot *root);

/* Nothing listens: it has to be polled, and looked at now for what was missed. Told once. */
void watch_root_exhausted(WatchRoot *root);

/* Turns what the tree found into reports. It is armed when nothing is left to be listed for the first time. */
void watch_root_settle(WatchRoot *root, bool listening);
