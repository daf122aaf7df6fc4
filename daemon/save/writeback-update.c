/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the plan of a scan brings to the queue. See save/writeback.h. */

#include "save/writeback-internal.h"

#include "os/memory.h"
#include "plan/renames.h"
#include "save/amend-plan.h"

/* After so many saves the memory that they took is given back: the next such wave may never come. */
enum { LARGE_WAVE = 1000 };

static int compare_items(const void *a, const void *b) {
        return strcmp(plan_item_path(*(PlanItem *const *) a), plan_item_path(*(PlanItem *const *) b));
}

static int collect_wanted(const Plan *plan, PlanItem ***ret, size_t *ret_n) {
        PlanItem **wanted = calloc(plan->n_items + 1, sizeof(PlanItem *));
        size_t n = 0;

        if (!wanted)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_items; i++)
                if (plan_is_write_back(plan->items[i].action))
                        wanted[n++] = &plan->items[i];
        if (n > 0)
                qsort(wanted, n, sizeof(PlanItem *), compare_items);
        *ret = wanted;
        *ret_n = n;
        return 0;
}

/* When it will have held still for long enough. */
static uint64_t settled_usec(const Writeback *wb, const SaveItem *item) {
        return item->since_usec + save_item_settle_usec(item, wb->queue.layout, wb->config->settle_usec);
}

/* What the queue has already keeps its age and what is known of it; what a job has is left alone until that is over. */
static bool is_kept(const SaveItem *before, const PlanItem *wanted, const PlanItem *origin) {
        return before->state == ITEM_RUNNING || (before->state != ITEM_DONE && save_item_is_same(before, wanted) &&
                                                 save_item_has_origin(before, origin ? origin->source : NULL));
}

/* What is in doubt now, which may be more than when it was found. */
static void take_doubts(SaveItem *item, const PlanItem *origin) {
        if (item->state == ITEM_RUNNING || !item->origin.path || !origin)
                return;
        item->origin.flags &= (uint16_t) ~(ENTRY_UNPROVEN | ENTRY_RACY);
        item->origin.flags |= (uint16_t) renames_doubts(origin);
}

static int make_item(Writeback *wb, const PlanItem *wanted, const Renames *renames, SaveItem **ret) {
        SaveItem *before = save_queue_find(&wb->queue, plan_item_path(wanted));
        const PlanItem *origin = wanted->action == PLAN_SAVE ? renames_origin(renames, plan_item_path(wanted)) : NULL;
        _cleanup_(save_item_freep) SaveItem *item = NULL;
        int r;

        if (before && is_kept(before, wanted, origin)) {
                /* a client that had it open may have closed it, which brings a scan */
                if (before->state == ITEM_WAITING && before->attempts > 0 && before->save.outcome == SAVE_BUSY)
                        before->due_usec = clock_now(wb->event);
                take_doubts(before, origin);
                *ret = before;
                return 0;
        }
        r = save_item_new(&item, wanted);
        if (r == 0 && origin)
                r = manifest_entry_copy(origin->source, &item->origin);
        if (r < 0)
                return r;
        if (origin && origin->base->flags & ENTRY_HAS_DIGEST) { /* the bytes are still the same, or are compared */
                item->origin.digest = origin->base->digest;
                item->origin.flags |= ENTRY_HAS_DIGEST;
        }
        take_doubts(item, origin);
        item->role = layout_role(wb->queue.layout, item->path);
        item->since_usec = clock_now(wb->event);
        item->due_usec =
                wanted->action == PLAN_DELETE ? deletions_due(wb->deletions, item->path) : settled_usec(wb, item);
        *ret = TAKE_PTR(item);
        return 0;
}

static int compare_pointer_key(const void *key, const void *pointer) {
        return strcmp(key, ((const SurveyPointer *) pointer)->mirror->path);
}

static SurveyPointer *find_pointer(const Survey *survey, const char *path) {
        if (survey->n_pointers == 0)
                return NULL;
        return bsearch(path, survey->pointers, survey->n_pointers, sizeof(SurveyPointer), compare_pointer_key);
}

/* A pointer need not hold still, unless it is broken: its client may only have begun to write it. */
static void take_pointer(const Writeback *wb, SaveItem *item, const Survey *survey) {
        bool was_broken = item->broken;
        SurveyPointer *pointer = find_pointer(survey, item->path);

        if (item->state == ITEM_RUNNING || survey->n_pointers == 0)
                return;
        if (pointer)
                save_item_take_pointer(item, pointer);
        if (item->broken && !item->accepted)
                item->due_usec = MAX(item->due_usec, item->since_usec + wb->config->settle_usec);
        else if (was_broken && item->state == ITEM_WAITING)
                item->due_usec = settled_usec(wb, item);
}

static int take_wanted(Writeback *wb, PlanItem **wanted, size_t n, const Survey *survey, const Renames *renames) {
        _cleanup_(freep) SaveItem **fresh = calloc(n + 1, sizeof(SaveItem *));
        size_t m = 0;
        int r;

        if (!fresh)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (make_item(wb, wanted[i], renames, &fresh[m]) < 0)
                        continue; /* the next scan has it again */
                take_pointer(wb, fresh[m++], survey);
        }
        r = save_queue_replace(&wb->queue, fresh, m);
        for (size_t i = 0; r < 0 && i < m; i++)
                if (save_queue_find(&wb->queue, fresh[i]->path) != fresh[i])
                        (void) save_item_free(fresh[i]);
        writeback_start_over(wb);
        return r;
}

