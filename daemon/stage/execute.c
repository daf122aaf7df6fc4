/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Carries out a plan on the pool. See stage/execute.h. */

#include "stage/execute.h"

/* A job takes so many small files, or so many bytes of them. */
enum { BATCH_ITEMS = 64 };
#define BATCH_BYTES (32 * MIB)

/* Each phase begins when the one before it has ended. Removals come first, because they make room and empty the
 * directories that are to be removed; directories come before what is in them, and links after the files that they
 * lead to; attributes of directories are set when nothing changes in them any more. */
typedef enum Phase {
        PHASE_REMOVE,
        PHASE_REMOVE_DIRECTORIES,
        PHASE_DIRECTORIES,
        PHASE_FILES,
        PHASE_LINKS,
        PHASE_ATTRIBUTES,
        _PHASE_MAX,
} Phase;

struct Execution {
        Job first;                  /* brings us to the loop when there is nothing to do */
        Pool *pool;                 /* borrowed */
        const Plan *plan;           /* borrowed */
        const TaskContext *context; /* borrowed */
        ExecutionCallbacks callbacks;
        Phase phase;
        size_t next;                /* index of the next item in this phase */
        unsigned out;               /* batches and large files that are begun and not over */
        unsigned jobs;              /* of these, on the pool: a large file has several helpers there */
        bool touched;               /* something in the mirror was changed: directories need their times again */
        const char *current_path;   /* borrowed from the plan */
};

/* Small items: one after the other on one worker. */
typedef struct Batch {
        Job job;
        Execution *execution;
        size_t n;
        Task tasks[BATCH_ITEMS];
} Batch;

/* A large file: task_open(), then several helpers at once, then task_close(). */
typedef struct Large Large;

typedef struct Helper {
        Job job;
        Large *large;
} Helper;

struct Large {
        Job job; /* of open and close */
        Execution *execution;
        Task task;
        bool again;
        unsigned n_helpers, running;
        Helper *helpers;
};

static void submit_more(Execution *execution);

static bool needs_attributes(const Execution *execution, const PlanItem *item) {
        if (!item->source || item->source->type != ENTRY_DIRECTORY)
                return false;
        if (item->action == PLAN_SETATTR)
                return true;
        return execution->touched &&
               (item->action == PLAN_STAGE || item->action == PLAN_KEEP || item->action == PLAN_ADOPT);
}

static bool belongs(const Execution *execution, const PlanItem *item) {
        bool directory = item->source && item->source->type == ENTRY_DIRECTORY;
        bool file = item->source && item->source->type == ENTRY_FILE;

        if (plan_takes_away(item->action))
                return execution->phase ==
                       (item->mirror->type == ENTRY_DIRECTORY ? PHASE_REMOVE_DIRECTORIES : PHASE_REMOVE);
        if (execution->phase == PHASE_ATTRIBUTES)
                return needs_attributes(execution, item);
        if (item->action == PLAN_LINK || item->action == PLAN_SETATTR)
                return execution->phase == PHASE_LINKS && !(directory && item->action == PLAN_SETATTR);
        if (item->action != PLAN_STAGE && item->action != PLAN_ADOPT)
                return false;
        return execution->phase == (directory ? PHASE_DIRECTORIES : file ? PHASE_FILES : PHASE_LINKS);
}

static bool is_limited(const Execution *execution) {
        return execution->phase == PHASE_FILES && ratelimit_is_on(execution->context->limit);
}

/* How many jobs there may be at a time. A worker that waits for BandwidthLimit= sleeps, and the other mirrors have to
 * do without it: so only half of them do, which are enough to reach any limit that is worth setting. */
static unsigned share(const Execution *execution) {
        unsigned n = pool_workers(execution->pool);

        return is_limited(execution) ? MAX(n / 2, 1) : n;
}

static void submit(Execution *execution, Job *job) {
        execution->jobs++;
        pool_submit(execution->pool, job);
}

