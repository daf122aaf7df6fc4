/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Whether somebody can have written to a file of the mirror. See mirror/scrub-writers.h. */

#include "mirror/scrub-writers.h"

void witness_done(Witness *witness) {
        witness->good = manifest_free(witness->good);
        pathset_done(&witness->before);
        pathset_done(&witness->present);
}

/* A set of names that grows for weeks: those that come again and again are kept once. */
static int add(PathSet *set, const char *path) {
        if (set->n > 0 && set->n == set->allocated)
                pathset_sort(set);
        if (set->n >= WATCHREPORT_PATHS_MAX)
                return -ENOMEM;
        return pathset_add(set, path);
}

void witness_note(Witness *witness, const WatchReport *report) {
        if (report->flags & (WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED))
                witness->blind = true;
        for (size_t i = 0; i < report->n_paths && !witness->blind; i++)
                if (add(&witness->present, report->paths[i]) < 0)
                        witness->blind = true;
        if (witness->blind)
                pathset_done(&witness->present);
}

void witness_begin(Witness *witness, bool watching) {
        pathset_done(&witness->before);
        witness->before = witness->present;
        witness->present = (PathSet){};
        witness->blind_before = witness->blind;
        witness->blind = !watching;
}

void witness_end(Witness *witness, Manifest *good) {
        (void) manifest_free(witness->good);
        witness->good = good;
        pathset_done(&witness->before); /* was before what is good now was read */
        witness->blind_before = false;
}

void witness_forget(Witness *witness) {
        witness_done(witness);
        *witness = (Witness){};
}

bool witness_vouches(Witness *witness, const Entry *entry) {
        const Entry *good = witness->good ? manifest_find(witness->good, entry->path) : NULL;

        if (!good || good->ino != entry->ino || good->ctime_nsec != entry->ctime_nsec || witness->blind || witness->blind_before)
                return false;
        pathset_sort(&witness->before);
        pathset_sort(&witness->present);
        return !pathset_covers(&witness->before, entry->path) && !pathset_covers(&witness->present, entry->path);
}
