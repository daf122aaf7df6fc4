/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Messages to the service manager (sd_notify(3)), and in its place the status line on the terminal. Remembers when
 * there was progress last, sends a status only when it has changed, and extends a timeout only while there is
 * progress. Loop thread only; what cannot be sent is dropped. */

#include "base/base.h"
#include "report/mirror-status.h"

typedef struct Notify {
        char *status;           /* the last STATUS=, owned; NULL: none yet */
        uint64_t progress;      /* the sum of MirrorStatus.life at the last call */
        uint64_t progress_usec; /* when that last changed; CLOCK_MONOTONIC */
        uint64_t quick_usec;    /* until then notify_interval_usec() is short; CLOCK_MONOTONIC */
        bool staging, busy;     /* some mirror was, at the last call */
        bool terminal;          /* stderr is a terminal that shows the progress */
} Notify;

void notify_init(Notify *notify);
void notify_done(Notify *notify);

/* Sends the status of all mirrors. @waited: the service manager waits with a timeout for the end of what is being done
 * (start, stop, reload). */
void notify_status(Notify *notify, const MirrorStatus *mirrors, size_t n, bool waited);

/* How long there has been no progress. */
uint64_t notify_stalled_usec(const Notify *notify);

/* How long to wait before the next notify_status(): short at the beginning and on a terminal, then a second. */
uint64_t notify_interval_usec(const Notify *notify);

void notify_ready(void);
void notify_reloading(void);
/* Also extends the timeout, because TimeoutStopSec= may be shorter than the time to the first progress. */
void notify_stopping(Notify *notify);

/* The last status before a failure ends the daemon; @error is an errno value, 0 for none. */
void notify_failure(Notify *notify, const char *text, int error);
