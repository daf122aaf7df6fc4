/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which names that are missing in a mirror were deleted by somebody, and which of these the disk may follow.
 *
 * A deletion counts only if it was reported while the mirror was complete and watched (never because something is
 * not there). It then waits a few seconds, so that a whole wave is seen before the first of it is carried out. A
 * wave that is more than MassDeleteLimit= allows, or that takes all there is (if that is more than one name), is
 * held back as a whole: nothing of it reaches the disk, and the files are staged again. Loop thread only, but for
 * the set that a look goes by, which does not change while it is out. No clock: the time is passed in, monotonic. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "plan/overrides.h"
#include "plan/plan.h"
#include "tree/manifest.h"
#include "tree/watch-report.h"

typedef struct Deletion {
        char *path;
        uint64_t since_usec; /* when it was first planned */
        bool counted;        /* by the brake */
} Deletion;

typedef struct Deletions {
        PathSet notes;       /* reported since the last look began */
        PathSet looking;     /* what the look at hand goes by */
        PathSet kept;        /* Deletes=keep: they stay away until the next start */
        Deletion *pending;   /* in path order */
        size_t n_pending;
        uint64_t *recent;    /* when counted deletions were carried out, lately */
        size_t n_recent;
        Manifest *wave;      /* the last one that was held back, as the source had it; NULL for none */
        size_t n_held;       /* of these, names that count */
        char *held;          /* the sentence about it; NULL if none */
} Deletions;

void deletions_done(Deletions *deletions);

/* A report about the mirror, while it is armed. */
void deletions_note(Deletions *deletions, const WatchReport *report);

/* The same of one name. */
void deletions_note_path(Deletions *deletions, const char *path);

/* A look begins, which goes by this set until deletions_decide() or the next deletions_begin(). If it fails, the
 * next one goes by the same and more. */
const PathSet *deletions_begin(Deletions *deletions);

typedef struct DeletionsInput {
        const MirrorConfig *config;
        LayoutKind layout;
        const Manifest *base;
        /* what of a wave that was held back was accepted: it is not held back again, and does not wait. NULL for
         * nothing */
        const Overrides *overrides;
        uint64_t now_usec;
} DeletionsInput;

/* Goes through the plan's PLAN_DELETE items. Those that may go stay so (deletions_due() says when); shared content
 * becomes PLAN_IGNORE and is put into @condemned as records; what Deletes=keep leaves on disk becomes PLAN_IGNORE; a
 * wave that is held back becomes PLAN_STAGE, or PLAN_LINK where a link to the disk stood; a directory with condemned
 * content in it becomes PLAN_IGNORE. Positive if a wave was held back just now: .held tells it. */
int deletions_decide(Deletions *deletions, const DeletionsInput *input, Plan *plan, Manifest *condemned);

/* When a pending one may be carried out; 0 if it is not pending. */
uint64_t deletions_due(const Deletions *deletions, const char *path);

/* It was carried out. */
void deletions_carried_out(Deletions *deletions, const char *path, uint64_t now_usec);

/* The mirror itself went or was wiped: nobody meant the files. */
void deletions_forget(Deletions *deletions);

/* Of the wave that was held back @path was accepted, and is not held back any more. */
void deletions_accept(Deletions *deletions, const DeletionsInput *input, const char *path);

/* The operator has seen that a wave was held back. */
void deletions_acknowledge(Deletions *deletions);
