/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Amends a plan by what it could not know. See save/amend-plan.h. */

#include "save/amend-plan.h"

#include "base/path.h"

bool amend_plan_has_yielded(const Manifest *yielded, const PlanItem *item) {
        const Entry *kept = manifest_find(yielded, plan_item_path(item));

        return kept && item->mirror && kept->ino == item->mirror->ino && kept->size == item->mirror->size &&
               kept->mtime_nsec == item->mirror->mtime_nsec && kept->ctime_nsec == item->mirror->ctime_nsec;
}

void amend_plan_keep(const Manifest *yielded, PlanItem *item) {
        const Entry *kept = manifest_find(yielded, plan_item_path(item));

        item->kept = true;
        item->kept_known = kept && kept->flags & ENTRY_HAS_DIGEST;
        if (item->kept_known)
                item->kept_digest = kept->digest;
}

static bool is_listed(const Manifest *list, const Entry *mirror) {
        const Entry *found = list && mirror ? manifest_find(list, mirror->path) : NULL;

        return found && found->ino == mirror->ino && found->ctime_nsec == mirror->ctime_nsec;
}

static bool is_overtaken(const PlanItem *item, const PlanAmendments *known) {
        const SaveItem *save = save_queue_find(known->queue, plan_item_path(item));

        return manifest_find(known->changes, plan_item_path(item)) ||
               (save && save->state == ITEM_RUNNING && !plan_is_write_back(item->action));
}

/* What was to be saved under its name is not left alone because other names in the tree, or the configuration, let it
 * look unfinished by now. */
static const SaveItem *find_queued(const PlanItem *item, const PlanAmendments *known) {
        const SaveItem *save = item->mirror && item->mirror->type == ENTRY_FILE
                                       ? save_queue_find(known->queue, item->mirror->path)
                                       : NULL;

        return save && save->state != ITEM_DONE && save_item_is_about(save, item->mirror) ? save : NULL;
}

/* What cannot be compared any more before the mirror is removed. */
static PlanAction amend_last(const PlanItem *item, const char *source_path) {
        if (pair_is_known(item->in_mirror) || item->mirror->type == ENTRY_DIRECTORY)
                return PLAN_KEEP; /* if it is in doubt, it is read before it is removed */
        if (plan_leads_to_disk(item->mirror, source_path))
                return PLAN_STAGE; /* a link of ours holds nothing */
        if (!manifest_entry_is_data(item->mirror) && pair_is_alike(item->source, item->mirror))
                return PLAN_IGNORE; /* a link that says the same on both sides goes with the mirror */
        return item->base && !(item->base->flags & ENTRY_RECORD) && pair_is_known(item->on_disk) ? PLAN_SAVE
                                                                                                : PLAN_CONFLICT;
}

/* Something in the directory comes from the disk. */
static bool has_coming_content(const Plan *plan, const char *directory) {
        for (size_t i = 0; i < plan->n_items; i++)
                if (plan->items[i].action == PLAN_STAGE && path_is_below(plan_item_path(&plan->items[i]), directory))
                        return true;
        return false;
}

/* That a file took the place of a directory was a conflict only because of something in that, which was being saved, or
 * was renamed. */
static void settle_directories(Plan *plan) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->action == PLAN_CONFLICT && pair_is_known(item->on_disk) &&
                    item->source->type == ENTRY_DIRECTORY && item->mirror->type != ENTRY_DIRECTORY &&
                    !has_coming_content(plan, plan_item_path(item)))
                        item->action = PLAN_SAVE;
        }
}

void amend_plan_apply(Plan *plan, const PlanAmendments *known) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];
                const SaveItem *queued = item->action == PLAN_IGNORE ? find_queued(item, known) : NULL;

                if (item->action == PLAN_KEEP)
                        continue;
                if (is_overtaken(item, known))
                        item->action = PLAN_KEEP;
                else if (queued)
                        item->action = queued->action;
                else if (item->action == PLAN_SAVEATTR && is_listed(known->suspects, item->mirror))
                        item->action = PLAN_SAVE;
                else if (known->queue->stopping &&
                         (item->action == PLAN_ADOPT || (item->action == PLAN_WAIT && item->mirror && item->source)))
                        item->action = amend_last(item, known->source_path);
                if ((item->action == PLAN_CONFLICT || item->action == PLAN_ADOPT) &&
                    amend_plan_has_yielded(known->yielded, item)) {
                        item->action = PLAN_STAGE;
                        amend_plan_keep(known->yielded, item);
                }
        }
        settle_directories(plan);
        plan_count(plan);
}

void amend_plan_ignore_renamed(Plan *plan, const Renames *renames) {
        for (size_t i = 0; i < renames->n; i++)
                if (!renames->items[i].from->mirror)
                        plan->items[renames->items[i].from - plan->items].action = PLAN_IGNORE;
        settle_directories(plan);
        plan_count(plan);
}

static bool comes_back(const PlanItem *item) {
        return !item->mirror && (item->action == PLAN_STAGE || item->action == PLAN_LINK);
}

static int list_missing(const Plan *plan, const PathSet *before, PathSet *now, PathSet *waiting) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (!comes_back(item) || !item->base || item->base->flags & ENTRY_RECORD)
                        continue;
                r = pathset_add(now, plan_item_path(item));
                if (r == 0 && !pathset_has(before, plan_item_path(item)))
                        r = pathset_add(waiting, plan_item_path(item));
        }
        pathset_sort(now);
        pathset_sort(waiting);
        return r;
}

int amend_plan_await_reports(Plan *plan, PathSet *missing) {
        PathSet now = {}, waiting = {};
        int r = list_missing(plan, missing, &now, &waiting), n = 0;

        for (size_t i = 0; r == 0 && waiting.n > 0 && i < plan->n_items; i++)
                if (comes_back(&plan->items[i]) && pathset_covers(&waiting, plan_item_path(&plan->items[i]))) {
                        plan->items[i].action = PLAN_WAIT;
                        n++;
                }
        if (r == 0) {
                pathset_done(missing);
                *missing = now;
                now = (PathSet){};
        }
        pathset_done(&now);
        pathset_done(&waiting);
        if (n > 0)
                plan_count(plan);
        return r < 0 ? r : n;
}
