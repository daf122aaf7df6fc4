/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What was reported up to a moment. See mirror/report-sync.h. */

#include "mirror/report-sync.h"

static bool ask(ReportSync *sync) {
        sync->again = false;
        sync->waiting = watch_sync(sync->watch, sync->root) == 0;
        if (sync->waiting)
                (void) clock_timer_set_in(&sync->timer, USEC_PER_SEC); /* without memory, however long it takes */
        return sync->waiting;
}

static void end(ReportSync *sync, bool certain) {
        if (!sync->waiting || (sync->again && certain && ask(sync)))
                return;
        sync->waiting = sync->again = false;
        clock_timer_stop(&sync->timer);
        sync->synced(certain, sync->userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        ((ReportSync *) userdata)->unanswered = true;
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
        bool outstanding = sync->waiting || sync->unanswered;

        if (!sync->waiting && !ask(sync))
                return false;
        sync->again = outstanding;
        return true;
}

void report_sync_note(ReportSync *sync, const WatchReport *report) {
        if (!(report->flags & (WATCH_SYNCED | WATCH_LOST)))
                return;
        sync->unanswered = false;
        end(sync, !(report->flags & WATCH_LOST));
}
