/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One plan of a mirror, carried out. See mirror/plan-run.h. */

#include "mirror/plan-run.h"

#include "report/explain.h"
#include "report/mirror-log.h"
#include "stage/copy-method.h"

/* A problem that many files have is logged for so many of them. */
enum { LINES_MAX = 20 };

/* Files that a process keeps open and that are only removed when it has closed them; what is beyond is logged again. */
enum { BUSY_MAX = 1000 };

void plan_run_done(PlanRun *plan_run) {
        plan_run->execution = execute_free(plan_run->execution);
        plan_run->changes = manifest_free(plan_run->changes);
        plan_run->doubtful = manifest_free(plan_run->doubtful);
        pathset_done(&plan_run->unkept);
        pathset_done(&plan_run->busy);
}

void plan_run_promise(PlanRun *plan_run, uint64_t bytes) {
        *plan_run->promised += bytes - plan_run->promise;
        plan_run->promise = bytes;
}

/* A directory that cannot be removed because of a file in it: that was logged. */
static bool is_side_effect(const Task *task) {
        return task->outcome == TASK_OCCUPIED && plan_takes_away(task->item->action) &&
               task->item->mirror->type == ENTRY_DIRECTORY;
}

/* What is missing in the mirror is remembered with its sentence; this is what is there still. */
static bool is_logged_as_busy(PlanRun *plan_run, const Task *task) {
        const char *path = plan_item_path(task->item);

        if (task->outcome != TASK_BUSY || task->item->source || plan_run->ending)
                return false;
        if (pathset_has(&plan_run->busy, path))
                return true;
        if (plan_run->busy.n < BUSY_MAX)
                (void) pathset_insert(&plan_run->busy, path);
        return false;
}

static void explain_trouble(PlanRun *plan_run, const Task *task) {
        _cleanup_(freep) char *text = NULL;

        if (is_side_effect(task) || is_logged_as_busy(plan_run, task))
                return;
        text = explain_task(plan_run->config, task);
        if (!withheld_is_logged(plan_run->withheld, task, text) && log_limit_pass(&plan_run->log_limit))
                mirror_log_withheld(plan_run->config, task, text);
        if (task->item->source && task->item->action != PLAN_RELEASE)
                (void) withheld_put(plan_run->withheld, task, text ? text : "Out of memory");
}

/* A file gives way to a link, or to nothing, only if no client is at work on it. The next scan sees what the client
 * made of it. */
static bool is_left_in_place(const Task *task) {
        const Entry *mirror = task->item->mirror;

        return (task->outcome == TASK_OCCUPIED || task->outcome == TASK_BUSY || task->outcome == TASK_DIFFERS) &&
               mirror &&
               (task->item->action == PLAN_RELEASE ||
                (task->item->action == PLAN_LINK && (mirror->type == ENTRY_FILE || mirror->type == ENTRY_HARDLINK)));
}

/* For scrub to judge. */
static void note_doubtful(PlanRun *plan_run, const Task *task) {
        Entry entry = *task->item->base;

        entry.digest = task->found;
        if (!plan_run->doubtful && manifest_new(&plan_run->doubtful) < 0)
                plan_run->doubtful = NULL;
        if (plan_run->doubtful)
                (void) manifest_put(plan_run->doubtful, &entry); /* on failure it is found again */
}

static void count_copied(PlanRun *plan_run, const Task *task) {
        for (size_t i = 0; i < STAGED_WAYS; i++) {
                const char *name = copy_method_name(task->method);
                StagedBy *way = &plan_run->ways[i];

                if (way->method && !string_equal(way->method, name))
                        continue;
                way->method = name;
                way->files++;
                way->bytes += task->copied_bytes;
                return;
        }
}

