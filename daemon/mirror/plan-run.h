/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One plan of a mirror, carried out: hands it to the stage, keeps what was agreed for the base, and tells what went
 * wrong, each thing once. Loop thread only. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"
#include "mirror/base-update.h"
#include "mirror/outcomes.h"
#include "report/mirror-status.h"
#include "report/withheld.h"
#include "stage/execute.h"

typedef struct PlanRun {
        const MirrorConfig *config; /* borrowed */
        Pool *pool;                 /* borrowed */
        Withheld *withheld;         /* borrowed: what is missing, from round to round */
        Outcomes *outcomes;               /* borrowed: of the plan at hand; whoever starts the round has begun them */
        uint64_t *promised;         /* borrowed: what plans in progress will still take, all mirrors together */
        void (*finished)(void *userdata);
        void *userdata;

        TaskContext tasks;
        Execution *execution;               /* owned; NULL while no round runs */
        Manifest *changes;          /* owned; to the base */
        /* owned; the mirror's entries of what was found altered behind its size and time, of all rounds; NULL: none */
        Manifest *altered;
        /* owned; of the base, with the digest that was found: was to go from the mirror, and is not what it was
         * though nobody seems to have changed it. NULL: none */
        Manifest *doubtful;
        uint64_t promise;           /* our part of *promised */
        size_t n_logged;              /* lines about single files */
        bool staged;                /* something was put into the mirror, in any round */
        bool unsettled;             /* a source kept changing */
        bool xattrs_logged;
        uint64_t removed_bytes;     /* in this round */
        uint64_t huge_bytes, measured_bytes, copied_bytes, direct_bytes; /* of all rounds */
        StagedBy ways[STAGED_WAYS]; /* likewise */
        uint64_t n_mismatches;
} PlanRun;

void plan_run_done(PlanRun *plan_run);

/* Begins. @plan and what @tasks points to stay as they are until finished() has been called. @need: bytes to promise. */
int plan_run_start(PlanRun *plan_run, const Plan *plan, const TaskContext *tasks, uint64_t need,
                   void (*finished)(void *userdata));

/* In finished(): the base moves on. Frees the plan. Returns true if anything has changed. */
bool plan_run_end(PlanRun *plan_run, Plan **plan, Manifest *base, const Manifest *source);

/* Says how much this mirror will still take; 0 gives back what was promised. */
void plan_run_promise(PlanRun *plan_run, uint64_t bytes);
