/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries out a plan on the pool: phase by phase, in each in the order of the plan, with many small files in one job
 * and many workers for one large file. Loop thread only, and that is also where the callbacks are called. */

#include "base/base.h"
#include "base/pool.h"
#include "stage/task.h"

typedef struct Execution Execution;

typedef struct ExecutionCallbacks {
        /* One item is done, or was cancelled. The task is borrowed for the call. */
        void (*report)(const Task *task, void *userdata);
        /* All items are. The execution may be freed from here. */
        void (*finished)(void *userdata);
        void *userdata;
} ExecutionCallbacks;

/* @plan and @context are borrowed, and must not change until finished() or execute_free(). 0 or -ENOMEM. */
int execute_new(Execution **ret, Pool *pool, const Plan *plan, const TaskContext *context,
                const ExecutionCallbacks *callbacks);

/* Starts. No callback is called from within. */
void execute_start(Execution *execution);

/* Not between execute_start() and finished(): to end early, cancel through the context and wait for finished(). */
Execution *execute_free(Execution *execution);
DEFINE_CLEANUP(Execution, execute_free)

/* The path of the item that was begun last, for the status; NULL if none. Borrowed from the plan. */
const char *execute_current_path(const Execution *execution);
