/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Scrub=: the copies in RAM are read again in time, and what a fault of the memory has changed is staged again from
 * the disk.
 *
 * Every span has one pass: it begins at the middle of the span (the first at that of the span which begins when the
 * mirror is complete: the copies have just been verified then, and a restart begins anew), and takes no more than
 * the other half: it reads at so many bytes a second, at least at 64 MiB. A saver reads a slice of some ms, and the
 * timer begins the next one, so no worker sleeps and a stop waits for one slice only. While the mirror is not
 * settled (looks, rounds, the end) nothing is read; a pass that was held up goes on when it is settled again, and
 * takes so much longer.
 *
 * A file whose bytes are not those on record, though its times are, is judged a second later, when all that was done
 * to it before has been reported:
 *
 *      nobody can have written to it (mirror/scrub-writers.h), or its name states the digest, or it cannot be read
 *          -> the next plan stages it again
 *           (scrub_get_damaged())
 *      somebody can, and WriteBack=yes -> its bytes are put into conflicts/ on the disk first: nothing that a client
 *          wrote is lost, and
 *           nothing of it reaches the disk under its name
 *      somebody can, and WriteBack=no  -> it is left as it is, and told
 *
 * Each is told once, as a warning. Whether the disk's copy is there and right is for the round that stages it.
 * Between the verdict and the rename a client may still open the file and store through a mapping without a trace;
 * that is lost as it is when the file is replaced because it changed on the disk.
 *
 * Loop thread only, but for what a job has while it is out. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"
#include "mirror/scrub-pass.h"
#include "mirror/scrub-writers.h"
#include "save/save.h"
#include "stage/attachment.h"

#include <systemd/sd-event.h>

typedef struct Scrub {
        Job job;                    /* first: a slice, or a copy into conflicts/: one at a time */
        sd_event *event;            /* borrowed */
        Pool *pool;                 /* borrowed */
        const MirrorConfig *config; /* borrowed; jobs do not read it */
        const Attachment *attachment; /* borrowed: the base is read by the loop while the mirror is settled only */
        bool (*may_run)(void *userdata); /* the mirror is settled; then scrub_update() is called when it is again */
        bool (*is_watched)(void *userdata); /* every change of the mirror is reported */
        void (*survey)(void *userdata);    /* something is not as the base says, or is to be staged again */
        void (*ended)(void *userdata);   /* a job came back */
        void *userdata;

        sd_event_source *timer;
        uint64_t span_usec;         /* by which it goes; 0: off */
        uint64_t due_usec;          /* of the next pass */
        LayoutKind layout;
        ScrubPass *pass;            /* at hand; NULL between passes. A job has it while one is out */
        uint64_t rate;              /* of it, bytes per second */
        uint64_t stretch_usec, stretch_cost; /* since it was last held up: when, and what was read */
        uint64_t next_usec;         /* when it goes on */
        ScrubFinding *reported;     /* by others, to be judged after that; the last first */
        size_t n_reported;
        ScrubFinding finding;       /* to be judged; .entry.path is NULL if there is none */
        bool running;
        bool gave_up;               /* whatever is out is not wanted any more */
        atomic_bool cancel;
        ScrubWriters writers;
        Manifest *damaged;          /* to be staged again, and not yet replaced; NULL: none */
        Manifest *left;             /* told, and left as they are; NULL: none */
        PathSet touched;            /* of .damaged: reported since the verdict */
        PathSet names;              /* of .damaged, for the look that is out */

        /* A job has these while one is out. */
        int mirrorfd, sourcefd;     /* borrowed; our own */
        uint64_t slice, cost;
        int result;
        bool changed;
        Disk disk;
        Save save;
        SaveOptions options;
        char *target;

        /* For the status. */
        uint64_t bytes;             /* of the last complete pass; 0: none */
        size_t n_repaired;
        uint64_t all_bytes;         /* of all complete passes */
        size_t n_logged;              /* of this pass */
        /* files that were not what they were, also in a pass that did not come to its end */
        size_t n_found;
} Scrub;

void scrub_done(Scrub *scrub);

/* The mirror is settled: takes over the configuration, sees what was repaired, goes on. */
void scrub_update(Scrub *scrub, LayoutKind layout);

/* A report about the mirror. */
void scrub_note(Scrub *scrub, const WatchReport *report);

/* Somebody else has read a file and found other bytes: it is judged like what a pass finds, also while scrubbing is
 * off. Takes @finding. */
void scrub_report(Scrub *scrub, ScrubFinding *finding);

/* Names that the next plan is to stage again, NULL for none: files that were found damaged, are still those, and
 * were not reported since (of those the next pass judges anew). Stays as it is until the next call. */
const PathSet *scrub_get_damaged(Scrub *scrub);

/* Nothing more is read. A job that is out comes back soon; then .running is false and ended() is called.
 * scrub_update() begins anew. */
void scrub_stop(Scrub *scrub);

/* Damaged files that are still in the mirror. */
size_t scrub_n_damaged(const Scrub *scrub);