/* True if this version of a pointer will be on disk in a moment. One that is broken, or names what neither side has,
 * may never be. */
static bool is_to_be_saved(const Writeback *wb, const Survey *survey, const PlanItem *item) {
        const SaveItem *queued = save_queue_find(&wb->queue, plan_item_path(item));
        const SurveyPointer *pointer = find_pointer(survey, plan_item_path(item));

        if (queued && queued->state == ITEM_RUNNING)
                return true;
        return plan_is_write_back(item->action) && !(queued && queued->state == ITEM_REFUSED) &&
               !(pointer && (pointer->broken || pointer->missing));
}

/* What the disk's pointers name is not what they will name in a moment, or do already. */
static void hold_shared(Writeback *wb, const Survey *survey) {
        bool pending = false, saved = false;

        for (size_t i = 0; i < survey->plan->n_items; i++) {
                const PlanItem *item = &survey->plan->items[i];

                if (layout_role(survey->layout, plan_item_path(item)) != LAYOUT_POINTER)
                        continue;
                saved = saved || manifest_find(wb->changes, plan_item_path(item));
                pending = pending || is_to_be_saved(wb, survey, item);
        }
        wb->holds_shared = (saved || pending) && deletions_hold_shared(wb->deletions, survey->layout, survey->plan) > 0;
        if (wb->holds_shared && saved)
                wb->survey(wb->userdata);
}

/* A save has come back since the scan began, or has yet to: the scan did not know that there was something to be
 * deleted. */
static void renote_deletions(Writeback *wb, const Plan *plan) {
        bool found = false;

        for (size_t i = 0; i < plan->n_items; i++) {
                const char *path = plan_item_path(&plan->items[i]);
                SaveItem *queued;

                if (plan->items[i].action != PLAN_KEEP || plan->items[i].mirror ||
                    !deletions_is_reported(wb->deletions, path))
                        continue;
                queued = save_queue_find(&wb->queue, path);
                if (queued && queued->state == ITEM_RUNNING)
                        queued->deleted = true;
                else if (manifest_find(wb->changes, path)) {
                        deletions_note_path(wb->deletions, path);
                        found = true;
                }
        }
        if (found)
                wb->survey(wb->userdata);
}

static int hold_moved(Writeback *wb, Plan *plan) {
        int r;

        for (size_t i = 0; i < plan->n_items; i++) {
                const SaveItem *queued = plan->items[i].action == PLAN_DELETE
                                                 ? save_queue_find(&wb->queue, plan_item_path(&plan->items[i]))
                                                 : NULL;

                if (queued && queued->state == ITEM_WAITING && queued->mirror.path)
                        deletions_note_heir(wb->deletions, queued->path, queued->mirror.ino);
        }
        r = deletions_hold_moved(wb->deletions, plan);
        wb->holds_moved = r > 0;
        return MIN(r, 0);
}

/* What a link leads to is renamed before something else gets its name. */
static int find_heirs(Writeback *wb) {
        for (size_t i = 0; i < wb->queue.n; i++) {
                SaveItem *item = wb->queue.items[i], *other;

                other = item->origin.path ? save_queue_find(&wb->queue, item->origin.path) : NULL;
                if (!other || other == item || other->state != ITEM_WAITING)
                        continue;
                free(other->heir);
                other->heir = strdup(item->path);
                if (!other->heir)
                        return -ENOMEM;
        }
        return 0;
}

int writeback_update(Writeback *wb, Survey *survey, const Manifest *base, const Overrides *overrides) {
        _cleanup_(freep) PlanItem **wanted = NULL;
        DeletionsInput input;
        Renames renames = {};
        size_t n = 0;
        int r, held = 0;

        wb->queue.layout = survey->layout;
        wb->base = base;
        manifest_sort(wb->changes);
        manifest_sort(wb->yielded);
        manifest_sort(wb->suspects);
        amend_plan_apply(survey->plan, &(PlanAmendments){ .queue = &wb->queue, .changes = wb->changes,
                                                          .yielded = wb->yielded, .suspects = wb->suspects,
                                                          .source_path = wb->config->source });
        renote_deletions(wb, survey->plan);
        r = renames_find(survey->plan, wb->config->source, &renames);
        if (r == 0) {
                amend_plan_ignore_renamed(survey->plan, &renames);
                input = (DeletionsInput){ .config = wb->config, .layout = survey->layout, .base = base,
                                          .overrides = overrides, .now_usec = clock_now(wb->event) };
                hold_shared(wb, survey);
                r = hold_moved(wb, survey->plan);
        }
        if (r == 0) {
                held = deletions_decide(wb->deletions, &input, survey->plan, wb->changes);
                manifest_sort(wb->changes);
                r = held < 0 ? held : collect_wanted(survey->plan, &wanted, &n);
        }
        if (r == 0)
                r = take_wanted(wb, wanted, n, survey, &renames);
        if (r == 0 && renames.n > 0)
                r = find_heirs(wb);
        renames_done(&renames);
        if (r == 0 && wb->n_running == 0 && n == 0) {
                save_log_remaining(&wb->log, clock_now(wb->event));
                if (wb->n_saved >= LARGE_WAVE)
                        memory_trim();
                wb->n_saved = 0;
        }
        return r < 0 ? r : held;
}
