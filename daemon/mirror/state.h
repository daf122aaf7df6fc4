/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of a mirror share: the Mirror itself, and the few steps that several of them take. For
 * mirror/mirror.c, mirror/lifecycle.c, mirror/shutdown.c and what answers for a mirror only. Loop thread only, but for
 * what a job has while it is out. */

#include "mirror/gauges.h"
#include "mirror/outcomes.h"
#include "mirror/plan-run.h"
#include "mirror/scan-schedule.h"
#include "mirror/scrub.h"
#include "plan/fit.h"
#include "plan/overrides.h"
#include "plan/survey.h"
#include "report/log-once.h"
#include "report/mirror-status.h"
#include "report/withheld.h"
#include "save/deletions.h"
#include "save/prune-blobs.h"
#include "save/trash-expiry.h"
#include "save/writeback.h"
#include "stage/attachment.h"

#include <systemd/sd-event.h>

typedef struct Mirror Mirror;

/* Shared by all mirrors; owned by the manager, who changes it only while no mirror is at work. */
typedef struct MirrorContext {
        sd_event *event;
        Pool *pool;
        Pool *savers;            /* of the way back */
        Watch *watch;
        int statefd;
        Amount reserve;          /* ReserveMemory= */
        uint64_t ram;            /* MemTotal, bytes */
        uint64_t *promised;      /* bytes that plans in progress will still take, all mirrors together */
        void (*changed)(Mirror *mirror, void *userdata); /* the state has changed */
        void *userdata;
} MirrorContext;

/* What happens to a mirror, for who waits for something of it. */
typedef enum MirrorEvent {
        /* .look has a plan, which is about to be carried out, and what the saves know of it has been taken in */
        MIRROR_SCANNED,
        MIRROR_RESTED, /* all of a plan was carried out */
        MIRROR_SAVED,  /* no save is under way any more */
        MIRROR_BLIND,  /* the source is lost: there was no plan */
        MIRROR_ENDS,   /* it stops, fails, or is made anew; no more looks but the last ones */
        MIRROR_FREED,  /* the listener has been taken out */
} MirrorEvent;

/* Belongs to who listens; may take itself out while it hears, and no other. */
typedef struct MirrorListener {
        void (*hear)(struct MirrorListener *listener, Mirror *mirror, MirrorEvent event);
        struct MirrorListener *next; /* Mirror.listeners */
} MirrorListener;

struct Mirror {
        Job job; /* attach, look, save or detach: one at a time */
        MirrorConfig config;
        MirrorConfig next;         /* waits until no job reads the present one */
        bool has_next;
        unsigned number;
        const MirrorContext *context;
        void (*begin)(Mirror *mirror); /* attaches, at first and after the mirror was lost */
        MirrorState state;
        ScanSchedule schedule;

        /* A job has these while one is out, else the loop. */
        Attachment attachment;
        Survey survey;                 /* what the plan at hand borrows from */
        int result;
        const char *what;
        char *refusal;
        int journalfd;
        bool reopened;
        RateLimit *limit;          /* BandwidthLimit=: all workers of the mirror share it, and it has a lock */
        DirectioRefusals refusals;   /* shared by the workers of a round; it has a lock */
        AttachmentEnd end;
        int where;                 /* what attachment_check_mirror() returned */
        int n_strangers;           /* what disk_clean() returned */
        const PathSet *deleted, *damaged; /* of the look that is out */
        bool armed;                /* when that look began */
        Overrides looking;            /* the wishes that the look, and the round that follows it, go by */

