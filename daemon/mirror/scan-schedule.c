/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When a source is looked at again. See mirror/scan-schedule.h. */

#include "mirror/scan-schedule.h"

#include "tree/scan.h"

/* After the first sign of a change, more may be on their way. */
#define DEBOUNCE_USEC (USEC_PER_SEC / 4)
/* The same for the mirror. */
#define QUICK_USEC (USEC_PER_SEC / 20)
/* A source that is lost, and a file that could not be read, are tried this often where PollInterval= says nothing
 * shorter. */
#define RETRY_USEC (30 * USEC_PER_SEC)

static bool wants_watch(const ScanSchedule *schedule, const MirrorConfig *config) {
        return config->watch_source && !schedule->eventless && !schedule->exhausted;
}

static int start_watch(ScanSchedule *schedule, const MirrorConfig *config) {
        int r = watch_add(schedule->watch, schedule->number * 2, config->source, SCAN_PRIVATE_DIR);

        schedule->watched = r >= 0;
        schedule->exhausted = r < 0;
        schedule->broken = false;
        return r < 0 ? r : 0;
}

static void stop_watch(ScanSchedule *schedule) {
        if (schedule->watched)
                (void) watch_remove(schedule->watch, schedule->number * 2); /* it was there */
        schedule->watched = false;
}

/* The watch comes before the first look, so that no change falls between the two. */
int scan_schedule_begin(ScanSchedule *schedule, const MirrorConfig *config, bool eventless) {
        int r = 0;

        schedule->eventless = eventless;
        if (wants_watch(schedule, config))
                r = start_watch(schedule, config);
        if (!schedule->watched) {
                schedule->armed = true;
                schedule->survey(schedule->userdata);
        }
        return r;
}

int scan_schedule_adjust(ScanSchedule *schedule, const MirrorConfig *config, bool anew) {
        if (anew || !wants_watch(schedule, config))
                stop_watch(schedule);
        if (schedule->watched || !wants_watch(schedule, config))
                return 0;
        return start_watch(schedule, config);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        ScanSchedule *schedule = userdata;

        (void) source;
        (void) usec;
        schedule->survey(schedule->userdata);
        return 0;
}

