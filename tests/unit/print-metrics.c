/* SPDX-License-Identifier: GPL-2.0-or-later */

/* For monitoring.py: the metrics of two mirrors, with a sample in every family. */

#include "report/metrics.h"

int main(void) {
        const MirrorStatus mirrors[] = {
                { .name = "models", .state = MIRROR_IDLE, .ready = true, .files = 12, .bytes = 41 * GIB, .huge_bytes = 99, .measured_bytes = 100,
                  .tmpfs_size = 64 * GIB, .tmpfs_free = 23 * GIB, .unsaved_since_usec = 1700000000 * USEC_PER_SEC },
                { .name = "quote\"back\\slash\nline", .state = MIRROR_STAGING, .todo_bytes = 100, .done_bytes = 50, .source_state = SOURCE_LOST },
        };
        _cleanup_(freep) char *text = metrics_text(mirrors, ELEMENTSOF(mirrors), SHMSTAGED_VERSION);

        return text && fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? 0 : 1;
}
