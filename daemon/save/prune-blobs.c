/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Deleted shared content leaves the disk. See save/prune-blobs.h. */

#include "save/prune-blobs.h"

#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"
#include "plan/unreferenced.h"
#include "save/disk.h"

#include <fcntl.h>

/* Something is still on its way to the disk. */
#define POSTPONED_USEC (10 * USEC_PER_SEC)

typedef struct SweepJob {
        Job job;
        BlobPruner *pruner;
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

static void plan_run(BlobPruner *pruner, uint64_t usec);

void prune_blobs_done(BlobPruner *pruner) {
        pruner->timer = sd_event_source_unref(pruner->timer);
        pruner->condemned = manifest_free(pruner->condemned);
        free(pruner->unsure);
        pruner->unsure = NULL;
}

static void remove_unneeded(SweepJob *pruner, char *const *unneeded) {
        for (; *unneeded; unneeded++) {
                const Entry *entry = manifest_find(pruner->condemned, *unneeded);

                if (!entry || disk_remove(&pruner->disk, entry->path, entry, pruner->trash) != 0)
                        continue; /* it is something else by now, or the next start sees to it */
                pruner->n_removed++;
                pruner->bytes += entry->size;
        }
}

static void prune_blobs_run(Job *job) {
        SweepJob *pruner = (SweepJob *) job;
        char **paths = calloc(pruner->condemned->n_entries + 1, sizeof(char *));
        _cleanup_(strv_freep) char **unneeded = NULL;

        pruner->result = -ENOMEM;
        for (size_t i = 0; paths && i < pruner->condemned->n_entries; i++)
                paths[i] = pruner->condemned->entries[i].path;
        if (paths)
                pruner->result = unreferenced_find(pruner->layout, pruner->fd, paths, &unneeded, &pruner->unsure);
        if (pruner->result == 0 && unneeded)
                remove_unneeded(pruner, unneeded);
        free(paths);
}

static void tell(BlobPruner *pruner, SweepJob *job) {
        LogFields fields = { .mirror = pruner->config->name };
        char bytes[TEXT_BYTES_MAX], source[TEXT_PATH_MAX], path[TEXT_PATH_MAX];

        (void) text_path(source, pruner->config->source);
        if (job->n_removed > 0)
                log_event(LOG_INFO, &fields,
                          "%zu blobs (%s) that clients deleted and that nothing in '%s' names any more were %s",
                          job->n_removed, text_bytes(bytes, job->bytes), source,
                          job->trash ? "moved to the trash" : "removed");
        if (job->result != UNREFERENCED_UNSURE || string_equal(job->unsure, pruner->unsure))
                return;
        log_event(LOG_NOTICE, &fields,
                  "Blobs that clients deleted stay on the disk: '%s' in '%s' cannot be understood, so nobody knows "
                  "what it names",
                  text_path(path, job->unsure ? job->unsure : "?"), source);
        free(pruner->unsure);
        pruner->unsure = TAKE_PTR(job->unsure);
}

static void prune_blobs_came_back(Job *job) {
        SweepJob *done = (SweepJob *) job;
        BlobPruner *pruner = done->pruner;

        tell(pruner, done);
        pruner->n_removed += done->n_removed;
        pruner->running = false;
        if (done->result != 0)
                plan_run(pruner, pruner->config->sweep_delay_usec);
        else
                pruner->condemned = manifest_free(pruner->condemned);
        (void) close_fd(done->fd);
        (void) manifest_free(done->condemned);
        free(done->unsure);
        free(done);
        pruner->ended(pruner->userdata);
}

static int start(BlobPruner *pruner) {
        SweepJob *job = calloc(1, sizeof(*job));
        int r;

        if (!job)
                return -ENOMEM;
        r = manifest_new(&job->condemned);
        for (size_t i = 0; r == 0 && i < pruner->condemned->n_entries; i++)
                r = manifest_put(job->condemned, &pruner->condemned->entries[i]);
        job->fd = r == 0 ? fcntl(pruner->sourcefd, F_DUPFD_CLOEXEC, 0) : -1;
        if (job->fd < 0) {
                (void) manifest_free(job->condemned);
                free(job);
                return r < 0 ? r : -errno;
        }
        manifest_sort(job->condemned);
        disk_init(&job->disk, job->fd, pruner->config->name);
        job->job = (Job){ .run = prune_blobs_run, .done = prune_blobs_came_back };
        job->pruner = pruner;
        job->layout = pruner->layout;
        job->trash = pruner->config->deletes == DELETES_TRASH;
        pruner->running = true;
        pool_submit(pruner->pool, &job->job);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        BlobPruner *pruner = userdata;

        (void) source;
        (void) usec;
        if (pruner->running || !pruner->condemned)
                return 0;
        if (!pruner->may_run(pruner->userdata) || start(pruner) < 0)
                plan_run(pruner, POSTPONED_USEC);
        return 0;
}

static void plan_run(BlobPruner *pruner, uint64_t usec) {
        uint64_t now;

        if (sd_event_now(pruner->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (!pruner->timer) {
                (void) sd_event_add_time(pruner->event, &pruner->timer, CLOCK_MONOTONIC, now + usec, 0, on_timer,
                                         pruner);
                return;
        }
        (void) sd_event_source_set_time(pruner->timer, now + usec);
        (void) sd_event_source_set_enabled(pruner->timer, SD_EVENT_ONESHOT);
}

void prune_blobs_update(BlobPruner *pruner, const Manifest *base, LayoutKind layout, int sourcefd) {
        Manifest *condemned = NULL;
        bool fresh = false;

        pruner->layout = layout;
        pruner->sourcefd = sourcefd;
        for (size_t i = 0; i < base->n_entries; i++) {
                Entry entry = base->entries[i];

                if ((entry.flags & (ENTRY_RECORD | ENTRY_CONDEMNED)) != (ENTRY_RECORD | ENTRY_CONDEMNED))
                        continue;
                fresh = fresh || !pruner->condemned || !manifest_find(pruner->condemned, entry.path);
                entry.ino = 0; /* it is the mirror's */
                if ((!condemned && manifest_new(&condemned) < 0) || manifest_put(condemned, &entry) < 0)
                        break;
        }
        if (condemned)
                manifest_sort(condemned);
        pruner->condemned = manifest_free(pruner->condemned);
        pruner->condemned = condemned;
        if (fresh && !pruner->running)
                plan_run(pruner, pruner->config->sweep_delay_usec);
}
