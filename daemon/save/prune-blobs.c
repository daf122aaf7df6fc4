/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Deleted shared content leaves the disk. See save/prune-blobs.h. */

#include "save/prune-blobs.h"

#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"
#include "plan/select.h"
#include "save/disk.h"

#include <fcntl.h>

/* Something is still on its way to the disk. */
#define POSTPONED_USEC (10 * USEC_PER_SEC)

typedef struct SweepJob {
        Job job;
        Sweep *sweep;
        int fd;
        Disk disk;
        LayoutKind layout;
        bool trash;
        Manifest *condemned;
        /* results */
        int result;
        char *unsure;
        size_t n_removed;
        uint64_t bytes;
} SweepJob;

static void plan_run(Sweep *sweep, uint64_t usec);

void sweep_done(Sweep *sweep) {
        sweep->timer = sd_event_source_unref(sweep->timer);
        sweep->condemned = manifest_free(sweep->condemned);
        free(sweep->unsure);
        sweep->unsure = NULL;
}

static void remove_unneeded(SweepJob *sweep, char *const *unneeded) {
        for (; *unneeded; unneeded++) {
                const Entry *entry = manifest_find(sweep->condemned, *unneeded);

                if (!entry || disk_remove(&sweep->disk, entry->path, entry, sweep->trash) != 0)
                        continue; /* it is something else by now, or the next start sees to it */
                sweep->n_removed++;
                sweep->bytes += entry->size;
        }
}

static void sweep_run(Job *job) {
        SweepJob *sweep = (SweepJob *) job;
        char **paths = calloc(sweep->condemned->n_entries + 1, sizeof(char *));
        _cleanup_(strv_freep) char **unneeded = NULL;

        sweep->result = -ENOMEM;
        for (size_t i = 0; paths && i < sweep->condemned->n_entries; i++)
                paths[i] = sweep->condemned->entries[i].path;
        if (paths)
                sweep->result = choice_sweep(sweep->layout, sweep->fd, paths, &unneeded, &sweep->unsure);
        if (sweep->result == 0 && unneeded)
                remove_unneeded(sweep, unneeded);
        free(paths);
}

static void tell(Sweep *sweep, SweepJob *job) {
        LogFields fields = { .mirror = sweep->config->name };
        char bytes[TEXT_BYTES_MAX], source[TEXT_PATH_MAX], path[TEXT_PATH_MAX];

        (void) text_path(source, sweep->config->source);
        if (job->n_removed > 0)
                log_event(LOG_INFO, &fields, "%zu blobs (%s) that clients deleted and that nothing in '%s' names any more were %s", job->n_removed,
                          text_bytes(bytes, job->bytes), source, job->trash ? "moved to the trash" : "removed");
        if (job->result != CHOICE_UNSURE || string_equal(job->unsure, sweep->unsure))
                return;
        log_event(LOG_NOTICE, &fields, "Blobs that clients deleted stay on the disk: '%s' in '%s' cannot be understood, so nobody knows what it names",
                  text_path(path, job->unsure ? job->unsure : "?"), source);
        free(sweep->unsure);
        sweep->unsure = TAKE_PTR(job->unsure);
}

static void sweep_came_back(Job *job) {
        SweepJob *done = (SweepJob *) job;
        Sweep *sweep = done->sweep;

        tell(sweep, done);
        sweep->n_removed += done->n_removed;
        sweep->running = false;
        if (done->result != 0)
                plan_run(sweep, sweep->config->sweep_delay_usec);
        else
                sweep->condemned = manifest_free(sweep->condemned);
        (void) close_fd(done->fd);
        (void) manifest_free(done->condemned);
        free(done->unsure);
        free(done);
        sweep->ended(sweep->userdata);
}

static int start(Sweep *sweep) {
        SweepJob *job = calloc(1, sizeof(*job));
        int r;

        if (!job)
                return -ENOMEM;
        r = manifest_new(&job->condemned);
        for (size_t i = 0; r == 0 && i < sweep->condemned->n_entries; i++)
                r = manifest_put(job->condemned, &sweep->condemned->entries[i]);
        job->fd = r == 0 ? fcntl(sweep->sourcefd, F_DUPFD_CLOEXEC, 0) : -1;
        if (job->fd < 0) {
                (void) manifest_free(job->condemned);
                free(job);
                return r < 0 ? r : -errno;
        }
        manifest_sort(job->condemned);
        disk_init(&job->disk, job->fd, sweep->config->name);
        job->job = (Job){ .run = sweep_run, .done = sweep_came_back };
        job->sweep = sweep;
        job->layout = sweep->layout;
        job->trash = sweep->config->deletes == DELETES_TRASH;
        sweep->running = true;
        pool_submit(sweep->pool, &job->job);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Sweep *sweep = userdata;

        (void) source;
        (void) usec;
        if (sweep->running || !sweep->condemned)
                return 0;
        if (!sweep->may_run(sweep->userdata) || start(sweep) < 0)
                plan_run(sweep, POSTPONED_USEC);
        return 0;
}

static void plan_run(Sweep *sweep, uint64_t usec) {
        uint64_t now;

        if (sd_event_now(sweep->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (!sweep->timer) {
                (void) sd_event_add_time(sweep->event, &sweep->timer, CLOCK_MONOTONIC, now + usec, 0, on_timer, sweep);
                return;
        }
        (void) sd_event_source_set_time(sweep->timer, now + usec);
        (void) sd_event_source_set_enabled(sweep->timer, SD_EVENT_ONESHOT);
}

void sweep_update(Sweep *sweep, const Manifest *base, LayoutKind layout, int sourcefd) {
        Manifest *condemned = NULL;
        bool fresh = false;

        sweep->layout = layout;
        sweep->sourcefd = sourcefd;
        for (size_t i = 0; i < base->n_entries; i++) {
                Entry entry = base->entries[i];

                if ((entry.flags & (ENTRY_RECORD | ENTRY_CONDEMNED)) != (ENTRY_RECORD | ENTRY_CONDEMNED))
                        continue;
                fresh = fresh || !sweep->condemned || !manifest_find(sweep->condemned, entry.path);
                entry.ino = 0; /* it is the mirror's */
                if ((!condemned && manifest_new(&condemned) < 0) || manifest_put(condemned, &entry) < 0)
                        break;
        }
        if (condemned)
                manifest_sort(condemned);
        sweep->condemned = manifest_free(sweep->condemned);
        sweep->condemned = condemned;
        if (fresh && !sweep->running)
                plan_run(sweep, sweep->config->sweep_delay_usec);
}
