/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Scrub=: the copies in RAM are read again from time to time, and what a fault of the memory has changed is staged
 * again from the disk.
 *
 * Every span of Scrub= has one pass. It begins in the middle of the span and takes no more than the other half: it
 * reads at a fixed rate, at least 64 MiB per second. The first span begins when the mirror is complete, because the
 * copies have just been verified then; so it does again after a restart. A saver reads a slice of some milliseconds,
 * and the timer begins the next one, so no worker sleeps and a stop waits for one slice only. While the mirror is
 * not idle, nothing is read; a pass that was held up goes on when it is idle again, and takes so much longer.
 *
 * A file whose bytes are not those on record, though its times are, is judged a second later, when everything that was
 * done to it before has been reported. If it was closed after writing it is not for scrub: it is read and saved like
 * all work of clients (mirror/proofs.h). Else:
 *
 *      - No client can have written to it (mirror/scrub-writers.h), or its name states the digest, or it cannot be
 *        read: the next plan stages it again (scrub_get_damaged()).
 *      - A client can have written to it, and WriteBack=yes: its bytes are put into conflicts/ on the disk first, so
 *        that nothing a client wrote is lost and nothing of it reaches the disk under its own name.
 *      - A client can have written to it, and WriteBack=no: it is left as it is.
 *
 * Each case is logged once, as a warning. Whether the disk's copy is there and right is checked by the plan run that
 * stages it. Between the verdict and the rename a client may still open the file and store through a mapping without a
 * trace, and that is lost: bytes that are known to be wrong are not read once more.
 *
 * Loop thread only, but for what a job has while it is out. */

#include "base/base.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "config/config.h"
#include "mirror/scrub-pass.h"
#include "mirror/scrub-writers.h"
#include "save/save.h"
#include "stage/attachment.h"

typedef struct Scrub {
        Job job;                    /* first: a slice, or a copy into conflicts/: one at a time */
        sd_event *event;            /* borrowed */
        Pool *pool;                 /* borrowed */
        const MirrorConfig *config; /* borrowed; jobs do not read it */
        const Attachment *attachment; /* borrowed: the base is read by the loop while the mirror is idle only */
        bool (*may_run)(void *userdata);    /* the mirror is idle; else scrub_update() is called when it is again */
        bool (*is_watched)(void *userdata); /* every change of the mirror is reported */
        void (*survey)(void *userdata);     /* something is not as the base says, or is to be staged again */
        void (*ended)(void *userdata);      /* a job came back */
        void *userdata;

        ClockTimer timer;
        uint64_t span_usec;         /* Scrub=; 0: off */
        uint64_t due_usec;          /* of the next pass */
        LayoutKind layout;
        ScrubPass *pass;            /* NULL between passes. A job has it while one is out */
        uint64_t rate;              /* of the pass, bytes per second */
        uint64_t stretch_usec, stretch_cost; /* when it was last held up, and the bytes read since */
        uint64_t next_usec;         /* when it goes on */
        ScrubFinding *reported;     /* findings of others, to be judged next; the last one first */
        size_t n_reported;
        ScrubFinding finding;       /* to be judged; .entry.path NULL: none */
        bool running;
        bool gave_up;               /* the result of the job that is out is not wanted any more */
        atomic_bool cancel;
        ScrubWriters writers;
        Manifest *damaged;          /* to be staged again, and not yet replaced; NULL: none */
        Manifest *left;             /* logged, and left as they are; NULL: none */
        PathSet touched;            /* of .damaged: reported since the verdict */
        PathSet names;              /* of .damaged, for the scan that is out */

        LogLimit log_limit;         /* of this pass */

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
        /* files that were not what they were, also in a pass that did not come to its end */
        size_t n_found;
} Scrub;

/* The fields above, up to userdata, are set by the caller; the rest is zeros. */
void scrub_init(Scrub *scrub);
/* Not while a job is out. */
void scrub_done(Scrub *scrub);

/* The mirror is idle: takes over the configuration, notes what was repaired, and goes on. */
void scrub_update(Scrub *scrub, LayoutKind layout);

/* Takes a report about the mirror. */
void scrub_note(Scrub *scrub, const WatchReport *report);

/* A file was found to have other bytes outside of a pass: it is judged like what a pass finds, also while scrubbing
 * is off. Takes @finding. */
void scrub_report(Scrub *scrub, ScrubFinding *finding);

/* Names that the next plan is to stage again, NULL for none: files that were found damaged, are still the same, and
 * were not reported since (the next pass judges those again). Stays as it is until the next call. */
const PathSet *scrub_get_damaged(Scrub *scrub);

/* Stops reading. A job that is out comes back soon; then .running is false and ended() is called. scrub_update() begins
 * again. */
void scrub_stop(Scrub *scrub);

/* Damaged files that are still in the mirror. */
size_t scrub_n_damaged(const Scrub *scrub);
