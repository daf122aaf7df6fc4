/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Waits until the watch has reported all that happened in the mirror up to a moment: before the mirror ends, and when
 * an operator wants everything saved, so that no write that came before is overlooked. The watch's thread may be held
 * up, by a source that does not answer or for want of a processor, so that is not waited for longer than a second. Loop
 * thread only. */

#include "base/clock.h"
#include "tree/watch.h"

typedef struct ReportSync {
        Watch *watch;    /* borrowed */
        unsigned root;   /* of the mirror */
        void (*synced)(bool certain, void *userdata); /* not @certain: something may not have been reported */
        void *userdata;
        ClockTimer timer; /* .event is set by the owner */
        /* --- */
        bool waiting;
        bool again;      /* the answer that comes may be to an earlier question: then it is asked once more */
        bool unanswered; /* the last question was not waited for any longer */
} ReportSync;

/* The caller sets the fields above the line; the rest is zeros. */
void report_sync_init(ReportSync *sync);
void report_sync_done(ReportSync *sync);

/* False if the watch has no such root; else synced() will be called, once for all who have asked up to then. */
bool report_sync_ask(ReportSync *sync);

/* A report about the root was taken up. */
void report_sync_note(ReportSync *sync, const WatchReport *report);
