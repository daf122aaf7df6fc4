/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the service manager hears: sd_notify(3), and the terminal in its place. Knows for how long nothing has moved,
 * says a thing only when it has changed, and extends a timeout only while something moves. */

#include "base/base.h"
#include "report/mirror-status.h"

typedef struct Notify {
        char *said;            /* last STATUS= */
        uint64_t life;         /* of all mirrors at the last tick */
        uint64_t moved_usec;   /* when life last changed; CLOCK_MONOTONIC */
        uint64_t quick_usec;   /* until then the progress is looked at often */
        bool private_dir, busy;
        bool terminal;
} Notify;

void notify_init(Notify *notify);
void notify_done(Notify *notify);

/* The state as it is now. @waited: someone waits with a timeout for the end of this (start, stop, reload). */
void notify_status(Notify *notify, const MirrorStatus *mirrors, size_t n, bool waited);

/* For how long nothing has moved. */
uint64_t notify_stalled_usec(const Notify *notify);

/* When to look at the progress next: often at first and on a terminal, then once a second. */
uint64_t notify_interval_usec(const Notify *notify);

void notify_ready(void);
void notify_reloading(void);
/* Asks for time, because the first sign of progress may come later than a short TimeoutStopSec=. */
void notify_stopping(Notify *notify);

/* A last sentence before a failure ends the daemon. */
void notify_failure(Notify *notify, const char *text, int error);
