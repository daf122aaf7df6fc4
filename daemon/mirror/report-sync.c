/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What was reported up to a moment. See mirror/report-sync.h. */

#include "mirror/report-sync.h"

static void end(ReportSync *sync, bool certain) {
        if (!sync->waiting)
                return;
        sync->waiting = false;
        clock_timer_stop(&sync->timer);
        sync->synced(certain, sync->userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        end(userdata, false);
        return 0;
}

void report_sync_init(ReportSync *sync) {
        sync->timer.handler = on_timer;
        sync->timer.userdata = sync;
}

void report_sync_done(ReportSync *sync) {
        sync->waiting = false;
        clock_timer_done(&sync->timer);
}

bool report_sync_ask(ReportSync *sync) {
        if (clock_timer_set_in(&sync->timer, USEC_PER_SEC) < 0)
                return false;
        sync->waiting = watch_sync(sync->watch, sync->root) == 0;
        if (!sync->waiting)
                clock_timer_stop(&sync->timer);
        return sync->waiting;
}

void report_sync_note(ReportSync *sync, const WatchReport *report) {
        if (report->flags & (WATCH_SYNCED | WATCH_LOST))
                end(sync, !(report->flags & WATCH_LOST));
}
