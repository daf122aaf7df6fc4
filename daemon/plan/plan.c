/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A plan as a list: an item for each path, in order. See plan/plan.h; plan-decide.c has the decision for each. */

#include "plan/plan-internal.h"

#include "tree/filter.h"

/* Takes the smallest path of the three lists, and moves on in each list that has it. */
static bool next_item(const PlanInput *input, size_t at[static 3], PlanItem *ret) {
        const Manifest *lists[3] = { input->base, input->source, input->mirror };
        const Entry *found[3] = {};
        const char *path = NULL;

        for (size_t i = 0; i < 3; i++)
                if (at[i] < lists[i]->n_entries && (!path || strcmp(lists[i]->entries[at[i]].path, path) < 0))
                        path = lists[i]->entries[at[i]].path;
        if (!path)
                return false;
        for (size_t i = 0; i < 3; i++)
                if (at[i] < lists[i]->n_entries && strcmp(lists[i]->entries[at[i]].path, path) == 0)
                        found[i] = &lists[i]->entries[at[i]++];
        *ret = (PlanItem){ .base = found[0], .source = found[1], .mirror = found[2],
                           .doubts = found[0] && input->doubts ? input->doubts[at[0] - 1] : 0,
                           .rank = filter_rank(input->priority, path) };
        ret->action = plan_decide(input, ret);
        return true;
}

const char *plan_item_path(const PlanItem *item) {
        return item->source ? item->source->path : item->mirror ? item->mirror->path : item->base->path;
}

/* Removals first, the deepest first, because they free room and names; then directories from the top, files by
 * priority, and names that lead to files. */
static int phase(const PlanItem *item) {
        if (plan_takes_away(item->action) || item->action == PLAN_FORGET)
                return 0;
        if (!item->source)
                return 4;
        switch ((EntryType) item->source->type) {
        case ENTRY_DIRECTORY:
                return 1;
        case ENTRY_FILE:
                return 2;
        case ENTRY_SYMLINK:
        case ENTRY_HARDLINK:
                return 3;
        }
        return 4;
}

static int compare_items(const void *a, const void *b) {
        const PlanItem *x = a, *y = b;
        int px = phase(x), py = phase(y);

        if (px != py)
                return px < py ? -1 : 1;
        if (px == 0)
                return strcmp(plan_item_path(y), plan_item_path(x));
        if (px == 2 && x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        return strcmp(plan_item_path(x), plan_item_path(y));
}

static int collect(const PlanInput *input, Plan *plan) {
        size_t n = input->base->n_entries + input->source->n_entries + input->mirror->n_entries;
        size_t at[3] = {};

        plan->items = reallocarray(NULL, MAX(n, (size_t) 1), sizeof(PlanItem));
        if (!plan->items)
                return -ENOMEM;
        while (next_item(input, at, &plan->items[plan->n_items]))
                plan->n_items++;
        return 0;
}

bool plan_takes_away(PlanAction action) {
        return action == PLAN_REMOVE || action == PLAN_RELEASE;
}

bool plan_is_write_back(PlanAction action) {
        return action == PLAN_SAVE || action == PLAN_SAVEATTR || action == PLAN_DELETE || action == PLAN_CONFLICT;
}

bool plan_is_skipped(const PlanItem *item) {
        if (item->source && item->source->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN))
                return false; /* it was not to be in RAM */
        return item->action == PLAN_LINK || item->action == PLAN_SKIP ||
               (item->action == PLAN_KEEP && item->base && item->base->flags & ENTRY_LINKED &&
                !(item->base->flags & ENTRY_RECORD));
}

static bool is_unagreed(const PlanItem *item) {
        return (item->action == PLAN_ADOPT || item->action == PLAN_WAIT) && item->mirror && item->source &&
               !pair_is_known(item->in_mirror);
}

void plan_count(Plan *plan) {
        plan->stage_bytes = 0;
        plan->n_stage = plan->n_adopt = plan->n_skipped = plan->n_waiting = plan->n_held = plan->n_racy =
                plan->n_unagreed = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                plan->n_stage += item->action == PLAN_STAGE;
                plan->n_adopt += item->action == PLAN_ADOPT;
                plan->n_waiting += item->action == PLAN_WAIT;
                plan->n_held +=
                        item->action == PLAN_SAVE || item->action == PLAN_SAVEATTR || item->action == PLAN_CONFLICT;
                plan->n_skipped += plan_is_skipped(item);
                plan->n_unagreed += is_unagreed(item);
                plan->n_racy += item->source && item->source->flags & ENTRY_RACY &&
                                (item->action == PLAN_KEEP || item->action == PLAN_STAGE || item->action == PLAN_ADOPT);
                if (item->action == PLAN_STAGE && item->source->type == ENTRY_FILE)
                        plan->stage_bytes += item->source->size;
        }
}

int plan_new(const PlanInput *input, Plan **ret) {
        _cleanup_(plan_freep) Plan *plan = calloc(1, sizeof(*plan));
        int r;

        if (!plan)
                return -ENOMEM;
        r = collect(input, plan);
        if (r < 0)
                return r;
        plan_follow_first_names(plan);
        plan_follow_content(plan);
        if (plan->n_items > 0)
                qsort(plan->items, plan->n_items, sizeof(PlanItem), compare_items);
        plan_count(plan);
        *ret = TAKE_PTR(plan);
        return 0;
}

Plan *plan_free(Plan *plan) {
        if (!plan)
                return NULL;
        free(plan->items);
        free(plan);
        return NULL;
}

const char *plan_action_name(PlanAction action) {
        static const char *const names[] = {
                [PLAN_KEEP] = "keep", [PLAN_ADOPT] = "adopt", [PLAN_STAGE] = "stage",
                [PLAN_SETATTR] = "set attributes", [PLAN_LINK] = "link to disk", [PLAN_SKIP] = "leave out",
                [PLAN_REMOVE] = "remove", [PLAN_SAVE] = "save", [PLAN_SAVEATTR] = "save attributes",
                [PLAN_DELETE] = "delete on disk", [PLAN_IGNORE] = "ignore", [PLAN_CONFLICT] = "conflict",
                [PLAN_FORGET] = "forget", [PLAN_WITHHOLD] = "withhold", [PLAN_RELEASE] = "release",
                [PLAN_WAIT] = "wait",
        };

        return names[action];
}
