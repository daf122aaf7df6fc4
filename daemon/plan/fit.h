/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How much of a plan fits into RAM, and what becomes of the rest. Pure. */

#include "base/base.h"
#include "config/config.h"
#include "plan/plan.h"

typedef enum FitLimit { FIT_TMPFS, FIT_SIZE, FIT_MEMORY, FIT_CGROUP, _FIT_LIMIT_MAX } FitLimit;

typedef struct FitInput {
        uint64_t room[_FIT_LIMIT_MAX]; /* bytes that each limit still allows; UINT64_MAX where it does not apply */
        uint64_t inodes;               /* free in the tmpfs; UINT64_MAX where they are not counted */
        LayoutKind layout;             /* never LAYOUT_AUTO */
        OnNoRoom on_no_room;
        const char *source_path;
} FitInput;

typedef struct Fit {
        uint64_t need_bytes;   /* RAM that what is to be staged takes, page-rounded, before anything was left out */
        uint64_t need_inodes;
        uint64_t room_bytes;   /* the tightest limit, and what removals will free */
        FitLimit limit;        /* which one it is */
        uint64_t short_bytes;  /* how much is missing */
        uint64_t short_inodes;
} Fit;

/* What staging takes in addition to the files: the lock and the mark in the private directory of the mirror, a page
 * each, and the buffer of each worker. */
#define FIT_OWN_BYTES (2 * 4096)
#define FIT_COPY_BUFFER (2 * MIB)

enum { FIT_NO_ROOM = 1 };

/* Turns what does not fit into PLAN_LINK (NO_ROOM_LINK) or PLAN_SKIP: sets as a whole, the last in priority first.
 * Returns 0, FIT_NO_ROOM or -ENOMEM. With FIT_NO_ROOM and NO_ROOM_FAIL the plan must not be carried out, and PLAN_SKIP
 * only says what to report. */
int fit_plan(Plan *plan, const FitInput *input, Fit *fit);

const char *fit_limit_name(FitLimit limit);
