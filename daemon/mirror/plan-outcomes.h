/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the last plan wanted for each entry of the source, and what came of it: a byte for each, beside the list. For
 * reports about single files; nothing is decided by it. Begins as zeros. Loop thread only. */

#include "base/base.h"
#include "config/config.h"
#include "plan/plan.h"
#include "stage/task.h"
#include "tree/manifest.h"

typedef struct Outcomes {
        uint8_t *marks;
        const Manifest *source; /* borrowed: what they are of; NULL: there are none */
        /* owned: what is in the mirror only, and will not be saved; NULL: not collected */
        Manifest *mirror_only;
} Outcomes;

typedef struct Outcome {
        PlanAction action;
        bool done;         /* the mirror has what the plan wanted for it */
        CopyMethod method; /* if it was copied for that; else COPY_METHOD_AUTO */
} Outcome;

void plan_outcomes_done(Outcomes *outcomes);

/* Records what a plan wants that is about to be carried out. @mirror_only: collects what is in the mirror only. Without
 * memory nothing is recorded. */
void plan_outcomes_begin(Outcomes *outcomes, const Plan *plan, const Manifest *source, bool mirror_only);

/* One item of the plan came to its end. */
void plan_outcomes_note(Outcomes *outcomes, const Task *task);

/* Of the entry of the source with that index. */
Outcome plan_outcomes_get(const Outcomes *outcomes, size_t index);

/* Takes over what @later has for the entries that both know, and empties it: its list of the source is not kept. */
void plan_outcomes_take_over(Outcomes *outcomes, Outcomes *later);
