/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the service manager hears. See report/notify.h. */

#include "report/notify.h"

#include "base/clock.h"
#include "base/log.h"
#include "report/progress-bar.h"

#include <systemd/sd-daemon.h>

/* By this much a timeout is moved with each sign of life: more than the longest pause between two of them on a slow
 * server, less than anyone would wait for a dead one. */
#define EXTENSION_USEC (30 * USEC_PER_SEC)
/* The same while something is only in RAM yet. */
#define EXTENSION_UNSAVED_USEC (120 * USEC_PER_SEC)

/* For so long after a beginning the progress is looked at often. */
#define QUICK_USEC (2 * USEC_PER_SEC)

void notify_init(Notify *notify) {
        *notify = (Notify){ .moved_usec = clock_usec(CLOCK_MONOTONIC), .terminal = progress_bar_is_possible() };
        if (notify->terminal)
                log_set_before_line(progress_bar_clear);
}

void notify_done(Notify *notify) {
        if (notify->terminal)
                progress_bar_clear();
        log_set_before_line(NULL);
        free(notify->said);
        notify->said = NULL;
}

static StatusRate measure(Notify *notify, const MirrorStatus *mirrors, size_t n) {
        uint64_t life = 0, now = clock_usec(CLOCK_MONOTONIC);
        bool private_dir = false, busy = false;
        StatusRate rate = {};

        for (size_t i = 0; i < n; i++) {
                life += mirrors[i].life;
                rate.bytes_per_sec += mirrors[i].rate;
                private_dir = private_dir || mirrors[i].state == MIRROR_STAGING;
                busy = busy || (mirrors[i].state != MIRROR_IDLE && mirrors[i].state != MIRROR_STOPPED &&
                                mirrors[i].state != MIRROR_FAILED);
        }
        /* who has rested for an hour has not stood still for an hour when the work begins */
        if (life != notify->life || (busy && !notify->busy)) {
                notify->life = life;
                notify->moved_usec = now;
        }
        notify->busy = busy;
        if (private_dir && !notify->private_dir) {
                notify->moved_usec = now;
                notify->quick_usec = now + QUICK_USEC;
        }
        notify->private_dir = private_dir;
        rate.stalled_usec = now - notify->moved_usec;
        return rate;
}

static uint64_t extension_usec(const MirrorStatus *mirrors, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (mirrors[i].state == MIRROR_SAVING && mirrors[i].n_unsaved > 0)
                        return EXTENSION_UNSAVED_USEC;
        return EXTENSION_USEC;
}

void notify_status(Notify *notify, const MirrorStatus *mirrors, size_t n, bool waited) {
        uint64_t before = notify->life;
        StatusRate rate = measure(notify, mirrors, n);
        _cleanup_(freep) char *line = mirror_status_line(mirrors, n, &rate);

        if (waited && notify->life != before)
                (void) sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long) extension_usec(mirrors, n));
        if (!line || string_equal(line, notify->said))
                return;
        (void) sd_notifyf(0, "STATUS=%s", line); /* nobody listens: nothing is lost */
        if (notify->terminal)
                progress_bar_draw(notify->private_dir, mirror_status_percent(mirrors, n), line);
        free(notify->said);
        notify->said = TAKE_PTR(line);
}

uint64_t notify_stalled_usec(const Notify *notify) {
        return clock_usec(CLOCK_MONOTONIC) - notify->moved_usec;
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
        free(notify->said);
        notify->said = NULL;
}
