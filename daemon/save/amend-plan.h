/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a plan could not know, because its look was out meanwhile, or because size and time do not show it: changes
 * the actions of its items. Pure. */

#include "base/base.h"
#include "base/pathset.h"
#include "plan/plan.h"
#include "plan/renames.h"
#include "save/queue.h"
#include "tree/manifest.h"

typedef struct PlanAmendments {
        const SaveQueue *queue;
        const Manifest *changes;  /* agreed since the look began, sorted */
        const Manifest *yielded;  /* versions of the mirror that are kept in conflicts/: the disk's may take the name */
        /* versions of which a save found other bytes than a change of owner or mode explains */
        const Manifest *suspects;
        /* versions that a round found to be somebody's work behind an unchanged size and time; NULL for none */
        const Manifest *altered;
} PlanAmendments;

/* What is being saved, or was saved, becomes PLAN_KEEP; what has yielded PLAN_STAGE; what was altered PLAN_SAVE or
 * PLAN_CONFLICT. In the last plan of a mirror whatever may have been altered becomes PLAN_SAVE: nobody will compare
 * the bytes any more but the one who saves them. */
void amend_plan_apply(Plan *plan, const PlanAmendments *known);

/* A name that went because its content got another one was not deleted, and is not to be staged again: PLAN_IGNORE. */
void amend_plan_ignore_renamed(Plan *plan, const Renames *renames);

/* What the mirror had and has not is staged again only if it was missing at the look before too: somebody may have
 * deleted it while this one was out, and that is reported a moment later. Else it becomes PLAN_WAIT, and so does
 * what is to be staged into a directory that waits. @missing: what was missing then, and on return what is now. How
 * many wait, or -ENOMEM: nothing has changed. */
int amend_plan_await_reports(Plan *plan, PathSet *missing);

/* True if the mirror's version of an item is in @yielded. */
bool amend_plan_has_yielded(const Manifest *yielded, const PlanItem *item);
