/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Figures for the status that take some counting. See mirror/gauges.h. */

#include "mirror/gauges.h"

#include "os/memory.h"
#include "os/swapped.h"

#include <fcntl.h>

/* Requests that come in quick succession get the same figure. */
#define SWAP_PAUSE_USEC (10 * USEC_PER_SEC)

static void count(void *userdata) {
        Gauges *gauges = userdata;

        if (gauges->disk.rootfd >= 0)
                gauges->trash_result = disk_count_trash(&gauges->disk, &gauges->bytes, &gauges->files);
        if (gauges->mirrorfd >= 0)
                gauges->swap_result = swapped_bytes(gauges->mirrorfd, &gauges->job.stop, &gauges->swapped);
}

static void finish(void *userdata) {
        Gauges *gauges = userdata;

        if (gauges->disk.rootfd >= 0 && gauges->trash_result == 0) {
                gauges->trash_bytes = gauges->bytes;
                gauges->trash_files = gauges->files;
        }
        if (gauges->mirrorfd >= 0)
                gauges->swapped_bytes = gauges->swap_result == 0 ? gauges->swapped : UINT64_MAX;
        gauges_done(gauges);
        gauges->ended(gauges->userdata);
}

void gauges_init(Gauges *gauges) {
        gauges->job.work = count;
        gauges->job.finish = finish;
        gauges->job.userdata = gauges;
        gauges->disk.rootfd = gauges->mirrorfd = -1;
        gauges->trash_bytes = gauges->trash_files = gauges->swapped_bytes = UINT64_MAX;
}

void gauges_done(Gauges *gauges) {
        disk_close(&gauges->disk);
        gauges->mirrorfd = close_fd(gauges->mirrorfd);
}

void gauges_count_trash(Gauges *gauges, int sourcefd, uint64_t key) {
        if (gauges->job.running || (gauges->trash_counted && gauges->trash_key == key) ||
            disk_open(&gauges->disk, sourcefd, gauges->config->name) < 0)
                return;
        gauges->trash_counted = true;
        gauges->trash_key = key;
        (void) periodic_job_start(&gauges->job);
}

void gauges_count_swap(Gauges *gauges, int mirrorfd) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC);

        if (gauges->job.running || (gauges->swap_usec > 0 && now - gauges->swap_usec < SWAP_PAUSE_USEC))
                return;
        gauges->swap_usec = now;
        if (!memory_swap_is_used("/proc")) {
                gauges->swapped_bytes = 0;
                return;
        }
        gauges->mirrorfd = fcntl(mirrorfd, F_DUPFD_CLOEXEC, 0);
        if (gauges->mirrorfd >= 0)
                (void) periodic_job_start(&gauges->job);
}
