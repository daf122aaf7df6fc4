/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Messages to the service manager. See report/notify.h. */

#include "report/notify.h"

#include "base/clock.h"
#include "base/log.h"
#include "report/progress-bar.h"

#include <systemd/sd-daemon.h>

/* With each progress the timeout of a start or stop is extended by so much: more than the longest pause that a slow
 * server makes, less than an operator would wait for a dead one. */
#define EXTENSION_USEC (30 * USEC_PER_SEC)
/* The same while a stop still has to save something that is in RAM only. */
#define EXTENSION_UNSAVED_USEC (120 * USEC_PER_SEC)

/* For so long after a staging or a stop begins, the status is updated often: short ones are over by then. */
#define QUICK_USEC (2 * USEC_PER_SEC)

void notify_init(Notify *notify) {
        *notify = (Notify){ .progress_usec = clock_usec(CLOCK_MONOTONIC), .terminal = progress_bar_is_possible() };
        if (notify->terminal)
                log_set_before_line(progress_bar_clear);
}

void notify_done(Notify *notify) {
        if (notify->terminal)
                progress_bar_clear();
        log_set_before_line(NULL);
        free(notify->status);
        notify->status = NULL;
}

static StatusRate measure(Notify *notify, const MirrorStatus *mirrors, size_t n) {
        uint64_t progress = 0, now = clock_usec(CLOCK_MONOTONIC);
        bool staging = false, busy = false;
        StatusRate rate = {};

        for (size_t i = 0; i < n; i++) {
                progress += mirrors[i].life;
                rate.bytes_per_sec += mirrors[i].rate;
                staging = staging || mirrors[i].state == MIRROR_STAGING;
                busy = busy || (mirrors[i].state != MIRROR_IDLE && mirrors[i].state != MIRROR_STOPPED &&
                                mirrors[i].state != MIRROR_FAILED);
        }
        /* a mirror that was idle for an hour is not stalled when its work begins */
        if (progress != notify->progress || (busy && !notify->busy)) {
                notify->progress = progress;
                notify->progress_usec = now;
        }
        notify->busy = busy;
        if (staging && !notify->staging) {
                notify->progress_usec = now;
                notify->quick_usec = now + QUICK_USEC;
        }
        notify->staging = staging;
        rate.stalled_usec = now - notify->progress_usec;
        return rate;
}

static uint64_t extension_usec(const MirrorStatus *mirrors, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (mirrors[i].state == MIRROR_SAVING && mirrors[i].n_unsaved > 0)
                        return EXTENSION_UNSAVED_USEC;
        return EXTENSION_USEC;
}

void notify_status(Notify *notify, const MirrorStatus *mirrors, size_t n, bool waited) {
        uint64_t before = notify->progress;
        StatusRate rate = measure(notify, mirrors, n);
        _cleanup_(freep) char *line = mirror_status_line(mirrors, n, &rate);

        if (waited && notify->progress != before)
                (void) sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long) extension_usec(mirrors, n));
        if (!line || string_equal(line, notify->status))
                return;
        (void) sd_notifyf(0, "STATUS=%s", line); /* without a service manager nothing is lost */
        if (notify->terminal)
                progress_bar_draw(notify->staging, mirror_status_percent(mirrors, n), line);
        free(notify->status);
        notify->status = TAKE_PTR(line);
}

uint64_t notify_stalled_usec(const Notify *notify) {
        return clock_usec(CLOCK_MONOTONIC) - notify->progress_usec;
}

uint64_t notify_interval_usec(const Notify *notify) {
        return clock_usec(CLOCK_MONOTONIC) < notify->quick_usec || notify->terminal ? USEC_PER_SEC / 5 : USEC_PER_SEC;
}

void notify_ready(void) {
        (void) sd_notify(0, "READY=1");
}

void notify_reloading(void) {
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) clock_usec(CLOCK_MONOTONIC));
}

void notify_stopping(Notify *notify) {
        notify->quick_usec = clock_usec(CLOCK_MONOTONIC) + QUICK_USEC;
        (void) sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", (unsigned long long) EXTENSION_USEC);
}

void notify_failure(Notify *notify, const char *text, int error) {
        if (error > 0)
                (void) sd_notifyf(0, "STATUS=Failed: %s\nERRNO=%d", text, error);
        else
                (void) sd_notifyf(0, "STATUS=Failed: %s", text);
        free(notify->status);
        notify->status = NULL;
}