/* A look that is planned for an earlier time stays: a source that never rests cannot put it off for ever. */
static void plan_look(ScanSchedule *schedule, uint64_t usec) {
        /* left to sd-event, it would be a quarter of a second for every pause */
        uint64_t now, planned, accuracy = usec / 16 + 1;
        int enabled = SD_EVENT_OFF;

        if (sd_event_now(schedule->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (!schedule->timer) {
                (void) sd_event_add_time(schedule->event, &schedule->timer, CLOCK_MONOTONIC, now + usec, accuracy,
                                         on_timer, schedule);
                return;
        }
        if (sd_event_source_get_enabled(schedule->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
            sd_event_source_get_time(schedule->timer, &planned) >= 0 && planned <= now + usec)
                return;
        (void) sd_event_source_set_time_accuracy(schedule->timer, accuracy);
        (void) sd_event_source_set_time(schedule->timer, now + usec);
        (void) sd_event_source_set_enabled(schedule->timer, SD_EVENT_ONESHOT);
}

/* What changed is acted upon when two looks agree, so looks are SettleTime= apart; only the first one after a quiet
 * time comes soon. */
static uint64_t until_settled(const ScanSchedule *schedule, const MirrorConfig *config) {
        uint64_t now, next = schedule->looked_usec + config->settle_usec;

        if (sd_event_now(schedule->event, CLOCK_MONOTONIC, &now) < 0 || next < now + DEBOUNCE_USEC)
                return DEBOUNCE_USEC;
        return next - now;
}

/* What clients put into the mirror is to be on disk soon; but looks may not take all there is of the processor. */
static uint64_t until_quick(const ScanSchedule *schedule) {
        uint64_t now, next = schedule->looked_usec + 3 * schedule->effort_usec;

        if (sd_event_now(schedule->event, CLOCK_MONOTONIC, &now) < 0 || next < now + QUICK_USEC)
                return QUICK_USEC;
        return next - now;
}

int scan_schedule_guard(ScanSchedule *schedule, const MirrorConfig *config) {
        int r;

        if (schedule->guarded)
                return 0;
        schedule->guard_armed = schedule->guard_lost = false;
        r = watch_add(schedule->watch, schedule->number * 2 + 1, config->target, SCAN_PRIVATE_DIR);
        schedule->guarded = r >= 0;
        schedule->guard_blind = r < 0;
        return r < 0 ? r : 0;
}

bool scan_schedule_is_guarding(const ScanSchedule *schedule) {
        return schedule->guard_armed || schedule->guard_blind || schedule->guard_lost;
}

void scan_schedule_request(ScanSchedule *schedule, bool resting) {
        schedule->mirror_dirty = true;
        if (resting)
                plan_look(schedule, until_quick(schedule));
}

void scan_schedule_end_guard(ScanSchedule *schedule) {
        if (schedule->guarded)
                (void) watch_remove(schedule->watch, schedule->number * 2 + 1); /* it was there */
        schedule->guarded = schedule->guard_armed = schedule->guard_blind = schedule->guard_lost = false;
}

static int notice_mirror(ScanSchedule *schedule, const WatchReport *report, bool resting) {
        bool first = report->flags & WATCH_EXHAUSTED && !schedule->guard_blind;

        schedule->guard_blind = schedule->guard_blind || first;
        schedule->guard_lost = schedule->guard_lost || (report->flags & WATCH_LOST) != 0;
        schedule->guard_armed = schedule->guard_armed || (report->flags & WATCH_ARMED) != 0;
        if (report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST))
                schedule->mirror_dirty = true;
        if (schedule->mirror_dirty && resting)
                plan_look(schedule, until_quick(schedule));
        return first;
}

int scan_schedule_event(ScanSchedule *schedule, const MirrorConfig *config, const WatchReport *report, bool resting) {
        bool first = report->flags & WATCH_EXHAUSTED && !schedule->exhausted;

        if (report->root % 2 == 1)
                return notice_mirror(schedule, report, resting);
        schedule->exhausted = schedule->exhausted || first;
        schedule->broken = schedule->broken || (report->flags & WATCH_LOST) != 0;
        /* armed again: what happened before that was not seen */
        if (report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST) ||
            (report->flags & WATCH_ARMED && schedule->armed))
                schedule->dirty = true;
        if (!schedule->armed && report->flags & (WATCH_ARMED | WATCH_EXHAUSTED | WATCH_LOST)) {
                schedule->armed = true;
                schedule->survey(schedule->userdata);
        } else if (schedule->dirty && resting && !schedule->lost)
                plan_look(schedule, until_settled(schedule, config));
        return first;
}

void scan_schedule_begun(ScanSchedule *schedule) {
        schedule->dirty = schedule->mirror_dirty = false;
        if (schedule->timer)
                (void) sd_event_source_set_enabled(schedule->timer, SD_EVENT_OFF);
        /* if not, the next comes sooner */
        (void) sd_event_now(schedule->event, CLOCK_MONOTONIC, &schedule->looked_usec);
}

void scan_schedule_source_returned(ScanSchedule *schedule) {
        uint64_t now;

        if (sd_event_now(schedule->event, CLOCK_MONOTONIC, &now) >= 0)
                schedule->effort_usec = now - schedule->looked_usec;
}

static bool is_polling(const ScanSchedule *schedule, const MirrorConfig *config) {
        return config->poll_usec > 0 &&
               (schedule->guard_blind || (config->watch_source && (schedule->eventless || schedule->exhausted)));
}

void scan_schedule_idle(ScanSchedule *schedule, const MirrorConfig *config, ScanReason reason) {
        uint64_t poll_usec = config->poll_usec > 0 ? config->poll_usec : RETRY_USEC;

        schedule->lost = reason == SCAN_REASON_LOST;
        schedule->n_lost = schedule->lost ? schedule->n_lost + 1 : 0;
        if (reason == SCAN_REASON_NOW)
                plan_look(schedule, 0);
        else if (schedule->mirror_dirty)
                plan_look(schedule, until_quick(schedule));
        else if (reason == SCAN_REASON_UNSETTLED || (schedule->dirty && !schedule->lost))
                plan_look(schedule, until_settled(schedule, config));
        else if (reason == SCAN_REASON_LOST) /* it may have been away for a moment only */
                plan_look(schedule, MIN(MIN(poll_usec, RETRY_USEC), USEC_PER_SEC << MIN(schedule->n_lost - 1, 5U)));
        else if (reason == SCAN_REASON_HURT)
                plan_look(schedule, MIN(poll_usec, RETRY_USEC));
        else if (is_polling(schedule, config))
                plan_look(schedule, poll_usec);
}

void scan_schedule_end(ScanSchedule *schedule) {
        stop_watch(schedule);
        scan_schedule_end_guard(schedule);
        schedule->timer = sd_event_source_unref(schedule->timer);
}