        PlanRun plan_run;
        Plan *removal;
        Fit fit;
        Manifest *source;          /* as last seen, NULL before the first look */
        Models *models;            /* likewise */
        LayoutKind layout;         /* likewise; LAYOUT_AUTO: not known yet */
        Outcomes outcomes, planned;      /* of what is in .source, and in the look at hand */
        Withheld withheld;
        LogOnce log_once;
        Writeback writeback;
        Deletions deletions;
        BlobPruner pruner;
        TrashExpiry trash;
        Gauges gauges;
        Scrub scrub;
        Overrides overrides;             /* of operators */
        MirrorListener *listeners;
        PathSet missing;           /* at the last look: in the base, and not in the mirror */
        PathSet unmatched;         /* names of Models= that were told to choose nothing */
        Manifest *dropped;         /* at the end: unfinished or refused things in the mirror, which go with it */
        char *problem;             /* why it is degraded or failed; NULL */
        char *unreadable;          /* the sentence about the first directory that could not be read; NULL */
        size_t n_unreadable, n_skipped, n_held;
        uint64_t n_files, n_bytes; /* in RAM, verified */
        size_t n_linked;           /* files for which a link to the disk stands in the mirror */
        size_t n_models;           /* in RAM as a whole */
        bool recount;              /* .n_models is not true any more */

        uint64_t begun_usec;       /* when the round at hand was begun; monotonic */
        size_t n_rechecks;         /* jobs of operators that read the mirror and are out */

        bool attached;
        bool complete;             /* the first staging is over */
        bool ready;
        bool told_whole;           /* what was logged last: ready, or degraded */
        bool lost;                 /* the source */
        bool reattach;             /* the source was opened anew, the savers still have the old one */
        bool in_doubt;             /* something was reported of the mirror, and the look at hand goes by it */
        bool unsettled;            /* something did not hold still, and is to be looked at again */
        bool retry_all;            /* look again, and give withheld files another try */
        bool trying_all;           /* the look at hand does */
        bool look_wanted;          /* a wish has changed: look again, at once */
        /* the look at hand is for the mirror only: the source is not watched, and its changes are nobody's wish */
        bool aside;
        bool stopping, failing;
        bool waiting;              /* complete, but the watch on it is not armed yet */
        bool base_moved;           /* since the manifest was saved */
        bool last_scan;             /* the last look and the last saves */
        bool survey_again;           /* asked for in the farewell */
        bool farewell_due;         /* its look is about to begin */
        bool farewell_out;         /* its look is out */
        unsigned n_farewells;
        bool winding;              /* waits for the savers before it goes on to the end */
        bool moving;               /* the mirror was lost: it is attached anew instead of ending */
        bool started;
        bool removed;              /* at the end: the mirror was taken down */
        atomic_bool cancel;
        /* bytes copied; entries seen and bytes read; bytes read to be saved */
        atomic_uint_fast64_t progress, steps, saved;
};

void mirror_state_set(Mirror *m, MirrorState state);
/* One job at a time. */
void mirror_state_submit(Mirror *m, void (*run)(Job *job), void (*done)(Job *job));
void mirror_state_set_problem(Mirror *m, char *text);
/* Counted once and kept, because the base may be out on a job when somebody asks. */
void mirror_state_count(Mirror *m);

/* The models as they were last seen; NULL before the first look. They are borrowed until the loop goes on. */
const Models *mirror_state_models(const Mirror *m);

/* True while base and mirror are there to be looked at from the loop: attached, and not being let go of. */
bool mirror_state_is_attached(const Mirror *m);

/* What has to be counted is counted, if it may have changed. */
void mirror_state_measure(Mirror *m);

/* Every change of the mirror has been seen since it was complete. */
bool mirror_state_is_armed(const Mirror *m);

/* What was saved meanwhile becomes part of the base. Only while nobody reads the base: no job and no round is out. */
void mirror_state_absorb(Mirror *m);

/* What of the plan at hand is for the disk. */
void mirror_state_queue_saves(Mirror *m);

/* A plan is carried out; when it is over, the base moves on, and what was seen of the source is what the next look
 * compares with. True if anything has changed. */
int mirror_state_start_round(Mirror *m, const Plan *plan, uint64_t need, void (*finished)(void *userdata));
bool mirror_state_end_round(Mirror *m);

void mirror_state_listen(Mirror *m, MirrorListener *listener);
void mirror_state_unlisten(Mirror *m, MirrorListener *listener);
void mirror_state_notify(Mirror *m, MirrorEvent event);

/* A wish has changed: the next look follows at once. */
void mirror_state_want_scan(Mirror *m);

/* A look is there: what of the wishes has taken effect; and what a client has put into the mirror again is released
 * no more. */
void mirror_state_note_overrides(Mirror *m);
