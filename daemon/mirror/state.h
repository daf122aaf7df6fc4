/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The Mirror itself, and the few steps that several of its parts take. For the files of this folder, and for
 * control/operation-internal.h. Loop thread only, but for what a job has while it is out. */

#include "mirror/gauges.h"
#include "mirror/phase.h"
#include "mirror/plan-outcomes.h"
#include "mirror/plan-run.h"
#include "mirror/proofs.h"
#include "mirror/report-sync.h"
#include "mirror/scan-schedule.h"
#include "mirror/scrub.h"
#include "mirror/written.h"
#include "plan/fit.h"
#include "plan/overrides.h"
#include "plan/survey.h"
#include "report/log-once.h"
#include "report/mirror-status.h"
#include "report/withheld.h"
#include "save/deletions.h"
#include "save/prune-blobs.h"
#include "save/trash-timer.h"
#include "save/writeback.h"
#include "stage/attachment.h"

#include <systemd/sd-event.h>

typedef struct Mirror Mirror;

/* Shared by all mirrors; owned by the manager, who changes it only while no mirror is at work. */
typedef struct MirrorContext {
        sd_event *event;
        Pool *pool;
        Pool *savers;            /* the workers that save, and do what else goes on beside */
        Pool *readers;           /* the worker that reads again what may have been written */
        Watch *watch;
        int statefd;
        Amount reserve;          /* ReserveMemory= */
        uint64_t ram;            /* MemTotal, bytes */
        uint64_t *promised;      /* bytes that plans in progress will still take, all mirrors together */
        void (*changed)(Mirror *mirror, void *userdata); /* the state has changed */
        void *userdata;
} MirrorContext;

/* Numbers that the set of mirrors gives out, each once. */
typedef struct MirrorIds {
        unsigned mirror;                     /* to refer to a mirror that may be freed meanwhile */
        unsigned source_watch, mirror_watch; /* roots of the watch */
} MirrorIds;

/* What happens to a mirror, for those who wait for it. */
typedef enum MirrorEvent {
        /* .survey has a plan, which is about to be carried out; what the saves need of it has been taken over */
        MIRROR_SCANNED,
        MIRROR_RESTED, /* all of a plan was carried out */
        MIRROR_SAVED,  /* no save is under way any more */
        MIRROR_REPORTED, /* what mirror_state_ask_reports() was called for */
        MIRROR_BLIND,  /* the source is lost: there was no plan */
        MIRROR_ENDS,   /* it stops, fails or is recreated: no more scans but the last ones */
        MIRROR_FREED,  /* the listener has been taken out */
} MirrorEvent;

/* Belongs to the one who listens; may take itself out while it is called, and no other. */
typedef struct MirrorListener {
        void (*hear)(struct MirrorListener *listener, Mirror *mirror, MirrorEvent event);
        struct MirrorListener *next; /* Mirror.listeners */
} MirrorListener;

/* What is asked of a scan. One of these is gathered for the next scan while another is what the scan at hand serves. */
typedef struct ScanRequest {
        bool retry_all;  /* read the whole source again, and give withheld files another try */
        bool overrides;  /* what operators ask for has changed */
        bool unsettled;  /* something did not hold still */
        bool outdated;   /* a save or a scrub found something that is not as the last scan saw it */
        /* Of the scan at hand only, known when it begins. */
        bool source;     /* act upon changes of the source; without a watch, only when it is asked for */
        bool mirror;     /* something was reported of the mirror, and has not been queued to be saved since */
} ScanRequest;

/* The scan at hand, or the last one. Written by the loop before the job begins, and read by it; .reopened and
 * .mirror_check are the job's while it is out. */
