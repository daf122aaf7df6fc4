/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When a mirror is scanned. See mirror/scan-schedule.h. */

#include "mirror/scan-schedule.h"

#include "tree/scan.h"

/* After the first sign of a change in the source, more may be on their way. */
#define DEBOUNCE_USEC (USEC_PER_SEC / 4)
/* The same for the mirror. */
#define QUICK_USEC (USEC_PER_SEC / 20)
/* A source that is lost, and a file that could not be read, are tried this often where PollInterval= says nothing
 * shorter. */
#define RETRY_USEC (30 * USEC_PER_SEC)

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        ScanSchedule *schedule = userdata;

        schedule->scan(schedule->userdata);
        return 0;
}

void scan_schedule_init(ScanSchedule *schedule, sd_event *event, Watch *watch, unsigned source_root,
                        unsigned mirror_root, void (*scan)(void *userdata), void *userdata) {
        *schedule = (ScanSchedule){ .event = event, .watch = watch, .scan = scan, .userdata = userdata,
                                    .source = { .root = source_root }, .mirror = { .root = mirror_root },
                                    .timer = { .event = event, .handler = on_timer, .userdata = schedule } };
}

/* --- the two watches --- */

static int start_watch(ScanSchedule *schedule, Watched *watched, const char *path) {
        int r = watch_add(schedule->watch, watched->root, path, SCAN_PRIVATE_DIR, watched == &schedule->mirror);

        watched->added = r >= 0;
        watched->exhausted = r < 0;
        watched->armed = watched->lost = false;
        return MIN(r, 0);
}

static void stop_watch(ScanSchedule *schedule, Watched *watched) {
        if (watched->added)
                (void) watch_remove(schedule->watch, watched->root); /* it was there */
        watched->added = watched->armed = false;
}

static bool wants_source_watch(const ScanSchedule *schedule, const MirrorConfig *config) {
        return config->watch_source && !schedule->eventless && !schedule->source.exhausted;
}

/* The watch comes before the first scan, so that no change falls between the two. */
int scan_schedule_begin(ScanSchedule *schedule, const MirrorConfig *config, bool eventless) {
        int r = 0;

        schedule->eventless = eventless;
        if (wants_source_watch(schedule, config))
                r = start_watch(schedule, &schedule->source, config->source);
        if (!schedule->source.added) {
                schedule->started = true;
                schedule->scan(schedule->userdata);
        }
        return r;
}

int scan_schedule_adjust(ScanSchedule *schedule, const MirrorConfig *config, bool restart) {
        if (restart || !wants_source_watch(schedule, config))
                stop_watch(schedule, &schedule->source);
        if (schedule->source.added || !wants_source_watch(schedule, config))
                return 0;
        return start_watch(schedule, &schedule->source, config->source);
}

int scan_schedule_watch_mirror(ScanSchedule *schedule, const MirrorConfig *config) {
        return schedule->mirror.added ? 0 : start_watch(schedule, &schedule->mirror, config->target);
}

bool scan_schedule_mirror_is_decided(const ScanSchedule *schedule) {
        return schedule->mirror.armed || schedule->mirror.exhausted || schedule->mirror.lost;
}

bool scan_schedule_source_is_watched(const ScanSchedule *schedule) {
        return schedule->source.armed && !schedule->source.exhausted && !schedule->source.lost && !schedule->eventless;
}

bool scan_schedule_mirror_is_watched(const ScanSchedule *schedule) {
        return schedule->mirror.armed && !schedule->mirror.exhausted && !schedule->mirror.lost;
}

void scan_schedule_end(ScanSchedule *schedule) {
        stop_watch(schedule, &schedule->source);
        stop_watch(schedule, &schedule->mirror);
        clock_timer_done(&schedule->timer);
}

/* --- the next scan --- */

/* A scan that is planned for an earlier time stays: a source that never rests cannot put it off for ever. */
static void plan_scan(ScanSchedule *schedule, uint64_t usec) {
        uint64_t next = clock_now(schedule->event) + usec, planned;

        if (clock_timer_is_set(&schedule->timer, &planned) && planned <= next)
                return;
        /* left to sd-event, it would be a quarter of a second for every pause */
        schedule->timer.accuracy_usec = usec / 16 + 1;
        if (schedule->timer.source)
                (void) sd_event_source_set_time_accuracy(schedule->timer.source, schedule->timer.accuracy_usec);
        (void) clock_timer_set(&schedule->timer, next);
}

