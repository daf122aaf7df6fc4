/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One directory that somebody asked to have watched, with all below it: how far its watch has come, and what is reported of it. What the fields say of threads is as in tree/watch.c,
 * which has the list of them. */

#include "base/base.h"
#include "tree/watch-report.h"
#include "tree/watch-tree.h"

#include <stdatomic.h>

typedef enum RootState {
        ROOT_NEW,
        ROOT_ARMING,    /* being listed for the first time */
        ROOT_ARMED,
        ROOT_RESYNCING, /* being listed again */
        ROOT_LOST,
} RootState;

typedef struct WatchedRoot WatchedRoot;
struct WatchedRoot {
        WatchRoot tree;    /* thread; first, so that the tree's callback finds the rest */
        WatchedRoot *next; /* of the list */
        unsigned number;
        char *path;
        char *skip;
        WatchTree *watchtree; /* borrowed */
        WatchDesk *desk;      /* borrowed */
        atomic_uint_fast64_t *resyncs; /* borrowed */

        RootState state;      /* thread */
        bool told_incomplete; /* thread */

        bool closed;      /* lock: to be taken out of the list */
        WatchDraft draft; /* the desk's lock */
};

/* @from has the number and what is borrowed, and zeros. NULL on ENOMEM. */
WatchedRoot *watchedroot_new(const WatchedRoot *from, const char *path, const char *skip);
WatchedRoot *watchedroot_free(WatchedRoot *root);

/* For the tree. */
void watchedroot_changed(WatchRoot *root, const char *path);

void watchedroot_plant(WatchedRoot *root);

/* Nothing listens: it has to be polled, and looked at now for what was missed. Told once. */
void watchedroot_blind(WatchedRoot *root);

/* Turns what the tree found into reports. It is armed when nothing is left to be listed for the first time. */
void watchedroot_settle(WatchedRoot *root, bool listening);