typedef struct MirrorScan {
        ScanRequest wanted, serves; /* the loop's: of the next scan, and of this one */
        Overrides overrides;        /* those that this scan, and the plan run that follows it, apply */
        const PathSet *deleted, *damaged;
        /* Every change of the mirror, or of the source, is reported: when it began, and when the last scan that came
         * to its end began. Where both are true, nothing has been written between the two that was not reported. */
        bool mirror_is_watched, mirror_was_watched;
        bool source_is_watched, source_was_watched;
        bool mirror_is_lost;        /* known before: it is read through the descriptor that we still have */
        bool reopened;              /* another directory was found to be the source */
        int mirror_check;           /* what attachment_check_mirror() returned */
        PathSet marked;             /* the job's: files of the mirror that were reported to be written */
} MirrorScan;

/* The end of a mirror, from when it is wanted. */
typedef struct MirrorEnd {
        EndReason reason;
        unsigned n_scans;       /* last scans that a save asked for */
        bool source_was_read;   /* by a last scan: what it had then is known */
        Manifest *dropped;      /* unfinished or refused files in the mirror, which go with it; NULL */
        Plan *removal;          /* NULL: nothing is being removed */
        bool removed;           /* what the manifest lists was removed, or is about to be */
        AttachmentEnd detached;
} MirrorEnd;

/* Counted once and kept, because a job may have the base when the status is read. */
typedef struct MirrorTotals {
        uint64_t files, bytes; /* in RAM, verified */
        size_t linked;         /* files that are links to the disk in the mirror */
        size_t models;         /* in RAM as a whole */
        bool models_changed;   /* .models has to be counted again */
} MirrorTotals;

struct Mirror {
        Job job; /* attach, scan, save the manifest or detach: one at a time */
        const MirrorContext *context;
        MirrorIds ids;
        MirrorListener *listeners;

        /* How far it is. */
        MirrorPhase phase; /* changed by mirror_state_set() only */
        MirrorEnd end;
        bool attached;   /* source and tmpfs were opened; stays true when they are closed at the end */
        bool complete;   /* a staging was finished since it was attached */
        bool ready;      /* it was complete once, and stays ready when it is recreated */
        ScanSchedule schedule;
        ReportSync sync; /* of the mirror's watch */
        MirrorScan scan;

        /* What it is to be. */
        MirrorConfig config;
        MirrorConfig next;     /* takes its place when no job reads it; .name NULL: none waits */
        Overrides overrides;   /* of operators */
        RateLimit *limit;      /* BandwidthLimit=: all workers of the mirror share it, and it has a lock */

        /* A job has these while one is out, else the loop. */
        Attachment attachment;
        Survey survey;         /* what the plan at hand borrows from */
        int result;
        const char *what;      /* the step that failed */
        char *refusal;
        int journalfd;
        int n_unrecognized;    /* what disk_clean() returned */

        /* The plan at hand. */
        PlanRun plan_run;
        Fit fit;
        DirectioRefusals refusals; /* shared by the workers of a plan run; it has a lock */
        Outcomes planned;
        uint64_t begun_usec;   /* when the plan run began; monotonic */

        /* What was last seen. */
        Manifest *source;      /* NULL before the first scan */
        Models *models;        /* likewise */
        LayoutKind layout;     /* likewise; LAYOUT_AUTO: not known yet */
        Outcomes outcomes;     /* of what is in .source */
        bool lost;             /* the source */
        bool covered;          /* something is mounted inside the mirror, as the log says */
        bool savers_outdated;  /* the source was opened again, and the savers still have the old descriptor */
        PathSet missing;       /* in the base, and not in the mirror */
        PathSet unmatched;     /* names of Models= that were reported to match nothing */
        MirrorTotals totals;

        /* What is wrong with it. */
        Withheld withheld;
        LogOnce log_once;
        char *problem;         /* why it is degraded or failed; NULL */
        char *unreadable;      /* the sentence about the first directory that could not be read; NULL */
        size_t n_unreadable, n_skipped, n_held;
        bool logged_complete;  /* what was logged last: ready, or degraded */

