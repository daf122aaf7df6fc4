/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One plan of a mirror, carried out. See mirror/plan-run.h. */

#include "mirror/plan-run.h"

#include "report/explain.h"
#include "report/mirror-log.h"
#include "stage/copy-method.h"

/* Of a thing that befalls many files, so many lines are logged at a time. */
enum { LINES_MAX = 20 };

void round_done(Round *round) {
        round->stage = stage_free(round->stage);
        round->changes = manifest_free(round->changes);
        round->altered = manifest_free(round->altered);
        round->doubtful = manifest_free(round->doubtful);
}

void round_promise(Round *round, uint64_t bytes) {
        *round->promised += bytes - round->promise;
        round->promise = bytes;
}

/* A directory that cannot be removed because a file in it could not: of the file it was told. */
static bool is_side_effect(const Task *task) {
        return task->outcome == TASK_OCCUPIED && plan_takes_away(task->item->action) && task->item->mirror->type == ENTRY_DIRECTORY;
}

static void tell_trouble(Round *round, const Task *task) {
        _cleanup_(freep) char *text = NULL;

        if (is_side_effect(task))
                return;
        text = tell_task(round->config, task);
        if (!withheld_is_told(round->withheld, task, text) && round->n_told++ < LINES_MAX)
                mirrorlog_withheld(round->config, task, text);
        if (task->item->source && task->item->action != PLAN_RELEASE)
                (void) withheld_put(round->withheld, task, text ? text : "Out of memory");
}

/* It gives way to a link, or to nothing, only if nobody is at work on it: what came of that the next look sees. */
static bool is_left_in_place(const Task *task) {
        const Entry *mirror = task->item->mirror;

        return (task->outcome == TASK_OCCUPIED || task->outcome == TASK_DIFFERS) && mirror &&
               (task->item->action == PLAN_RELEASE || (task->item->action == PLAN_LINK && (mirror->type == ENTRY_FILE || mirror->type == ENTRY_HARDLINK)));
}

/* For scrub to judge. */
static void note_doubtful(Round *round, const Task *task) {
        Entry entry = *task->item->base;

        entry.digest = task->found;
        if (!round->doubtful && manifest_new(&round->doubtful) < 0)
                round->doubtful = NULL;
        if (round->doubtful)
                (void) manifest_put(round->doubtful, &entry); /* if not, it is found again */
}

/* It is to be saved, not told: the next look plans that. Positive if so. */
static bool note_altered(Round *round, const Task *task) {
        if (!round->config->write_back || !task->altered || task->outcome == TASK_AGREED || !task->item->mirror)
                return false;
        if (!round->altered && manifest_new(&round->altered) < 0)
                return false;
        if (manifest_put(round->altered, task->item->mirror) < 0)
                return false;
        manifest_sort(round->altered);
        round->unsettled = true;
        return true;
}

static void count_copied(Round *round, const Task *task) {
        for (size_t i = 0; i < STAGED_WAYS; i++) {
                const char *name = copyroute_method_name(task->method);
                StagedBy *way = &round->ways[i];

                if (way->method && !string_equal(way->method, name))
                        continue;
                way->method = name;
                way->files++;
                way->bytes += task->copied_bytes;
                return;
        }
}

static void on_report(const Task *task, void *userdata) {
        Round *round = userdata;
        uint64_t kept_word = task->item->action == PLAN_STAGE ? task->item->source->room : 0;

        round_promise(round, round->promise - MIN(round->promise, kept_word));
        round->huge_bytes += task->huge_bytes;
        round->measured_bytes += task->measured_bytes;
        round->copied_bytes += task->copied_bytes;
        round->direct_bytes += task->direct_bytes;
        if (task->xattrs_lost && !round->xattrs_told)
                mirrorlog_xattrs_lost(round->config);
        round->xattrs_told = round->xattrs_told || task->xattrs_lost;
        agreement_note(round->changes, task);
        fates_note(round->fates, task);
        switch (task->outcome) {
        case TASK_AGREED:
                round->staged = true;
                withheld_drop(round->withheld, plan_item_path(task->item));
                if (task->copied_bytes > 0) {
                        count_copied(round, task);
                        mirrorlog_copied(round->config, task);
                }
                return;
        case TASK_REMOVED:
                round->removed_bytes += task->item->mirror->type == ENTRY_FILE ? task->item->mirror->size : 0;
                return;
        case TASK_CANCELLED:
                return;
        case TASK_GONE:
                round->unsettled = true;
                return;
        case TASK_CHANGED:
                round->unsettled = true;
                break;
        case TASK_CORRUPT:
        case TASK_MISNAMED:
        case TASK_GARBLED:
        case TASK_DIFFERS:
                round->n_mismatches++;
                break;
        case TASK_NO_ROOM:
        case TASK_OCCUPIED:
        case TASK_FAILED:
                break;
        }
        round->unsettled = round->unsettled || is_left_in_place(task);
        if (is_left_in_place(task) && task->outcome == TASK_DIFFERS)
                note_doubtful(round, task);
        if (!note_altered(round, task) && !is_left_in_place(task))
                tell_trouble(round, task);
}

static void on_finished(void *userdata) {
        Round *round = userdata;

        round->stage = stage_free(round->stage);
        round_promise(round, 0);
        round->finished(round->userdata);
}

int round_start(Round *round, const Plan *plan, const TaskContext *tasks, uint64_t need, void (*finished)(void *userdata)) {
        StageCallbacks callbacks = { .report = on_report, .finished = on_finished, .userdata = round };
        int r;

        round->tasks = *tasks;
        round->finished = finished;
        round->unsettled = false;
        round->removed_bytes = 0;
        r = manifest_new(&round->changes);
        if (r == 0)
                r = stage_new(&round->stage, round->pool, plan, &round->tasks, &callbacks);
        if (r < 0)
                return r;
        round_promise(round, need);
        stage_start(round->stage);
        return 0;
}

bool round_end(Round *round, Plan **plan, Manifest *base, const Manifest *source) {
        bool changed = round->changes->n_entries > 0;

        if (round->n_told > LINES_MAX)
                mirrorlog_more(round->config, round->n_told - LINES_MAX);
        round->n_told = 0;
        agreement_merge(base, source, plan, &round->changes);
        return changed;
}
