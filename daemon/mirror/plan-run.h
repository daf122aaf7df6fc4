/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One plan of a mirror, carried out: gives it to stage/execute.h, gathers for the base what was agreed, and logs what
 * went wrong, each problem once. Loop thread only. */

#include "base/base.h"
#include "base/log.h"
#include "base/pool.h"
#include "config/config.h"
#include "mirror/base-update.h"
#include "mirror/plan-outcomes.h"
#include "report/mirror-status.h"
#include "report/withheld.h"
#include "stage/execute.h"

typedef struct PlanRun {
        const MirrorConfig *config; /* borrowed */
        Pool *pool;                 /* borrowed */
        Withheld *withheld;         /* borrowed: what is missing, from one plan to the next */
        Outcomes *outcomes;         /* borrowed: of the plan at hand, begun by the caller */
        uint64_t *promised;         /* borrowed: bytes that plans in progress will still take, all mirrors together */
        void (*finished)(void *userdata);
        void *userdata;

        TaskContext tasks;
        Execution *execution;       /* owned; NULL while no plan is carried out */
        Manifest *changes;          /* owned; for the base */
        /* Owned; NULL: none. Base entries with the digest that was found: they were to go from the mirror, and are not
         * what they were though nothing shows who changed them. */
        Manifest *doubtful;
        uint64_t promise;           /* our part of *promised */
        LogLimit log_limit;         /* of lines about single files */
        LogLimit gone_limit;        /* of lines about files that are gone from the disk */
        bool ending;                /* the plan ends the mirror */
        bool staged;                /* something was put into the mirror, by any plan */
        bool unsettled;             /* something kept changing, or has to be planned again */
        bool compared;              /* this plan found out what the next one has to act upon */
        bool xattrs_logged;
        uint64_t removed_bytes;     /* by this plan */
        uint64_t huge_bytes, measured_bytes, copied_bytes, direct_bytes; /* by all plans */
        StagedBy ways[STAGED_WAYS]; /* likewise */
        uint64_t n_mismatches;
        PathSet unkept;             /* owned: their version in conflicts/ is not what is in the mirror now */
        PathSet busy;               /* owned: removals that wait for a process, as was logged */
        size_t n_unagreed;          /* of this plan, what is still to be compared: perhaps not saved */
} PlanRun;

void plan_run_done(PlanRun *plan_run);

/* Begins. @plan and what @tasks points to must stay as they are until finished() has been called. @need: bytes that the
 * plan will take. */
int plan_run_start(PlanRun *plan_run, const Plan *plan, const TaskContext *tasks, uint64_t need,
                   void (*finished)(void *userdata));

/* In finished(): the base moves on. Frees the plan. Returns true if anything has changed. */
bool plan_run_end(PlanRun *plan_run, Plan **plan, Manifest *base, const Manifest *source);

/* How much this mirror will still take, for the plans of other mirrors; 0 gives back what was promised. */
void plan_run_promise(PlanRun *plan_run, uint64_t bytes);
