/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Facts -> sentences: what was being done, to which path, what happened, and what to do about it. The log, the status
 * and D-Bus all use these sentences, so each problem reads the same everywhere. Pure. Each function returns a new
 * string without a full stop and without line breaks, or NULL on ENOMEM. */

#include "base/base.h"
#include "config/config.h"
#include "plan/fit.h"
#include "stage/mount.h"
#include "stage/task.h"

/* Why a file is not in the mirror, or not as it should be. */
char *explain_task(const MirrorConfig *config, const Task *task);

/* Why the scan left something of the source out; NULL also where that needs no message. */
char *explain_omission(const MirrorConfig *config, const Omission *omission);

/* The first thing in the source that cannot be read, NULL if there is none; *ret_n is how many there are. */
char *explain_unreadable(const MirrorConfig *config, const Manifest *source, size_t *ret_n);

/* Why a stop has kept the mirror. @left is a file that is in it; NULL if not known. */
char *explain_mirror_kept(const MirrorConfig *config, const char *left);

/* Why a stop has failed although nothing is left in the mirror: a deletion of @path could not be carried out. */
char *explain_undeleted(const MirrorConfig *config, const char *path);

/* Why a change in the mirror does not reach the disk under WriteBack=no. @item: PLAN_SAVE or PLAN_CONFLICT. */
char *explain_unsaved(const MirrorConfig *config, const PlanItem *item);

typedef enum ShortageOutcome {
        SHORTAGE_LEFT_OUT, /* what does not fit is left out or linked */
        SHORTAGE_PLANNED,  /* the same, but nothing has been done yet */
        SHORTAGE_REFUSED,  /* nothing at all is staged, not even what would fit (OnNoRoom=fail) */
} ShortageOutcome;

/* How much space is missing, and the first few names of what is skipped or linked for it. */
char *explain_shortage(const MirrorConfig *config, const Plan *plan, const Fit *fit, ShortageOutcome outcome);

/* Whether a sentence of explain_shortage() says the same as the one before, other than how many bytes are missing: that
 * changes with everything that is saved. @before: any sentence, or NULL. */
bool explain_is_same_shortage(const char *before, const char *now);

/* Why nothing is taken over from the source, by the result of a survey: it is empty and was not before
 * (SURVEY_EMPTIED), it is not the directory that it was (-ESTALE), or the step @what, a verb and its object, failed.
 * @running: the mirror is in use and stays so, and may have the last copies. */
char *explain_source_lost(const MirrorConfig *config, int result, bool running, const char *what);

/* Which kind of tmpfs the mirror is on, and which of its options are in effect. */
char *explain_mount(const MirrorConfig *config, const Mount *mount);
