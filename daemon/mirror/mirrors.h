/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The mirrors there are, and how they become those of a configuration: what has to go goes first, and its place is
 * taken when it is gone. Loop thread only. */

#include "base/base.h"
#include "config/config.h"
#include "mirror/mirror.h"

typedef struct Mirrors {
        const MirrorContext *context; /* borrowed */
        const Config *config;         /* borrowed: what the mirrors are to be */
        Mirror **mirrors;             /* owned; in the order of the first configuration, new ones at the end */
        size_t n;
        unsigned last_id;             /* see MirrorIds */
} Mirrors;

/* Only when all are gone or failed. */
void mirrors_done(Mirrors *mirrors);

/* Takes a configuration, the first or a new one: begins, stops and reconfigures mirrors. A mirror that failed is
 * begun anew. */
void mirrors_apply(Mirrors *mirrors, const Config *config);

/* Takes nothing of a configuration but the BandwidthLimit= of the mirrors that go on under it. It is not kept. */
void mirrors_set_limits(Mirrors *mirrors, const Config *config);

/* Takes mirrors that are gone off the list, and begins what waited for that. */
void mirrors_sweep(Mirrors *mirrors);

/* Lets all that have planned proceed, if everything fits. Before the first readiness (@together) all wait for the
 * last, so that what does not fit is known before the first byte is copied. */
void mirrors_proceed(Mirrors *mirrors, bool together);

/* See mirror_report(). */
void mirrors_report(Mirrors *mirrors);

void mirrors_stop(Mirrors *mirrors);

/* Takes down without waiting those that are held up by their source; see mirror_abandon(). */
void mirrors_abandon(Mirrors *mirrors);

void mirrors_notice(Mirrors *mirrors, const WatchReport *report);

typedef struct MirrorsState {
        bool unsaved;       /* something is only in RAM yet */
        bool ready;         /* every one has been complete once */
        bool settled;       /* no one has anything to do, but for what it waits for */
        bool busy;          /* one is at work */
        bool over;          /* every one is gone or failed */
        const char *failed; /* the sentence of one that failed or is about to; NULL */
} MirrorsState;
MirrorsState mirrors_state(const Mirrors *mirrors);

/* Somebody looks at the statuses: see mirror_measure(). */
void mirrors_measure(const Mirrors *mirrors);

/* A snapshot of all: an array of roster->n, NULL on ENOMEM. Strings are borrowed from the mirrors. */
MirrorStatus *mirrors_statuses(const Mirrors *mirrors);
