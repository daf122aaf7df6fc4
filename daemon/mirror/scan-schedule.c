/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When a source is looked at again. See mirror/scan-schedule.h. */

#include "mirror/scan-schedule.h"

#include "tree/scan.h"

/* After the first sign of a change, more may be on their way. */
#define DEBOUNCE_USEC (USEC_PER_SEC / 4)
/* The same for the mirror. */
#define QUICK_USEC (USEC_PER_SEC / 20)
/* A source that is lost, and a file that could not be read, are tried this often where PollInterval= says nothing shorter. */
#define RETRY_USEC (30 * USEC_PER_SEC)

static bool wants_watch(const Lookout *lookout, const MirrorConfig *config) {
        return config->watch_source && !lookout->eventless && !lookout->exhausted;
}

static int start_watch(Lookout *lookout, const MirrorConfig *config) {
        int r = watch_add(lookout->watch, lookout->number * 2, config->source, SCAN_PRIVATE);

        lookout->watched = r >= 0;
        lookout->exhausted = r < 0;
        lookout->broken = false;
        return r < 0 ? r : 0;
}

static void stop_watch(Lookout *lookout) {
        if (lookout->watched)
                (void) watch_remove(lookout->watch, lookout->number * 2); /* it was there */
        lookout->watched = false;
}

/* The watch comes before the first look, so that no change falls between the two. */
int lookout_begin(Lookout *lookout, const MirrorConfig *config, bool eventless) {
        int r = 0;

        lookout->eventless = eventless;
        if (wants_watch(lookout, config))
                r = start_watch(lookout, config);
        if (!lookout->watched) {
                lookout->armed = true;
                lookout->look(lookout->userdata);
        }
        return r;
}

int lookout_adjust(Lookout *lookout, const MirrorConfig *config, bool anew) {
        if (anew || !wants_watch(lookout, config))
                stop_watch(lookout);
        if (lookout->watched || !wants_watch(lookout, config))
                return 0;
        return start_watch(lookout, config);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Lookout *lookout = userdata;

        (void) source;
        (void) usec;
        lookout->look(lookout->userdata);
        return 0;
}