static void report(Execution *execution, const Task *task) {
        execution->callbacks.report(task, execution->callbacks.userdata);
        if (execution->phase == PHASE_ATTRIBUTES)
                return;
        execution->touched = execution->touched || task->outcome == TASK_REMOVED ||
                         (task->outcome == TASK_AGREED && task->item->action != PLAN_ADOPT);
}

/* After something is over, on the loop thread. finished() may free the execution. */
static void proceed(Execution *execution) {
        execution->out--;
        submit_more(execution);
        if (execution->out == 0)
                execution->callbacks.finished(execution->callbacks.userdata);
}

static void batch_run(Job *job) {
        Batch *batch = (Batch *) job;

        for (size_t i = 0; i < batch->n; i++)
                task_run(&batch->tasks[i]);
}

static void batch_done(Job *job) {
        Batch *batch = (Batch *) job;
        Execution *execution = batch->execution;

        for (size_t i = 0; i < batch->n; i++) {
                report(execution, &batch->tasks[i]);
                task_done(&batch->tasks[i]);
        }
        free(batch);
        execution->jobs--;
        proceed(execution);
}

static void finish_large(Large *large) {
        Execution *execution = large->execution;

        report(execution, &large->task);
        task_done(&large->task);
        free(large->helpers);
        free(large);
        proceed(execution);
}

static void large_open_run(Job *job) {
        Large *large = (Large *) job;

        large->again = task_open(&large->task);
}

static void large_close_run(Job *job) {
        Large *large = (Large *) job;

        large->again = task_close(&large->task);
}

static void large_open_done(Job *job);

static void large_submit(Large *large, void (*run)(Job *job), void (*done)(Job *job)) {
        large->job.run = run;
        large->job.done = done;
        submit(large->execution, &large->job);
}

static void large_close_done(Job *job) {
        Large *large = (Large *) job;

        large->execution->jobs--;
        if (large->again)
                large_submit(large, large_open_run, large_open_done);
        else
                finish_large(large);
}

static void helper_run(Job *job) {
        copy_work(((Helper *) job)->large->task.copy);
}

static void helper_done(Job *job) {
        Large *large = ((Helper *) job)->large;

        large->execution->jobs--;
        if (--large->running == 0)
                large_submit(large, large_close_run, large_close_done);
}

static void large_open_done(Job *job) {
        Large *large = (Large *) job;
        Execution *execution = large->execution;

        execution->jobs--;
        if (!large->again) {
                finish_large(large);
                return;
        }
        large->running = MIN(large->n_helpers, copy_useful_workers(large->task.copy));
        if (is_limited(execution))
                large->running = MIN(large->running, MAX(share(execution), execution->jobs + 1) - execution->jobs);
        for (unsigned i = 0, n = large->running; i < n; i++) {
                large->helpers[i] = (Helper){ .job = { .run = helper_run, .done = helper_done }, .large = large };
                submit(execution, &large->helpers[i].job);
        }
}

static int start_large(Execution *execution, const PlanItem *item) {
        Large *large = calloc(1, sizeof(*large));

        if (!large)
                return -ENOMEM;
        large->n_helpers = pool_workers(execution->pool);
        large->helpers = calloc(large->n_helpers, sizeof(Helper));
        if (!large->helpers) {
                free(large);
                return -ENOMEM;
        }
        large->execution = execution;
        task_init(&large->task, execution->context, item);
        execution->out++;
        large_submit(large, large_open_run, large_open_done);
        return 0;
}

static const PlanItem *next_item(Execution *execution) {
        while (execution->next < execution->plan->n_items &&
               !belongs(execution, &execution->plan->items[execution->next]))
                execution->next++;
        return execution->next < execution->plan->n_items ? &execution->plan->items[execution->next] : NULL;
}