        /* What goes on beside. */
        Writeback writeback;
        Deletions deletions;
        BlobPruner pruner;
        TrashTimer trash;
        Gauges gauges;
        Scrub scrub;
        Written mirror_written, source_written; /* reported since the last scan */
        Proofs proofs;
        size_t n_rechecks;     /* jobs of operators that read the mirror and are out */
        bool base_moved;       /* since the manifest was saved */

        atomic_bool cancel;
        /* bytes copied; entries seen and bytes read; bytes read to be saved */
        atomic_uint_fast64_t progress, steps, saved;
};

/* The only way from one phase to the next; asserts that the table in phase.c has it. A mirror that was abandoned stays
 * failed, whatever comes back after that. */
void mirror_state_set(Mirror *m, MirrorPhase phase);

/* Submits the mirror's job: one at a time. */
void mirror_state_submit(Mirror *m, void (*run)(Job *job), void (*done)(Job *job));

/* Takes @text; NULL: there is no problem. */
void mirror_state_set_problem(Mirror *m, char *text);

/* Counts what the base has. */
void mirror_state_count(Mirror *m);

/* It ends, or is about to as soon as a job has come back. */
bool mirror_state_is_failing(const Mirror *m);
bool mirror_state_is_stopping(const Mirror *m);
bool mirror_state_is_being_recreated(const Mirror *m);

/* A plan is waiting or being carried out: .survey is what it was made from. */
bool mirror_state_has_plan(const Mirror *m);

/* Base and mirror may be read by the loop: it is attached, and not being detached. */
bool mirror_state_is_attached(const Mirror *m);

/* Every change of the mirror has been reported since it was complete. */
bool mirror_state_is_watched(const Mirror *m);

/* How much of what is in the mirror has still to be compared with the disk: perhaps it is not saved. */
size_t mirror_state_n_unagreed(const Mirror *m);

/* The models as they were last seen; NULL before the first scan. They are borrowed until the loop goes on. */
const Models *mirror_state_models(const Mirror *m);

/* Counts the trash in the background, if it may have changed. */
void mirror_state_measure(Mirror *m);

/* What was saved meanwhile becomes part of the base, and is looked at once more. Only while nothing else reads the
 * base: no job of the mirror and no plan run is out. */
void mirror_state_absorb(Mirror *m);

/* A scan begins: what was reported to be written up to now is for it to mark. */
void mirror_state_begin_marking(Mirror *m);
/* It has come back: its doubts go into the base, and to what saves will bring into it. */
void mirror_state_end_marking(Mirror *m);

/* For a scan, which calls it on its worker: see SurveyOptions. */
int mirror_state_mark_written(const Manifest *base, const Manifest *source, const Manifest *mirror, uint16_t *doubts,
                              void *userdata);

/* Gives to the saves what the plan at hand has for the disk. */
void mirror_state_queue_saves(Mirror *m);

/* Carries out a plan; @need: bytes that it will take. When it is over, the base moves on, and what was seen of the
 * source is what the next scan compares with. mirror_state_end_plan() returns true if anything has changed. */
int mirror_state_start_plan(Mirror *m, const Plan *plan, uint64_t need, void (*finished)(void *userdata));
bool mirror_state_end_plan(Mirror *m);

void mirror_state_listen(Mirror *m, MirrorListener *listener);
void mirror_state_unlisten(Mirror *m, MirrorListener *listener);
void mirror_state_notify(Mirror *m, MirrorEvent event);

/* What operators ask for has changed: the next scan follows immediately. */
void mirror_state_want_scan(Mirror *m);

/* A scan has read the source, which may have been opened again: then the savers get that one. */
void mirror_state_take_source(Mirror *m);

/* Has the watch report all that happened in the mirror up to now; then comes MIRROR_REPORTED. False if there is nothing
 * to wait for. See mirror/report-sync.h. */
bool mirror_state_ask_reports(Mirror *m);
