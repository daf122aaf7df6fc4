/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The trash is emptied in time. See save/trash-expiry.h. */

#include "save/trash-expiry.h"

#include "save/disk.h"

#include <fcntl.h>

/* Nobody waits for it, and an idle daemon shall sleep. */
#define OFTEN_USEC (USEC_PER_SEC)
#define SELDOM_USEC (60 * 60 * USEC_PER_SEC)

typedef struct TrashJob {
        Job job;
        TrashExpiry *trash;
        int fd;
        Disk disk;
        uint64_t keep_usec;
        bool again;
} TrashJob;

static void plan_run(TrashExpiry *trash);

void trash_expiry_done(TrashExpiry *trash) {
        trash->timer = sd_event_source_unref(trash->timer);
}

static void trash_run(Job *job) {
        TrashJob *emptying = (TrashJob *) job;

        /* what could not go now is there the next time */
        (void) disk_empty_trash(&emptying->disk, emptying->keep_usec);
        emptying->again = disk_has_trash(&emptying->disk) != 0;
}

static void trash_came_back(Job *job) {
        TrashJob *done = (TrashJob *) job;
        TrashExpiry *trash = done->trash;

        trash->running = false;
        trash->n_runs++;
        if (done->again)
                plan_run(trash);
        (void) close_fd(done->fd);
        free(done);
        trash->ended(trash->userdata);
}

static int start(TrashExpiry *trash) {
        TrashJob *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        job->fd = fcntl(*trash->sourcefd, F_DUPFD_CLOEXEC, 0);
        if (job->fd < 0) {
                free(job);
                return -errno;
        }
        disk_init(&job->disk, job->fd, trash->config->name);
        job->job = (Job){ .run = trash_run, .done = trash_came_back };
        job->trash = trash;
        job->keep_usec = trash->config->trash_keep_usec;
        trash->running = true;
        pool_submit(trash->pool, &job->job);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        TrashExpiry *trash = userdata;

        (void) source;
        (void) usec;
        if (start(trash) < 0)
                plan_run(trash);
        return 0;
}

static void plan_run(TrashExpiry *trash) {
        uint64_t now, pause = MIN(MAX(trash->config->trash_keep_usec, OFTEN_USEC), SELDOM_USEC);

        if (sd_event_now(trash->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (!trash->timer) {
                (void) sd_event_add_time(trash->event, &trash->timer, CLOCK_MONOTONIC, now + pause, OFTEN_USEC,
                                         on_timer, trash);
                return;
        }
        (void) sd_event_source_set_time(trash->timer, now + pause);
        (void) sd_event_source_set_enabled(trash->timer, SD_EVENT_ONESHOT);
}

void trash_expiry_update(TrashExpiry *trash) {
        int enabled = SD_EVENT_OFF;

        if (trash->running || trash->config->trash_keep_usec == UINT64_MAX)
                return;
        if (trash->timer && sd_event_source_get_enabled(trash->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        plan_run(trash);
}
