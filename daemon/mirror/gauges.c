/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What has to be counted before it can be told. See mirror/gauges.h. */

#include "mirror/gauges.h"

#include "base/clock.h"
#include "os/memory.h"
#include "os/swapped.h"
#include "save/disk.h"

#include <fcntl.h>

/* Whoever asks in a loop gets a new number so often. */
#define SWAP_PAUSE_USEC (10 * USEC_PER_SEC)

void measures_init(Measures *measures) {
        measures->sourcefd = measures->mirrorfd = -1;
        measures->trash_bytes = measures->trash_files = measures->swapped_bytes = UINT64_MAX;
}

void measures_done(Measures *measures) {
        measures->sourcefd = close_fd(measures->sourcefd);
        measures->mirrorfd = close_fd(measures->mirrorfd);
        free(measures->name);
        measures->name = NULL;
}

static void run(Job *job) {
        Measures *measures = (Measures *) job;
        Disk disk;

        if (measures->sourcefd >= 0) {
                disk_init(&disk, measures->sourcefd, measures->name);
                measures->trash_result = disk_count_trash(&disk, &measures->bytes, &measures->files);
        }
        if (measures->mirrorfd >= 0)
                measures->swap_result = swapped_bytes(measures->mirrorfd, &measures->cancel, &measures->swapped);
}

static void came_back(Job *job) {
        Measures *measures = (Measures *) job;

        if (measures->sourcefd >= 0 && measures->trash_result == 0) {
                measures->trash_bytes = measures->bytes;
                measures->trash_files = measures->files;
        }
        if (measures->mirrorfd >= 0)
                measures->swapped_bytes = measures->swap_result == 0 ? measures->swapped : UINT64_MAX;
        measures_done(measures);
        measures->running = false;
        measures->ended(measures->userdata);
}

/* Takes the descriptor of its own that the job looks through. False if there is none to be had. */
static bool prepare(Measures *measures, int fd, int *ret) {
        measures->name = strdup(measures->config->name);
        *ret = fd < 0 || !measures->name ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (*ret < 0)
                measures_done(measures);
        return *ret >= 0;
}

static void start(Measures *measures) {
        atomic_store(&measures->cancel, false);
        measures->running = true;
        measures->job = (Job){ .run = run, .done = came_back };
        pool_submit(measures->pool, &measures->job);
}

void measures_count_trash(Measures *measures, int sourcefd, uint64_t key) {
        if (measures->running || (measures->trash_counted && measures->trash_key == key) || !prepare(measures, sourcefd, &measures->sourcefd))
                return;
        measures->trash_counted = true;
        measures->trash_key = key;
        start(measures);
}

void measures_ask_swap(Measures *measures, int mirrorfd) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC);

        if (measures->running || (measures->swap_usec > 0 && now - measures->swap_usec < SWAP_PAUSE_USEC))
                return;
        measures->swap_usec = now;
        if (!memory_swap_is_used("/proc"))
                measures->swapped_bytes = 0;
        else if (prepare(measures, mirrorfd, &measures->mirrorfd))
                start(measures);
}

void measures_stop(Measures *measures) {
        atomic_store(&measures->cancel, true);
}