/* In the last phase directories are not staged again, only their attributes are set. */
static void init_task(Execution *execution, Task *task, const PlanItem *item) {
        task_init(task, execution->context, item);
        task->finish = execution->phase == PHASE_ATTRIBUTES;
}

static int start_batch(Execution *execution) {
        Batch *batch = calloc(1, sizeof(*batch));
        uint64_t bytes = 0;
        const PlanItem *item;

        if (!batch)
                return -ENOMEM;
        batch->job = (Job){ .run = batch_run, .done = batch_done };
        batch->execution = execution;
        while (batch->n < BATCH_ITEMS && bytes < BATCH_BYTES && (item = next_item(execution))) {
                Task *task = &batch->tasks[batch->n];

                init_task(execution, task, item);
                if (task_is_large(task) && execution->phase == PHASE_FILES)
                        break;
                bytes += item->source && item->source->type == ENTRY_FILE ? item->source->size : 0;
                execution->current_path = plan_item_path(item);
                batch->n++;
                execution->next++;
        }
        execution->out++;
        submit(execution, &batch->job);
        return 0;
}

static bool is_large(Execution *execution, const PlanItem *item) {
        Task task;

        task_init(&task, execution->context, item);
        return execution->phase == PHASE_FILES && task_is_large(&task);
}

static int start_next(Execution *execution, const PlanItem *item) {
        int r;

        if (!is_large(execution, item))
                return start_batch(execution);
        execution->current_path = plan_item_path(item);
        r = start_large(execution, item);
        if (r == 0)
                execution->next++;
        return r;
}

/* Whether the pool has enough to do. Directories are inside one another, so they are created and removed in the order
 * of the plan, one job at a time. Otherwise there is one job more than workers, so that none has to wait for the loop;
 * not under a limit, where it would use one worker more. */
static bool is_busy(const Execution *execution) {
        if (execution->phase == PHASE_REMOVE_DIRECTORIES || execution->phase == PHASE_DIRECTORIES)
                return execution->out > 0;
        if (is_limited(execution))
                return execution->jobs >= share(execution);
        return execution->out > share(execution);
}

/* Submits jobs until the pool is busy, and no more: what is not submitted yet can be cancelled cheaply, and files are
 * finished in the order of the plan. Returns with jobs out, or after the last phase. */
static void submit_more(Execution *execution) {
        while (execution->phase < _PHASE_MAX) {
                const PlanItem *item = next_item(execution);

                if (!item) {
                        if (execution->out > 0)
                                return;
                        execution->phase++;
                        execution->next = 0;
                        continue;
                }
                if (is_busy(execution))
                        return;
                if (start_next(execution, item) < 0) {
                        Task task;

                        if (execution->out > 0)
                                return; /* there may be memory when a job is over */
                        init_task(execution, &task, item);
                        task.outcome = TASK_FAILED;
                        task.error = ENOMEM;
                        task.what = "allocate memory to stage";
                        execution->next++;
                        report(execution, &task);
                }
        }
}

static void first_run(Job *job) {
        (void) job;
}

static void first_done(Job *job) {
        proceed((Execution *) job);
}

int execute_new(Execution **ret, Pool *pool, const Plan *plan, const TaskContext *context,
                const ExecutionCallbacks *callbacks) {
        Execution *execution = calloc(1, sizeof(*execution));

        if (!execution)
                return -ENOMEM;
        execution->pool = pool;
        execution->plan = plan;
        execution->context = context;
        execution->callbacks = *callbacks;
        *ret = execution;
        return 0;
}

void execute_start(Execution *execution) {
        execution->first = (Job){ .run = first_run, .done = first_done };
        execution->out++;
        pool_submit(execution->pool, &execution->first);
}

Execution *execute_free(Execution *execution) {
        if (!execution)
                return NULL;
        assert(execution->out == 0);
        free(execution);
        return NULL;
}

const char *execute_current_path(const Execution *execution) {
        return execution->current_path;
}
