/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The way back: what a plan wants on disk is kept here until it is there. Loop thread only; the saving itself runs
 * on a pool of its own.
 *
 *      WAITING -> RUNNING -> DONE (it becomes part of the base) | WAITING again, later | REFUSED (until it changes)
 *
 * A thing waits until it has held still (SettleTime=; what states its digest, or is checked by what it names, need
 * not), until the directory it is in, the file it is a further name of, and all that it points to are on disk. Saves
 * go on beside looks and rounds of staging; large ones never take the last worker, so a small one need not wait for
 * them. What failed is tried again with growing pauses; each reason is told once. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"
#include "plan/survey.h"
#include "save/conflicts.h"
#include "save/deletions.h"
#include "save/log.h"
#include "save/queue.h"

#include <systemd/sd-event.h>

typedef struct Writeback {
        sd_event *event;                   /* borrowed */
        Pool *pool;                        /* the savers; borrowed */
        const MirrorConfig *config;        /* borrowed; what a job reads of it is copied */
        Deletions *deletions;              /* borrowed */
        atomic_uint_fast64_t *progress;    /* borrowed: bytes read */
        void (*survey)(void *userdata);      /* what was seen is not true any more: look again */
        void (*moved_on)(void *userdata);  /* something came to its end: see writeback_take() and writeback_is_over() */
        void *userdata;

        Disk disk;
        int sourcefd;                      /* our own */
        int mirrorfd;                      /* borrowed */
        char *target;
        SaveQueue queue;
        size_t cursor;                     /* of the queue: the next to be looked at in this pass */
        /* of this pass: something waits for another thing; something came to its end */
        bool waits, again;
        size_t n_running, n_large;
        Manifest *changes;                 /* what was agreed and not yet taken */
        /* versions of the mirror whose owner or mode only seemed to have changed: the bytes are others too */
        Manifest *suspects;
        /* versions of the mirror that are kept in conflicts/: the disk's may replace them */
        Manifest *yielded;
        sd_event_source *timer;
        bool armed, sure;
        bool polite;                       /* clients are at work: the disk is theirs first */
        /* of the source; its filesystem may give a file another inode number at any time */
        bool eventless;
        SaveLog log;
        size_t n_saved;                    /* since the queue ran empty */
        Conflicts conflicts;               /* versions put into conflicts/ and not yet acknowledged */
        /* of all its life: files, bytes that moved, attempts that failed */
        uint64_t n_saves, saved_bytes, n_failures, n_deletions, n_conflicts_ever;
} Writeback;

/* The fields above, up to userdata, are set by the caller; the rest is zeros. */
void writeback_init(Writeback *writeback);

/* Not while jobs are out. Takes one that was never attached. */
void writeback_done(Writeback *writeback);

/* Takes hold of the source (a descriptor of our own is made) and the mirror. Not while jobs are out. 0 or a negative
 * errno. */
int writeback_attach(Writeback *writeback, int sourcefd, int mirrorfd);

/* A look is there. Takes over from its plan what is to be written to the disk, and decides on deletions; what is
 * being saved, or was saved while the look was out, becomes PLAN_KEEP; what has yielded to the disk's version, and
 * deletions that are held back, become PLAN_STAGE. Positive if a wave of deletions was held back just now. @altered:
 * what a round found to be somebody's work behind an unchanged size and time; NULL for nothing. @wishes: of the
 * look. */
int writeback_update(Writeback *writeback, Survey *survey, const Manifest *base, const Manifest *altered,
                     const Overrides *overrides);

/* Starts what may start. @armed: every change of the mirror is reported; nothing is deleted on disk while not all of
 * the reports have been looked at (@quiet). */
void writeback_go_on(Writeback *writeback, bool armed, bool quiet);

/* Entries to be put into the base: what both sides have agreed on since the last call. A manifest that the caller
 * frees; NULL if there is nothing. */
Manifest *writeback_take(Writeback *writeback);

/* The end is near: nothing has to hold still any more, and failures are tried only a few times more. */
void writeback_hurry(Writeback *writeback, bool hurry);

/* Nothing is left that could still be done, and no job is out. */
bool writeback_is_over(const Writeback *writeback);

/* The operator has seen what was put into conflicts/. */
void writeback_acknowledge(Writeback *writeback);

/* The end of a wave of saves: tells how many were not listed. */
void writeback_log_remaining(Writeback *writeback);

/* Forgets every deletion that was not carried out. */
void writeback_forget_deletions(Writeback *writeback);
