/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Whether a process can have written to a file of the mirror. See mirror/scrub-writers.h. */

#include "mirror/scrub-writers.h"

void scrub_writers_done(ScrubWriters *writers) {
        (void) manifest_free(writers->good);
        pathset_done(&writers->before);
        pathset_done(&writers->present);
        *writers = (ScrubWriters){};
}

void scrub_writers_note(ScrubWriters *writers, const WatchReport *report) {
        if (report->flags & (WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED))
                writers->blind = true;
        for (size_t i = 0; i < report->n_paths && !writers->blind; i++)
                if (pathset_gather(&writers->present, report->paths[i], WATCH_REPORT_PATHS_MAX) < 0)
                        writers->blind = true;
        if (writers->blind)
                pathset_done(&writers->present);
}

void scrub_writers_begin(ScrubWriters *writers, bool watching) {
        pathset_done(&writers->before);
        writers->before = writers->present;
        writers->present = (PathSet){};
        writers->blind_before = writers->blind;
        writers->blind = !watching;
}

void scrub_writers_end(ScrubWriters *writers, Manifest *good) {
        (void) manifest_free(writers->good);
        writers->good = good;
        pathset_done(&writers->before); /* was before what is good now was read */
        writers->blind_before = false;
}

bool scrub_writers_none_since(ScrubWriters *writers, const Entry *entry) {
        const Entry *good = writers->good ? manifest_find(writers->good, entry->path) : NULL;

        if (!good || good->ino != entry->ino || good->ctime_nsec != entry->ctime_nsec || writers->blind ||
            writers->blind_before)
                return false;
        pathset_sort(&writers->before);
        pathset_sort(&writers->present);
        return !pathset_covers(&writers->before, entry->path) && !pathset_covers(&writers->present, entry->path);
}
