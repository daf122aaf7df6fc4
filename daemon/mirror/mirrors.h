/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* All mirrors, and how they become those of a configuration: the ones that have to go are stopped first, and new ones
 * begin when those are gone. Loop thread only. */

#include "base/base.h"
#include "config/config.h"
#include "mirror/mirror.h"

typedef struct Mirrors {
        const MirrorContext *context; /* borrowed */
        const Config *config;         /* borrowed: what the mirrors should be */
        Mirror **mirrors;             /* owned; in the order of the first configuration, new ones at the end */
        size_t n;
        unsigned last_id;             /* see MirrorIds */
} Mirrors;

/* Only when all have stopped or failed. */
void mirrors_done(Mirrors *mirrors);

/* Takes a configuration, the first or a new one: begins, stops and reconfigures mirrors. A mirror that failed begins
 * again. */
void mirrors_apply(Mirrors *mirrors, const Config *config);

/* Takes from a configuration only BandwidthLimit= of the mirrors that it keeps. The configuration is not kept. */
void mirrors_set_limits(Mirrors *mirrors, const Config *config);

/* Takes mirrors that have stopped off the list, and begins what waited for that. */
void mirrors_sweep(Mirrors *mirrors);

/* Lets all mirrors that have planned proceed, if everything fits. Before the daemon is first ready (@together) all wait
 * for the last one, so that what does not fit is known before the first byte is copied. */
void mirrors_proceed(Mirrors *mirrors, bool together);

/* See mirror_report() and mirror_stop(). */
void mirrors_report(Mirrors *mirrors);
void mirrors_stop(Mirrors *mirrors);

/* Takes down, without waiting, those that are held up by their source; see mirror_abandon(). */
void mirrors_abandon(Mirrors *mirrors);

void mirrors_notice(Mirrors *mirrors, const WatchReport *report);

typedef struct MirrorsState {
        bool unsaved;       /* something is in RAM only */
        bool ready;         /* each has been complete once */
        bool settled;       /* each is idle with its configuration applied, or has failed */
        bool busy;          /* one is at work */
        bool over;          /* each has stopped or failed */
        const char *failed; /* the sentence of one that failed or is about to; NULL */
} MirrorsState;
MirrorsState mirrors_state(const Mirrors *mirrors);

/* The statuses are being read: see mirror_measure(). */
void mirrors_measure(const Mirrors *mirrors);

/* A snapshot of all: an array of .n, NULL on ENOMEM. Strings are borrowed from the mirrors. */
MirrorStatus *mirrors_statuses(const Mirrors *mirrors);
