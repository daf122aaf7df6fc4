/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the last plan wanted for each entry of the source, and what came of it: a byte for each, beside the list. For
 * whoever tells of single files; nothing is decided by it. Begins as zeros. Loop thread only. */

#include "base/base.h"
#include "config/config.h"
#include "plan/plan.h"
#include "stage/task.h"
#include "tree/manifest.h"

typedef struct Outcomes {
        uint8_t *marks;
        const Manifest *source; /* borrowed: what they are of; NULL: there are none */
        /* owned: what is in the mirror only, and is not going to be saved; NULL: not looked for */
        Manifest *mirror_only;
} Outcomes;

typedef struct Outcome {
        PlanAction action;
        bool done;         /* the mirror has what the plan wanted for it */
        CopyMethod method; /* if it was copied for that; else COPY_METHOD_AUTO */
} Outcome;

void outcomes_done(Outcomes *outcomes);

/* Takes down what a plan wants, which is about to be carried out. @strays: what is in the mirror only is kept in
 * .strays. Without memory there are none. */
void outcomes_begin(Outcomes *outcomes, const Plan *plan, const Manifest *source, bool mirror_only);

/* One item of it came to its end. */
void outcomes_note(Outcomes *outcomes, const Task *task);

/* Of the entry of that index. */
Outcome outcomes_get(const Outcomes *outcomes, size_t index);

/* Takes over from @later, which was about a list of the same source that is not kept, and empties it. */
void outcomes_take_over(Outcomes *outcomes, Outcomes *later);
