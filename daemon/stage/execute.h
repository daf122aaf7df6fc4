/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries out a plan on the pool: in its order, phase by phase, many small files to a job, many workers to a large
 * file. Loop thread; every report comes on the loop thread. */

#include "base/base.h"
#include "base/pool.h"
#include "stage/task.h"

typedef struct Execution Execution;

typedef struct ExecutionCallbacks {
        /* One item is done; the task is borrowed for the call. */
        void (*report)(const Task *task, void *userdata);
        /* All items are done, or were cancelled. The stage may be freed from here. */
        void (*finished)(void *userdata);
        void *userdata;
} ExecutionCallbacks;

/* @plan and @context are borrowed and must stay as they are until finished() or execute_free(). */
int execute_new(Execution **ret, Pool *pool, const Plan *plan, const TaskContext *context,
                const ExecutionCallbacks *callbacks);

/* Starts; finished() is never called from within. */
void execute_start(Execution *execution);

/* Not while jobs are out: cancel through the context and wait for finished(). */
Execution *execute_free(Execution *execution);
DEFINE_CLEANUP(Execution, execute_free)

/* The path that was begun last, for the status; NULL if none. Borrowed until the next turn of the loop. */
const char *execute_current_path(const Execution *execution);
