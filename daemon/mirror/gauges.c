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

void gauges_init(Gauges *gauges) {
        gauges->sourcefd = gauges->mirrorfd = -1;
        gauges->trash_bytes = gauges->trash_files = gauges->swapped_bytes = UINT64_MAX;
}

void gauges_done(Gauges *gauges) {
        gauges->sourcefd = close_fd(gauges->sourcefd);
        gauges->mirrorfd = close_fd(gauges->mirrorfd);
        free(gauges->name);
        gauges->name = NULL;
}

static void run(Job *job) {
        Gauges *gauges = (Gauges *) job;
        Disk disk;

        if (gauges->sourcefd >= 0) {
                disk_init(&disk, gauges->sourcefd, gauges->name);
                gauges->trash_result = disk_count_trash(&disk, &gauges->bytes, &gauges->files);
        }
        if (gauges->mirrorfd >= 0)
                gauges->swap_result = swapped_bytes(gauges->mirrorfd, &gauges->cancel, &gauges->swapped);
}

static void came_back(Job *job) {
        Gauges *gauges = (Gauges *) job;

        if (gauges->sourcefd >= 0 && gauges->trash_result == 0) {
                gauges->trash_bytes = gauges->bytes;
                gauges->trash_files = gauges->files;
        }
        if (gauges->mirrorfd >= 0)
                gauges->swapped_bytes = gauges->swap_result == 0 ? gauges->swapped : UINT64_MAX;
        gauges_done(gauges);
        gauges->running = false;
        gauges->ended(gauges->userdata);
}

/* Takes the descriptor of its own that the job looks through. False if there is none to be had. */
static bool prepare(Gauges *gauges, int fd, int *ret) {
        gauges->name = strdup(gauges->config->name);
        *ret = fd < 0 || !gauges->name ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (*ret < 0)
                gauges_done(gauges);
        return *ret >= 0;
}

static void start(Gauges *gauges) {
        atomic_store(&gauges->cancel, false);
        gauges->running = true;
        gauges->job = (Job){ .run = run, .done = came_back };
        pool_submit(gauges->pool, &gauges->job);
}

void gauges_count_trash(Gauges *gauges, int sourcefd, uint64_t key) {
        if (gauges->running || (gauges->trash_counted && gauges->trash_key == key) ||
            !prepare(gauges, sourcefd, &gauges->sourcefd))
                return;
        gauges->trash_counted = true;
        gauges->trash_key = key;
        start(gauges);
}

void gauges_ask_swap(Gauges *gauges, int mirrorfd) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC);

        if (gauges->running || (gauges->swap_usec > 0 && now - gauges->swap_usec < SWAP_PAUSE_USEC))
                return;
        gauges->swap_usec = now;
        if (!memory_swap_is_used("/proc"))
                gauges->swapped_bytes = 0;
        else if (prepare(gauges, mirrorfd, &gauges->mirrorfd))
                start(gauges);
}

void gauges_stop(Gauges *gauges) {
        atomic_store(&gauges->cancel, true);
}
