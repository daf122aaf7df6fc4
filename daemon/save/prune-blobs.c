/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Shared content that clients deleted. See save/prune-blobs.h. */

#include "save/prune-blobs.h"

#include "base/log.h"
#include "base/strv.h"
#include "base/text.h"
#include "plan/unreferenced.h"

/* How long a run is put off while something is still on its way to the disk, which may reference a blob. */
#define POSTPONED_USEC (10 * USEC_PER_SEC)

static bool prepare(void *userdata) {
        BlobPruner *pruner = userdata;

        if (!pruner->marked || !pruner->may_run(pruner->userdata) ||
            manifest_copy(pruner->marked, &pruner->candidates) < 0)
                return false;
        if (disk_open(&pruner->disk, pruner->sourcefd, pruner->config->name) < 0) {
                pruner->candidates = manifest_free(pruner->candidates);
                return false;
        }
        pruner->disk_layout = pruner->layout;
        pruner->trash = pruner->config->deletes == DELETES_TRASH;
        pruner->n_removed_now = pruner->bytes_now = 0;
        return true;
}

static void remove_unreferenced(BlobPruner *pruner, char *const *unreferenced) {
        for (; *unreferenced; unreferenced++) {
                const Entry *entry = manifest_find(pruner->candidates, *unreferenced);

                if (!entry || disk_remove(&pruner->disk, entry->path, entry, pruner->trash) != 0)
                        continue; /* something else has its name by now, or the next start sees to it */
                pruner->n_removed_now++;
                pruner->bytes_now += entry->size;
        }
}

static void prune(void *userdata) {
        BlobPruner *pruner = userdata;
        _cleanup_(freep) char **paths = calloc(pruner->candidates->n_entries + 1, sizeof(char *));
        _cleanup_(strv_freep) char **unreferenced = NULL;

        pruner->result = -ENOMEM;
        if (!paths)
                return;
        for (size_t i = 0; i < pruner->candidates->n_entries; i++)
                paths[i] = pruner->candidates->entries[i].path;
        pruner->result = unreferenced_find(pruner->disk_layout, pruner->disk.rootfd, paths, &unreferenced,
                                           &pruner->unclear_now);
        if (pruner->result == 0)
                remove_unreferenced(pruner, unreferenced);
}

static void log_result(BlobPruner *pruner) {
        LogFields fields = { .mirror = pruner->config->name };
        char bytes[TEXT_BYTES_MAX], source[TEXT_PATH_MAX], path[TEXT_PATH_MAX];

        (void) text_path(source, pruner->config->source);
        if (pruner->n_removed_now > 0)
                log_event(LOG_INFO, &fields,
                          "%s %zu blobs (%s) %s '%s'%s; clients deleted them and nothing references them any more",
                          pruner->trash ? "Moved" : "Removed", pruner->n_removed_now,
                          text_bytes(bytes, pruner->bytes_now), pruner->trash ? "in" : "from", source,
                          pruner->trash ? " to the trash" : "");
        if (pruner->result != UNREFERENCED_UNSURE || string_equal(pruner->unclear_now, pruner->unclear))
                return;
        log_event(LOG_NOTICE, &fields,
                  "Failed to parse '%s' in '%s', so it is unknown which blobs it references; keeping all blobs that "
                  "clients deleted",
                  text_path(path, pruner->unclear_now), source);
        free(pruner->unclear);
        pruner->unclear = TAKE_PTR(pruner->unclear_now);
}

static void finish(void *userdata) {
        BlobPruner *pruner = userdata;

        log_result(pruner);
        pruner->n_removed += pruner->n_removed_now;
        if (pruner->result == 0)
                pruner->marked = manifest_free(pruner->marked);
        else if (pruner->marked)
                periodic_job_plan(&pruner->job, pruner->config->sweep_delay_usec);
        disk_close(&pruner->disk);
        pruner->candidates = manifest_free(pruner->candidates);
        free(pruner->unclear_now);
        pruner->unclear_now = NULL;
        pruner->ended(pruner->userdata);
}

void prune_blobs_init(BlobPruner *pruner) {
        pruner->job.prepare = prepare;
        pruner->job.work = prune;
        pruner->job.finish = finish;
        pruner->job.userdata = pruner;
        pruner->job.retry_usec = POSTPONED_USEC;
}

void prune_blobs_done(BlobPruner *pruner) {
        periodic_job_done(&pruner->job);
        pruner->marked = manifest_free(pruner->marked);
        free(pruner->unclear);
        pruner->unclear = NULL;
}

void prune_blobs_update(BlobPruner *pruner, const Manifest *base, LayoutKind layout, int sourcefd) {
        Manifest *marked = NULL;
        bool fresh = false;

        pruner->layout = layout;
        pruner->sourcefd = sourcefd;
        for (size_t i = 0; i < base->n_entries; i++) {
                Entry entry = base->entries[i];

                if ((entry.flags & (ENTRY_RECORD | ENTRY_CONDEMNED)) != (ENTRY_RECORD | ENTRY_CONDEMNED))
                        continue;
                fresh = fresh || !pruner->marked || !manifest_find(pruner->marked, entry.path);
                entry.ino = 0; /* it is the mirror's */
                if ((!marked && manifest_new(&marked) < 0) || manifest_put(marked, &entry) < 0)
                        break;
        }
        if (marked)
                manifest_sort(marked);
        (void) manifest_free(pruner->marked);
        pruner->marked = marked;
        if (!marked)
                periodic_job_plan(&pruner->job, UINT64_MAX);
        else if (fresh && !pruner->job.running)
                periodic_job_plan(&pruner->job, pruner->config->sweep_delay_usec);
}
