/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which names that are missing in a mirror were deleted by a client, and which of these deletions the disk may follow:
 * the mass-deletion guard.
 *
 * A deletion counts only if it was reported while the mirror was complete and watched, never because something is
 * merely absent. It then waits a few seconds, so that a whole wave is seen before the first of it is carried out. A
 * wave that is more than MassDeleteLimit= allows, or that takes everything (if that is more than one name), is held
 * back as a whole: nothing of it reaches the disk, and the files are staged again. Loop thread only, except for the
 * set that a scan uses, which does not change during the scan. No clock: the time is passed in, monotonic. */

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
        bool counted;        /* by the guard */
        bool over;           /* it was carried out since, and is not pending any more */
} Deletion;

typedef struct Deletions {
        PathSet notes;       /* reported since the last scan began */
        PathSet scanning;    /* what the scan under way uses */
        PathSet spared;      /* Deletes=keep: these stay out of the mirror until the next start, and on the disk */
        PathSet kept;        /* directories that stay out of the mirror while something in them has to stay on disk */
        Manifest *heirs;     /* what was to be saved under a name that is gone now: paths and inodes; NULL for none */
        Deletion *pending;   /* in path order */
        size_t n_pending;
        uint64_t *recent;    /* when counted deletions were carried out in the last few seconds */
        size_t n_recent;
        Manifest *wave;      /* the last wave that was held back, as the source had it; NULL for none */
        size_t n_held;       /* names in it that count */
        char *held;          /* the sentence about it; NULL if none */
} Deletions;

void deletions_done(Deletions *deletions);

/* A report about the mirror, while it is complete and watched. */
void deletions_note(Deletions *deletions, const WatchReport *report);

/* The same of one name. */
void deletions_note_path(Deletions *deletions, const char *path);

/* A scan begins, which uses this set until deletions_decide() or the next deletions_begin(). If it fails, the next one
 * uses the same and more. */
const PathSet *deletions_begin(Deletions *deletions);

/* True if the scan that is over, and not yet decided upon, used a report of it. */
bool deletions_is_reported(const Deletions *deletions, const char *path);

typedef struct DeletionsInput {
        const MirrorConfig *config;
        LayoutKind layout;
        const Manifest *base;
        const Overrides *overrides; /* deletions that were accepted are not held back, and do not wait; or NULL */
        uint64_t now_usec;
} DeletionsInput;

/* Shared content of the disk that clients deleted in the mirror, and that the disk's pointers still name: it becomes
 * PLAN_IGNORE and is looked at again by the next scan, because the pointers that clients have written instead are not
 * saved yet. Returns how much there is of it. Before deletions_decide(). */
size_t deletions_hold_shared(Deletions *deletions, LayoutKind layout, Plan *plan);

/* What has a name in the mirror that is not saved (save/unsaved-names.h) was not deleted: it becomes PLAN_IGNORE and is
 * looked at again by the next scan. How many there are, or -ENOMEM. Before deletions_decide(). */
int deletions_hold_moved(Deletions *deletions, Plan *plan);

/* The mirror had another version under this name, of this inode, which was to be saved when the name went. While that
 * version is somewhere in the mirror, unsaved, the disk's is held as well. */
void deletions_note_heir(Deletions *deletions, const char *path, uint64_t ino);

/* Decides on the plan's PLAN_DELETE items. Those that may be carried out stay so (deletions_due() says when). Shared
 * content becomes PLAN_IGNORE and is added to @marked, as records that are marked for deletion; so does a directory
 * with such content in it, and what Deletes=keep leaves on disk becomes PLAN_IGNORE too. A wave that is held back
 * becomes PLAN_STAGE, or PLAN_LINK where there was a link to the disk. Positive if a wave was held back just now:
 * .held says so. */
int deletions_decide(Deletions *deletions, const DeletionsInput *input, Plan *plan, Manifest *marked);

/* When a pending one may be carried out; 0 if it is not pending. */
uint64_t deletions_due(const Deletions *deletions, const char *path);

/* It was carried out. */
void deletions_carried_out(Deletions *deletions, const char *path, uint64_t now_usec);

/* The mirror itself was removed or wiped: that deletes no files. */
void deletions_forget(Deletions *deletions);

/* The deletions of @paths, a sorted set, which were held back, were accepted. */
void deletions_accept(Deletions *deletions, const DeletionsInput *input, const PathSet *paths);

/* The operator has seen that a wave was held back. */
void deletions_acknowledge(Deletions *deletions);
