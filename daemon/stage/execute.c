/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Carries out a plan on the pool. See stage/execute.h. */

#include "stage/execute.h"

/* Of small files, so many or so much make one job. */
enum { BATCH_ITEMS = 64 };
#define BATCH_BYTES (32 * MIB)

/* Each phase begins when the one before it has ended: removals make room, and empty the directories that are to go,
 * directories come before what is in them, names that point to files after the files, and the attributes of directories when
 * nothing changes in them any more. */
typedef enum Phase {
        PHASE_REMOVE,
        PHASE_REMOVE_DIRECTORIES,
        PHASE_DIRECTORIES,
        PHASE_FILES,
        PHASE_LINKS,
        PHASE_ATTRIBUTES,
        _PHASE_MAX,
} Phase;

struct Stage {
        Job kick;                   /* gets us onto the loop when there is nothing to do */
        Pool *pool;                 /* borrowed */
        const Plan *plan;           /* borrowed */
        const TaskContext *context; /* borrowed */
        StageCallbacks callbacks;
        Phase phase;
        size_t next;                /* item to be looked at next in this phase */
        unsigned out;               /* items and batches that are begun and not over */
        unsigned jobs;              /* of these, on the pool: a large file has several helpers there */
        bool touched;               /* something in the mirror was changed: directories need their times again */
        const char *current_path;   /* borrowed from the plan */
};

/* Small items, one after the other on one worker. */
typedef struct Batch {
        Job job;
        Stage *stage;
        size_t n;
        Task tasks[BATCH_ITEMS];
} Batch;

/* One large file: open, then several helpers at once, then close. */
typedef struct Large Large;

typedef struct Helper {
        Job job;
        Large *large;
} Helper;

struct Large {
        Job job; /* of open and close */
        Stage *stage;
        Task task;
        bool again;
        unsigned n_helpers, running;
        Helper *helpers;
};

static void fill(Stage *stage);

static bool needs_attributes(const Stage *stage, const PlanItem *item) {
        if (!item->source || item->source->type != ENTRY_DIRECTORY)
                return false;
        if (item->action == PLAN_SETATTR)
                return true;
        return stage->touched && (item->action == PLAN_STAGE || item->action == PLAN_KEEP || item->action == PLAN_ADOPT);
}

static bool belongs(const Stage *stage, const PlanItem *item) {
        bool directory = item->source && item->source->type == ENTRY_DIRECTORY;
        bool file = item->source && item->source->type == ENTRY_FILE;

        if (plan_takes_away(item->action))
                return stage->phase == (item->mirror->type == ENTRY_DIRECTORY ? PHASE_REMOVE_DIRECTORIES : PHASE_REMOVE);
        if (stage->phase == PHASE_ATTRIBUTES)
                return needs_attributes(stage, item);
        if (item->action == PLAN_LINK || item->action == PLAN_SETATTR)
                return stage->phase == PHASE_LINKS && !(directory && item->action == PLAN_SETATTR);
        if (item->action != PLAN_STAGE && item->action != PLAN_ADOPT)
                return false;
        return stage->phase == (directory ? PHASE_DIRECTORIES : file ? PHASE_FILES : PHASE_LINKS);
}

static bool is_limited(const Stage *stage) {
        return stage->phase == PHASE_FILES && ratelimit_is_on(stage->context->limit);
}

/* How many jobs there may be at a time. A worker that waits for BandwidthLimit= sleeps, and would be missed by the other mirrors: half of
 * them are enough to reach any limit that is worth setting. */
static unsigned share(const Stage *stage) {
        unsigned n = pool_workers(stage->pool);

        return is_limited(stage) ? MAX(n / 2, 1) : n;
}

static void submit(Stage *stage, Job *job) {
        stage->jobs++;
        pool_submit(stage->pool, job);
}

static void report(Stage *stage, const Task *task) {
        stage->callbacks.report(task, stage->callbacks.userdata);
        if (stage->phase == PHASE_ATTRIBUTES)
                return;
        stage->touched = stage->touched || task->outcome == TASK_REMOVED ||
                         (task->outcome == TASK_AGREED && task->item->action != PLAN_ADOPT);
}

static void advance(Stage *stage) {
        if (stage->out > 0)
                return;
        stage->callbacks.finished(stage->callbacks.userdata);
}

static void batch_run(Job *job) {
        Batch *batch = (Batch *) job;

        for (size_t i = 0; i < batch->n; i++)
                task_run(&batch->tasks[i]);
}

static void batch_done(Job *job) {
        Batch *batch = (Batch *) job;
        Stage *stage = batch->stage;

        for (size_t i = 0; i < batch->n; i++) {
                report(stage, &batch->tasks[i]);
                task_done(&batch->tasks[i]);
        }
        free(batch);
        stage->jobs--;
        stage->out--;
        fill(stage);
        advance(stage);
}

static void large_over(Large *large) {
        Stage *stage = large->stage;

        report(stage, &large->task);
        task_done(&large->task);
        free(large->helpers);
        free(large);
        stage->out--;
        fill(stage);
        advance(stage);
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
        submit(large->stage, &large->job);
}

static void large_close_done(Job *job) {
        Large *large = (Large *) job;

        large->stage->jobs--;
        if (large->again)
                large_submit(large, large_open_run, large_open_done);
        else
                large_over(large);
}

static void helper_run(Job *job) {
        copy_work(((Helper *) job)->large->task.copy);
}

