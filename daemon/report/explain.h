/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Facts -> sentences: what was being done, to which path, what happened, and what to do. Pure. Each returns a new
 * string, NULL on ENOMEM, without a full stop. */

#include "base/base.h"
#include "config/config.h"
#include "plan/fit.h"
#include "stage/mount.h"
#include "stage/task.h"

/* Why a file is not, or not as it should be, in the mirror. */
char *explain_task(const MirrorConfig *config, const Task *task);

char *explain_omission(const MirrorConfig *config, const Omission *omission);

/* About the first of what could not be read, NULL if there is none. How many there are is in *ret_n. */
char *explain_unreadable(const MirrorConfig *config, const Manifest *source, size_t *ret_n);

/* Why the mirror was not taken down at the end; @left is one of the files in it. */
char *explain_mirror_kept(const MirrorConfig *config, const char *left);

/* Something that the mirror has and the source has not, or otherwise: PLAN_SAVE or PLAN_CONFLICT. */
char *explain_unsaved(const MirrorConfig *config, const PlanItem *item);

/* "It does not fit: so many bytes are missing ...": with the first names of what was left out. @refused: nothing at
 * all is staged for it, not even what would fit. */
char *explain_shortage(const MirrorConfig *config, const Plan *plan, const Fit *fit, bool refused);

/* Why nothing is taken over from the source: it is empty and was not before (@emptied), it is not the directory that
 * it was (-ESTALE), or the step @what failed with @error. */
char *explain_source_lost(const MirrorConfig *config, bool emptied, int error, const char *what);

/* The kind of the mount, and what became of the options that were asked for. */
char *explain_mount(const MirrorConfig *config, const Mount *mount);