/* A look that is planned for an earlier time stays: a source that never rests cannot put it off for ever. */
static void plan_look(Lookout *lookout, uint64_t usec) {
        uint64_t now, planned, accuracy = usec / 16 + 1; /* left to sd-event, it would be a quarter of a second for every pause */
        int enabled = SD_EVENT_OFF;

        if (sd_event_now(lookout->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (!lookout->timer) {
                (void) sd_event_add_time(lookout->event, &lookout->timer, CLOCK_MONOTONIC, now + usec, accuracy, on_timer, lookout);
                return;
        }
        if (sd_event_source_get_enabled(lookout->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
            sd_event_source_get_time(lookout->timer, &planned) >= 0 && planned <= now + usec)
                return;
        (void) sd_event_source_set_time_accuracy(lookout->timer, accuracy);
        (void) sd_event_source_set_time(lookout->timer, now + usec);
        (void) sd_event_source_set_enabled(lookout->timer, SD_EVENT_ONESHOT);
}

/* What changed is acted upon when two looks agree, so looks are SettleTime= apart; only the first one after a quiet time comes
 * soon. */
static uint64_t until_settled(const Lookout *lookout, const MirrorConfig *config) {
        uint64_t now, next = lookout->looked_usec + config->settle_usec;

        if (sd_event_now(lookout->event, CLOCK_MONOTONIC, &now) < 0 || next < now + DEBOUNCE_USEC)
                return DEBOUNCE_USEC;
        return next - now;
}

/* What clients put into the mirror is to be on disk soon; but looks may not take all there is of the processor. */
static uint64_t until_quick(const Lookout *lookout) {
        uint64_t now, next = lookout->looked_usec + 3 * lookout->effort_usec;

        if (sd_event_now(lookout->event, CLOCK_MONOTONIC, &now) < 0 || next < now + QUICK_USEC)
                return QUICK_USEC;
        return next - now;
}

int lookout_guard(Lookout *lookout, const MirrorConfig *config) {
        int r;

        if (lookout->guarded)
                return 0;
        lookout->guard_armed = lookout->guard_lost = false;
        r = watch_add(lookout->watch, lookout->number * 2 + 1, config->target, SCAN_PRIVATE);
        lookout->guarded = r >= 0;
        lookout->guard_blind = r < 0;
        return r < 0 ? r : 0;
}

bool lookout_is_guarding(const Lookout *lookout) {
        return lookout->guard_armed || lookout->guard_blind || lookout->guard_lost;
}

void lookout_ask(Lookout *lookout, bool resting) {
        lookout->mirror_dirty = true;
        if (resting)
                plan_look(lookout, until_quick(lookout));
}

void lookout_end_guard(Lookout *lookout) {
        if (lookout->guarded)
                (void) watch_remove(lookout->watch, lookout->number * 2 + 1); /* it was there */
        lookout->guarded = lookout->guard_armed = lookout->guard_blind = lookout->guard_lost = false;
}

static int notice_mirror(Lookout *lookout, const WatchReport *report, bool resting) {
        bool first = report->flags & WATCH_EXHAUSTED && !lookout->guard_blind;

        lookout->guard_blind = lookout->guard_blind || first;
        lookout->guard_lost = lookout->guard_lost || (report->flags & WATCH_LOST) != 0;
        lookout->guard_armed = lookout->guard_armed || (report->flags & WATCH_ARMED) != 0;
        if (report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST))
                lookout->mirror_dirty = true;
        if (lookout->mirror_dirty && resting)
                plan_look(lookout, until_quick(lookout));
        return first;
}

int lookout_notice(Lookout *lookout, const MirrorConfig *config, const WatchReport *report, bool resting) {
        bool first = report->flags & WATCH_EXHAUSTED && !lookout->exhausted;

        if (report->root % 2 == 1)
                return notice_mirror(lookout, report, resting);
        lookout->exhausted = lookout->exhausted || first;
        lookout->broken = lookout->broken || (report->flags & WATCH_LOST) != 0;
        /* armed again: what happened before that was not seen */
        if (report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST) || (report->flags & WATCH_ARMED && lookout->armed))
                lookout->dirty = true;
        if (!lookout->armed && report->flags & (WATCH_ARMED | WATCH_EXHAUSTED | WATCH_LOST)) {
                lookout->armed = true;
                lookout->look(lookout->userdata);
        } else if (lookout->dirty && resting && !lookout->lost)
                plan_look(lookout, until_settled(lookout, config));
        return first;
}

void lookout_begun(Lookout *lookout) {
        lookout->dirty = lookout->mirror_dirty = false;
        if (lookout->timer)
                (void) sd_event_source_set_enabled(lookout->timer, SD_EVENT_OFF);
        (void) sd_event_now(lookout->event, CLOCK_MONOTONIC, &lookout->looked_usec); /* if not, the next comes sooner */
}

void lookout_came_back(Lookout *lookout) {
        uint64_t now;

        if (sd_event_now(lookout->event, CLOCK_MONOTONIC, &now) >= 0)
                lookout->effort_usec = now - lookout->looked_usec;
}

static bool is_polling(const Lookout *lookout, const MirrorConfig *config) {
        return config->poll_usec > 0 && (lookout->guard_blind || (config->watch_source && (lookout->eventless || lookout->exhausted)));
}

void lookout_rest(Lookout *lookout, const MirrorConfig *config, LookoutReason reason) {
        uint64_t poll_usec = config->poll_usec > 0 ? config->poll_usec : RETRY_USEC;

        lookout->lost = reason == LOOKOUT_LOST;
        lookout->n_lost = lookout->lost ? lookout->n_lost + 1 : 0;
        if (reason == LOOKOUT_NOW)
                plan_look(lookout, 0);
        else if (lookout->mirror_dirty)
                plan_look(lookout, until_quick(lookout));
        else if (reason == LOOKOUT_UNSETTLED || (lookout->dirty && !lookout->lost))
                plan_look(lookout, until_settled(lookout, config));
        else if (reason == LOOKOUT_LOST) /* it may have been away for a moment only */
                plan_look(lookout, MIN(MIN(poll_usec, RETRY_USEC), USEC_PER_SEC << MIN(lookout->n_lost - 1, 5U)));
        else if (reason == LOOKOUT_HURT)
                plan_look(lookout, MIN(poll_usec, RETRY_USEC));
        else if (is_polling(lookout, config))
                plan_look(lookout, poll_usec);
}

void lookout_end(Lookout *lookout) {
        stop_watch(lookout);
        lookout_end_guard(lookout);
        lookout->timer = sd_event_source_unref(lookout->timer);
}