static void on_report(const Task *task, void *userdata) {
        PlanRun *plan_run = userdata;
        uint64_t fulfilled = task->item->action == PLAN_STAGE ? task->item->source->room : 0;

        plan_run_promise(plan_run, plan_run->promise - MIN(plan_run->promise, fulfilled));
        plan_run->huge_bytes += task->huge_bytes;
        plan_run->measured_bytes += task->measured_bytes;
        plan_run->copied_bytes += task->copied_bytes;
        plan_run->direct_bytes += task->direct_bytes;
        if (task->xattrs_lost && !plan_run->xattrs_logged)
                mirror_log_xattrs_lost(plan_run->config);
        plan_run->xattrs_logged = plan_run->xattrs_logged || task->xattrs_lost;
        base_update_note(plan_run->changes, task);
        plan_run->n_unagreed -= task->item->action == PLAN_ADOPT && task->outcome == TASK_AGREED &&
                                !pair_is_known(task->item->in_mirror);
        plan_outcomes_note(plan_run->outcomes, task);
        switch (task->outcome) {
        case TASK_AGREED:
                plan_run->staged = true;
                withheld_drop(plan_run->withheld, plan_item_path(task->item));
                if (task->item->spoilt)
                        mirror_log_spoilt(plan_run->config, task, !log_limit_pass(&plan_run->log_limit));
                if (task->copied_bytes > 0) {
                        count_copied(plan_run, task);
                        mirror_log_copied(plan_run->config, task);
                }
                return;
        case TASK_REMOVED:
                if (!plan_run->ending && task->item->action == PLAN_REMOVE &&
                    task->item->mirror->type != ENTRY_DIRECTORY)
                        mirror_log_gone(plan_run->config, task->item->mirror,
                                        !log_limit_pass(&plan_run->gone_limit));
                pathset_drop(&plan_run->busy, plan_item_path(task->item));
                plan_run->removed_bytes += task->item->mirror->type == ENTRY_FILE ? task->item->mirror->size : 0;
                return;
        case TASK_CANCELLED:
                return;
        case TASK_COMPARED:
                if (plan_run->ending)
                        break;
                plan_run->compared = true;
                return;
        case TASK_GONE:
                if (plan_run->ending)
                        break;
                if (task->item->kept_known) /* without memory it is tried again */
                        (void) pathset_add(&plan_run->unkept, plan_item_path(task->item));
                plan_run->unsettled = true;
                return;
        case TASK_CHANGED:
                plan_run->unsettled = true;
                break;
        case TASK_CORRUPT:
        case TASK_MISNAMED:
        case TASK_GARBLED:
        case TASK_DIFFERS:
                plan_run->n_mismatches++;
                break;
        case TASK_NO_ROOM:
        case TASK_OCCUPIED:
        case TASK_BUSY:
        case TASK_FAILED:
                break;
        }
        plan_run->unsettled = plan_run->unsettled || is_left_in_place(task);
        if (is_left_in_place(task) && task->outcome == TASK_DIFFERS)
                note_doubtful(plan_run, task);
        if (!is_left_in_place(task))
                explain_trouble(plan_run, task);
}

static void on_finished(void *userdata) {
        PlanRun *plan_run = userdata;

        plan_run->execution = execute_free(plan_run->execution);
        plan_run_promise(plan_run, 0);
        plan_run->finished(plan_run->userdata);
}

int plan_run_start(PlanRun *plan_run, const Plan *plan, const TaskContext *tasks, uint64_t need,
                   void (*finished)(void *userdata)) {
        ExecutionCallbacks callbacks = { .report = on_report, .finished = on_finished, .userdata = plan_run };
        int r;

        plan_run->tasks = *tasks;
        plan_run->finished = finished;
        plan_run->log_limit.max = plan_run->gone_limit.max = LINES_MAX;
        plan_run->unsettled = plan_run->compared = false;
        plan_run->n_unagreed = plan->n_unagreed;
        plan_run->removed_bytes = 0;
        r = manifest_new(&plan_run->changes);
        if (r == 0)
                r = execute_new(&plan_run->execution, plan_run->pool, plan, &plan_run->tasks, &callbacks);
        if (r < 0)
                return r;
        plan_run_promise(plan_run, need);
        execute_start(plan_run->execution);
        return 0;
}

bool plan_run_end(PlanRun *plan_run, Plan **plan, Manifest *base, const Manifest *source) {
        bool changed = plan_run->changes->n_entries > 0;
        size_t suppressed = log_limit_end(&plan_run->log_limit), more_gone = log_limit_end(&plan_run->gone_limit);

        if (suppressed > 0)
                mirror_log_more(plan_run->config, suppressed);
        if (more_gone > 0)
                mirror_log_more_gone(plan_run->config, more_gone);
        base_update_merge(base, source, plan, &plan_run->changes);
        return changed;
}
