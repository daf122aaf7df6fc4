/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A mirror over time: the phases of its life, and which may follow which. The table is in phase.c and, for people, in
 * docs/architecture.md; a test holds the two together. Pure. */

#include "base/base.h"
#include "report/mirror-status.h"

typedef enum MirrorPhase {
        PHASE_ATTACHING,   /* a job opens source and tmpfs */
        PHASE_ARMING,      /* attached; the first scan begins when the source is watched */
        PHASE_SCANNING,    /* a job reads source and mirror, and plans */
        PHASE_PLANNED,     /* the plan waits for those of the other mirrors, see mirrors_proceed() */
        PHASE_STAGING,     /* the plan is carried out */
        PHASE_RECORDING,   /* a job writes the manifest */
        PHASE_GUARDING,    /* the first staging is over; waits until the mirror is watched */
        PHASE_IDLE,        /* waits for changes */

        /* The end. It is reached for one of the reasons below. */
        PHASE_LAST_SCAN_DUE, /* the last scan begins when the latest changes have been reported */
        PHASE_LAST_SCAN,   /* a job reads source and mirror once more */
        PHASE_SAVING_REST, /* what is not on disk yet is saved; a save may ask for another last scan */
        PHASE_DRAINING,    /* waits for the jobs that run beside: saves, scrub, gauges, trash, rechecks */
        PHASE_REMOVING,    /* what the manifest lists is removed from the tmpfs */
        PHASE_DETACHING,   /* a job writes the manifest and lets go of source and tmpfs */
        PHASE_STOPPED,
        PHASE_FAILED,
} MirrorPhase;
enum { MIRROR_PHASES = PHASE_FAILED + 1 };

/* Why a mirror ends. It is set as soon as the end is wanted, which may be while a job has to come back first. A later
 * reason takes the place of an earlier one, never the other way round. */
typedef enum EndReason {
        END_NONE,
        END_RECREATION, /* the tmpfs is gone from its place: afterwards the mirror is attached again */
        END_STOP,
        END_FAILURE,
} EndReason;

/* "attaching", "last-scan-due", ...: a literal. */
const char *mirror_phase_name(MirrorPhase phase);

/* What people see of it. */
MirrorState mirror_phase_state(MirrorPhase phase);

/* Whether @next may follow @phase. */
bool mirror_phase_may_go(MirrorPhase phase, MirrorPhase next);
