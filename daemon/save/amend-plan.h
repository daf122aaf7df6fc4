/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Amends a plan by what it could not know: what was saved while its scan ran, and changes that size and time do not
 * show. Pure. */

#include "base/base.h"
#include "base/pathset.h"
#include "plan/plan.h"
#include "plan/renames.h"
#include "save/queue.h"
#include "tree/manifest.h"

typedef struct PlanAmendments {
        const SaveQueue *queue;
        const Manifest *changes;  /* what both sides have agreed on since the scan began, sorted */
        /* versions of files in the mirror: */
        const Manifest *yielded;  /* that are kept in conflicts/, so that the disk's may take the name */
        const Manifest *suspects; /* of which a save found other bytes than a change of owner or mode explains */
        const char *source_path;  /* where links of ours lead */
} PlanAmendments;

/* Items that are being saved, or were saved, become PLAN_KEEP; those that have yielded PLAN_STAGE. In the last plan of
 * a mirror nothing is compared any more (PLAN_ADOPT), so what may be a client's becomes PLAN_SAVE or PLAN_CONFLICT: a
 * save compares the bytes too, and what is the same is only recorded. */
void amend_plan_apply(Plan *plan, const PlanAmendments *known);

/* The old name of a file that was renamed was not deleted, and is not to be staged again: PLAN_IGNORE. */
void amend_plan_ignore_renamed(Plan *plan, const Renames *renames);

/* A file that is missing from the mirror is staged again only if it was missing at the scan before too: a client may
 * have deleted it during this one, which is reported a moment later. Else it becomes PLAN_WAIT, and so does what is
 * to be staged into a directory that waits. @missing: what was missing at the scan before, and on return what is
 * missing now. Returns how many wait, or -ENOMEM: then nothing has changed. */
int amend_plan_await_reports(Plan *plan, PathSet *missing);

/* True if the mirror's version of an item is in @yielded. */
bool amend_plan_has_yielded(const Manifest *yielded, const PlanItem *item);

/* Notes that it has, and which bytes are kept in conflicts/: it gives way only as long as it has these. */
void amend_plan_keep(const Manifest *yielded, PlanItem *item);
