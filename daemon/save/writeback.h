/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The way back: what a plan wants to be on disk is queued here until it is there. Loop thread only; the saving itself
 * runs on a pool of its own.
 *
 *      WAITING -> RUNNING -> DONE (it becomes part of the base) | WAITING again, later | REFUSED (until it changes)
 *
 * A thing waits until it has held still (SettleTime=; not needed for what states its digest, or is checked by what it
 * references) and until the directory it is in, the file it is a further name of, and everything that it references
 * are on disk. Saves go on beside scans and plan runs. Large ones never take the last saver, so that a small one need
 * not wait for them. A failure is retried as save/retry.h says, and each reason is logged once.
 *
 * writeback-update.c takes over what a scan brings, writeback-attempt.c does what is due and takes in the outcome. */

#include "base/base.h"
#include "base/clock.h"
#include "base/pool.h"
#include "config/config.h"
#include "plan/survey.h"
#include "save/conflicts.h"
#include "save/deletions.h"
#include "save/queue.h"
#include "save/save-log.h"

typedef struct Writeback {
        sd_event *event;                   /* borrowed */
        Pool *pool;                        /* the savers; borrowed */
        const MirrorConfig *config;        /* borrowed; what a job reads of it is copied */
        Deletions *deletions;              /* borrowed */
        atomic_uint_fast64_t *progress;    /* borrowed: bytes read */
        void (*survey)(void *userdata);    /* what the last scan saw is not true any more: scan again */
        void (*moved_on)(void *userdata);  /* an attempt is over: see writeback_take() and writeback_is_over() */
        /* A link to the disk was renamed, and now what it leads to is too. */
        void (*link_renamed)(const char *from, const char *to, void *userdata);
        void *userdata;
        /* --- */
        Disk disk;
        int sourcefd;                      /* our own */
        int mirrorfd;                      /* borrowed */
        char *target;
        SaveQueue queue;
        size_t cursor;                     /* of the queue: what this pass comes to next */
        bool waits, progressed;            /* in this pass something waits for another thing; an attempt is over */
        size_t n_running, n_large;
        Manifest *changes;                 /* what both sides have agreed on and is not yet taken */
        const Manifest *base;              /* of the last update */
        /* both are sorted by the update */
        Manifest *suspects;                /* of the mirror: more than owner or mode of these has changed */
        Manifest *yielded;                 /* of the mirror: safe in conflicts/, so the disk's may replace them */
        ClockTimer timer;
        bool armed, sure;                  /* deletions count; none that was reported is left to be scanned */
        bool stopped;                      /* until it is attached again */
        bool holds_shared;                 /* until a pointer is saved: see deletions_hold_shared() */
        bool holds_moved;                  /* until something is saved: see deletions_hold_moved() */
        bool polite;                       /* clients are at work: the disk is theirs first */
        SaveLog log;
        size_t n_saved;                    /* since the queue ran empty */
        Conflicts conflicts;               /* versions put into conflicts/ and not yet acknowledged */
        /* since the start: files, bytes that were saved, attempts that failed */
        uint64_t n_saves, saved_bytes, n_failures, n_deletions, n_conflicts_ever;
} Writeback;

/* The caller sets the fields above the line; the rest is zeros. */
void writeback_init(Writeback *writeback);

/* Not while jobs are out. Takes one that was never attached. */
void writeback_done(Writeback *writeback);

/* From now on this is the source (a descriptor of our own is made) and the mirror. Not while jobs are out. 0 or a
 * negative errno. */
int writeback_attach(Writeback *writeback, int sourcefd, int mirrorfd);

/* The source is not the filesystem that it was: nothing is begun until writeback_attach(), and what is under way will
 * not have been saved. */
void writeback_leave_source(Writeback *writeback);

/* A scan is over. Takes over from its plan what is to be written to the disk, and decides on deletions. What is being
 * saved, or was saved while the scan ran, becomes PLAN_KEEP; what has yielded to the disk's version, and deletions
 * that are held back, become PLAN_STAGE. Positive if a wave of deletions was held back just now. @overrides: of the
 * scan. @base has to stay until the next update, or until nothing is saved any more. */
int writeback_update(Writeback *writeback, Survey *survey, const Manifest *base, const Overrides *overrides);

/* Nothing is to be saved any more: what waits is dropped, and what is being saved goes on. */
void writeback_drop(Writeback *writeback);

/* Of these files (NULL: of all) the version in conflicts/ is perhaps not what the mirror has now. */
void writeback_forget_yielded(Writeback *writeback, const PathSet *paths);

/* Starts what may start. @armed: every change of the mirror is reported. @quiet: all of the reports have been scanned;
 * nothing is deleted on disk before. */
void writeback_go_on(Writeback *writeback, bool armed, bool quiet);

/* Entries for the base: what both sides have agreed on since the last call. A manifest that the caller frees; NULL if
 * there is nothing. */
Manifest *writeback_take(Writeback *writeback);

/* What is being saved, and what was saved and is not taken yet, as entries of a base: files only. A manifest that the
 * caller frees; NULL if memory ran out. */
Manifest *writeback_list_untaken(const Writeback *writeback);

/* A scan found that these were written. @doubts: flags of each entry of @untaken, which become those of what is taken;
 * both NULL: of each file it is not known. */
void writeback_doubt(Writeback *writeback, const Manifest *untaken, const uint16_t *doubts);

/* The stop is near: nothing has to hold still any more, and failures are retried only a few times. */
void writeback_hurry(Writeback *writeback, bool hurry);

/* The mirror ends: nothing is begun any more, whatever is left, until it is attached again. A save that is under way
 * goes on. */
void writeback_stop(Writeback *writeback);

/* True if nothing is left that could still be done, and no job is out. */
bool writeback_is_over(const Writeback *writeback);

/* The operator has seen what was put into conflicts/. */
void writeback_acknowledge(Writeback *writeback);

/* The end of a wave of saves: logs how many were not listed. */
void writeback_log_remaining(Writeback *writeback);

/* Forgets every deletion that was not carried out. */
void writeback_forget_deletions(Writeback *writeback);
