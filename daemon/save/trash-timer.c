/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What has been in the trash for too long. See save/trash-timer.h. */

#include "save/trash-timer.h"

/* The trash is checked about as often as its content is meant to stay, within these bounds: nobody waits for it, and
 * an idle daemon should sleep. */
#define PAUSE_MIN_USEC (USEC_PER_SEC)
#define PAUSE_MAX_USEC (60 * 60 * USEC_PER_SEC)

static uint64_t pause_usec(const TrashTimer *expiry) {
        return MIN(MAX(expiry->config->trash_keep_usec, PAUSE_MIN_USEC), PAUSE_MAX_USEC);
}

static bool prepare(void *userdata) {
        TrashTimer *expiry = userdata;

        expiry->keep_usec = expiry->config->trash_keep_usec;
        return disk_open(&expiry->disk, *expiry->sourcefd, expiry->config->name) == 0;
}

static void remove_expired(void *userdata) {
        TrashTimer *expiry = userdata;

        (void) disk_empty_trash(&expiry->disk, expiry->keep_usec); /* what cannot go now may go next time */
        expiry->left = disk_has_trash(&expiry->disk) != 0;
}

static void finish(void *userdata) {
        TrashTimer *expiry = userdata;

        disk_close(&expiry->disk);
        expiry->n_runs++;
        if (expiry->left)
                periodic_job_plan(&expiry->job, pause_usec(expiry));
        expiry->ended(expiry->userdata);
}

void trash_timer_init(TrashTimer *expiry) {
        expiry->job.prepare = prepare;
        expiry->job.work = remove_expired;
        expiry->job.finish = finish;
        expiry->job.userdata = expiry;
}

void trash_timer_done(TrashTimer *expiry) {
        periodic_job_done(&expiry->job);
}

void trash_timer_update(TrashTimer *expiry) {
        if (expiry->job.running || expiry->config->trash_keep_usec == UINT64_MAX ||
            periodic_job_is_planned(&expiry->job))
                return;
        expiry->job.retry_usec = pause_usec(expiry);
        periodic_job_plan(&expiry->job, pause_usec(expiry));
}
