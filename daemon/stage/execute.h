/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries out a plan on the pool: in its order, phase by phase, many small files to a job, many workers to a large file. Loop
 * thread; every report comes on the loop thread. */

#include "base/base.h"
#include "base/pool.h"
#include "stage/task.h"

typedef struct Stage Stage;

typedef struct StageCallbacks {
        /* One item is done; the task is borrowed for the call. */
        void (*report)(const Task *task, void *userdata);
        /* All items are done, or were cancelled. The stage may be freed from here. */
        void (*finished)(void *userdata);
        void *userdata;
} StageCallbacks;

/* @plan and @context are borrowed and must stay as they are until finished() or stage_free(). */
int stage_new(Stage **ret, Pool *pool, const Plan *plan, const TaskContext *context, const StageCallbacks *callbacks);

/* Starts; finished() is never called from within. */
void stage_start(Stage *stage);

/* Not while jobs are out: cancel through the context and wait for finished(). */
Stage *stage_free(Stage *stage);
DEFINE_CLEANUP(Stage, stage_free)

/* The path that was begun last, for the status; NULL if none. Borrowed until the next turn of the loop. */
const char *stage_current_path(const Stage *stage);