/* How long until @pause has passed since the last scan began, but at least @least. */
static uint64_t until(const ScanSchedule *schedule, uint64_t pause, uint64_t least) {
        uint64_t now = clock_now(schedule->event), next = schedule->begun_usec + pause;

        return next < now + least ? least : next - now;
}

/* A change is acted upon when two scans agree, so scans are SettleTime= apart; only the first one after a quiet time
 * comes soon. */
static uint64_t until_settled(const ScanSchedule *schedule, const MirrorConfig *config) {
        return until(schedule, config->settle_usec, DEBOUNCE_USEC);
}

/* What clients put into the mirror is to be on disk soon; but scans may not take all there is of the processor. */
static uint64_t until_quick(const ScanSchedule *schedule) {
        return until(schedule, 3 * schedule->effort_usec, QUICK_USEC);
}

void scan_schedule_request(ScanSchedule *schedule, bool idle) {
        schedule->mirror.dirty = true;
        if (idle)
                plan_scan(schedule, until_quick(schedule));
}

/* True if it is the first report to say that there are no more watches. */
static bool note(Watched *watched, const WatchReport *report) {
        bool first = report->flags & WATCH_EXHAUSTED && !watched->exhausted;

        watched->exhausted = watched->exhausted || first;
        watched->lost = watched->lost || report->flags & WATCH_LOST;
        watched->armed = watched->armed || report->flags & WATCH_ARMED;
        watched->dirty = watched->dirty || report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST);
        return first;
}

static bool note_source(ScanSchedule *schedule, const MirrorConfig *config, const WatchReport *report, bool idle) {
        bool first = note(&schedule->source, report);

        /* watched again: what happened before that was not seen */
        if (report->flags & WATCH_ARMED && schedule->started)
                schedule->source.dirty = true;
        if (!schedule->started && report->flags & (WATCH_ARMED | WATCH_EXHAUSTED | WATCH_LOST)) {
                schedule->started = true;
                schedule->scan(schedule->userdata);
        } else if (schedule->source.dirty && idle && schedule->n_source_lost == 0)
                plan_scan(schedule, until_settled(schedule, config));
        return first;
}

int scan_schedule_event(ScanSchedule *schedule, const MirrorConfig *config, const WatchReport *report, bool idle) {
        bool first;

        if (report->root == schedule->source.root)
                return note_source(schedule, config, report, idle);
        first = note(&schedule->mirror, report);
        if (schedule->mirror.dirty && idle)
                plan_scan(schedule, until_quick(schedule));
        return first;
}

void scan_schedule_scan_began(ScanSchedule *schedule) {
        schedule->source.dirty = schedule->mirror.dirty = false;
        clock_timer_stop(&schedule->timer);
        schedule->begun_usec = clock_now(schedule->event);
}

void scan_schedule_scan_ended(ScanSchedule *schedule) {
        schedule->effort_usec = clock_now(schedule->event) - schedule->begun_usec;
}

static bool is_polling(const ScanSchedule *schedule, const MirrorConfig *config) {
        return config->poll_usec > 0 &&
               (schedule->mirror.exhausted ||
                (config->watch_source && (schedule->eventless || schedule->source.exhausted)));
}

/* It may have been away for a moment only: 1, 2, 4, ... seconds, up to what other failures wait. */
static uint64_t until_source_retry(const ScanSchedule *schedule, uint64_t retry_usec) {
        return MIN(retry_usec, USEC_PER_SEC << MIN(schedule->n_source_lost - 1, 5U));
}

void scan_schedule_idle(ScanSchedule *schedule, const MirrorConfig *config, ScanReason reason) {
        uint64_t retry_usec = config->poll_usec > 0 ? MIN(config->poll_usec, RETRY_USEC) : RETRY_USEC;
        bool lost = reason == SCAN_REASON_SOURCE_LOST;

        schedule->n_source_lost = lost ? schedule->n_source_lost + 1 : 0;
        if (reason == SCAN_REASON_NOW)
                plan_scan(schedule, 0);
        else if (schedule->mirror.dirty)
                plan_scan(schedule, until_quick(schedule));
        else if (reason == SCAN_REASON_UNSETTLED || (schedule->source.dirty && !lost))
                plan_scan(schedule, until_settled(schedule, config));
        else if (lost)
                plan_scan(schedule, until_source_retry(schedule, retry_usec));
        else if (reason == SCAN_REASON_HURT)
                plan_scan(schedule, retry_usec);
        else if (is_polling(schedule, config))
                plan_scan(schedule, config->poll_usec);
}