static void helper_done(Job *job) {
        Large *large = ((Helper *) job)->large;

        large->stage->jobs--;
        if (--large->running == 0)
                large_submit(large, large_close_run, large_close_done);
}

static void large_open_done(Job *job) {
        Large *large = (Large *) job;
        Stage *stage = large->stage;

        stage->jobs--;
        if (!large->again) {
                large_over(large);
                return;
        }
        large->running = MIN(large->n_helpers, copy_useful_workers(large->task.copy));
        if (is_limited(stage))
                large->running = MIN(large->running, MAX(share(stage), stage->jobs + 1) - stage->jobs);
        for (unsigned i = 0, n = large->running; i < n; i++) {
                large->helpers[i] = (Helper){ .job = { .run = helper_run, .done = helper_done }, .large = large };
                submit(stage, &large->helpers[i].job);
        }
}

static int start_large(Stage *stage, const PlanItem *item) {
        Large *large = calloc(1, sizeof(*large));

        if (!large)
                return -ENOMEM;
        large->n_helpers = pool_workers(stage->pool);
        large->helpers = calloc(large->n_helpers, sizeof(Helper));
        if (!large->helpers) {
                free(large);
                return -ENOMEM;
        }
        large->stage = stage;
        task_init(&large->task, stage->context, item);
        stage->out++;
        large_submit(large, large_open_run, large_open_done);
        return 0;
}

static const PlanItem *next_item(Stage *stage) {
        while (stage->next < stage->plan->n_items && !belongs(stage, &stage->plan->items[stage->next]))
                stage->next++;
        return stage->next < stage->plan->n_items ? &stage->plan->items[stage->next] : NULL;
}

/* In the last phase directories are not staged again, they are only finished. */
static void init_task(Stage *stage, Task *task, const PlanItem *item) {
        task_init(task, stage->context, item);
        task->finish = stage->phase == PHASE_ATTRIBUTES;
}

static int start_batch(Stage *stage) {
        Batch *batch = calloc(1, sizeof(*batch));
        uint64_t bytes = 0;
        const PlanItem *item;

        if (!batch)
                return -ENOMEM;
        batch->job = (Job){ .run = batch_run, .done = batch_done };
        batch->stage = stage;
        while (batch->n < BATCH_ITEMS && bytes < BATCH_BYTES && (item = next_item(stage))) {
                Task *task = &batch->tasks[batch->n];

                init_task(stage, task, item);
                if (task_is_large(task) && stage->phase == PHASE_FILES)
                        break;
                bytes += item->source && item->source->type == ENTRY_FILE ? item->source->size : 0;
                stage->current_path = plan_item_path(item);
                batch->n++;
                stage->next++;
        }
        stage->out++;
        submit(stage, &batch->job);
        return 0;
}

static bool is_large(Stage *stage, const PlanItem *item) {
        Task task;

        task_init(&task, stage->context, item);
        return stage->phase == PHASE_FILES && task_is_large(&task);
}

static int start_next(Stage *stage, const PlanItem *item) {
        int r;

        if (!is_large(stage, item))
                return start_batch(stage);
        stage->current_path = plan_item_path(item);
        r = start_large(stage, item);
        if (r == 0)
                stage->next++;
        return r;
}

/* Whether the pool has enough to do. Directories are inside one another: they come and go in the order of the plan, one job at a time. Else one
 * job more than there are workers is ready, so that none waits for the loop; not so under a limit, where that one would be a worker more. */
static bool is_busy(const Stage *stage) {
        if (stage->phase == PHASE_REMOVE_DIRECTORIES || stage->phase == PHASE_DIRECTORIES)
                return stage->out > 0;
        if (is_limited(stage))
                return stage->jobs >= share(stage);
        return stage->out > share(stage);
}

/* Keeps the pool busy, but not more than that: what is not yet begun can still be cancelled cheaply, and files are
 * finished in the order of the plan. Ends with jobs out, or with all phases over. */
static void fill(Stage *stage) {
        while (stage->phase < _PHASE_MAX) {
                const PlanItem *item = next_item(stage);

                if (!item) {
                        if (stage->out > 0)
                                return;
                        stage->phase++;
                        stage->next = 0;
                        continue;
                }
                if (is_busy(stage))
                        return;
                if (start_next(stage, item) < 0) {
                        Task task;

                        if (stage->out > 0)
                                return; /* memory may come back when a job does */
                        init_task(stage, &task, item);
                        task.outcome = TASK_FAILED;
                        task.error = ENOMEM;
                        task.what = "get memory";
                        stage->next++;
                        report(stage, &task);
                }
        }
}

static void kick_run(Job *job) {
        (void) job;
}

static void kick_done(Job *job) {
        Stage *stage = (Stage *) job;

        stage->out--;
        fill(stage);
        advance(stage);
}

int stage_new(Stage **ret, Pool *pool, const Plan *plan, const TaskContext *context, const StageCallbacks *callbacks) {
        Stage *stage = calloc(1, sizeof(*stage));

        if (!stage)
                return -ENOMEM;
        stage->pool = pool;
        stage->plan = plan;
        stage->context = context;
        stage->callbacks = *callbacks;
        *ret = stage;
        return 0;
}

void stage_start(Stage *stage) {
        stage->kick = (Job){ .run = kick_run, .done = kick_done };
        stage->out++;
        pool_submit(stage->pool, &stage->kick);
}

Stage *stage_free(Stage *stage) {
        if (!stage)
                return NULL;
        assert(stage->out == 0);
        free(stage);
        return NULL;
}

const char *stage_current_path(const Stage *stage) {
        return stage->current_path;
}
