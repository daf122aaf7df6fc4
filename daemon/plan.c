/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way decision for each path, and the order of the items. See plan.h. */

#include "plan.h"

#include "selection.h"

static bool is_data(const Entry *entry) {
        return entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK;
}

/* Whether two entries are the same thing as far as size and time can tell. How names share an inode is judged apart, in
 * is_tied_alike(), because bytes do not change when a link is added. */
static bool looks_same(const Entry *a, const Entry *b) {
        if (is_data(a) || is_data(b))
                return is_data(a) && is_data(b) && a->size == b->size && a->mtime_nsec == b->mtime_nsec;
        return a->type == b->type && (a->type == ENTRY_DIRECTORY || string_equal(a->target, b->target));
}

static bool is_tied_alike(const Entry *a, const Entry *b) {
        return !is_data(a) || (a->type == b->type && (a->type == ENTRY_FILE || string_equal(a->target, b->target)));
}

static bool attributes_differ(const Entry *a, const Entry *b) {
        return a->type != ENTRY_SYMLINK && (a->uid != b->uid || a->gid != b->gid || a->mode != b->mode);
}

bool plan_is_disk_link(const Entry *mirror, const char *source_path) {
        size_t n = strlen(source_path);

        return mirror && mirror->type == ENTRY_SYMLINK && strncmp(mirror->target, source_path, n) == 0 &&
               mirror->target[n] == '/' && strcmp(mirror->target + n + 1, mirror->path) == 0;
}

/* The mirror still holds what the base says was put there. A name may be alone with its inode by now, because another of its
 * names was staged anew, and this one was not yet tied to it. */
static bool mirror_agrees(const PlanItem *item, const char *source_path) {
        const Entry *b = item->base, *m = item->mirror;

        if (b->flags & ENTRY_LINKED)
                return plan_is_disk_link(m, source_path);
        return looks_same(b, m) && (is_tied_alike(b, m) || b->ino == m->ino);
}

static PlanAction agree(const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;

        if (b->flags & ENTRY_LINKED)
                return PLAN_STAGE; /* perhaps it fits by now */
        if (is_data(b) && (b->ino != m->ino || b->ctime_nsec != m->ctime_nsec))
                return PLAN_ADOPT;
        if (!is_tied_alike(item->source, m))
                return PLAN_STAGE;
        return attributes_differ(item->source, b) ? PLAN_SETATTR : PLAN_KEEP;
}

static PlanAction decide_without_base(const PlanItem *item, const char *source_path) {
        const Entry *s = item->source, *m = item->mirror;

        if (!m)
                return s ? PLAN_STAGE : PLAN_FORGET;
        if (!s)
                return PLAN_SAVE;
        if (is_data(s) && plan_is_disk_link(m, source_path))
                return PLAN_STAGE; /* our own link, left by a run whose base was lost */
        if (!looks_same(s, m))
                return PLAN_CONFLICT;
        if (!is_tied_alike(s, m))
                return PLAN_STAGE;
        return PLAN_ADOPT;
}

/* DESIGN's table. Deletions seen in the mirror are not known here: without an event, absence is staged again. */
static PlanAction decide(const PlanItem *item, const char *source_path) {
        const Entry *b = item->base, *s = item->source, *m = item->mirror;
        bool s_same, m_same;

        if (!b || b->flags & ENTRY_RECORD)
                return decide_without_base(item, source_path);
        s_same = s && looks_same(b, s);
        m_same = m && mirror_agrees(item, source_path);
        if (!m)
                return s ? PLAN_STAGE : PLAN_FORGET;
        if (m_same)
                return !s ? PLAN_REMOVE : s_same ? agree(item) : PLAN_STAGE;
        if (!s || s_same)
                return PLAN_SAVE;
        return looks_same(s, m) ? PLAN_ADOPT : PLAN_CONFLICT;
}

/* Something that was seen differently, or not at all, the last time is not yet at rest. */
static bool is_restless(const PlanInput *input, const PlanItem *item, const char *path) {
        const Entry *before;

        if (!input->previous)
                return false;
        before = manifest_find(input->previous, path);
        if (!before || !item->source)
                return before || item->source;
        return !looks_same(before, item->source) || before->ino != item->source->ino ||
               (is_data(before) && before->ctime_nsec != item->source->ctime_nsec);
}

static PlanAction decide_carefully(const PlanInput *input, const PlanItem *item, const char *path) {
        PlanAction action = decide(item, input->source_path);
        bool touches_mirror = action == PLAN_STAGE || action == PLAN_REMOVE || action == PLAN_SETATTR;

        if (!item->source && manifest_is_blind(input->source, path))
                return PLAN_KEEP; /* unknown, not absent */
        if (touches_mirror && is_restless(input, item, path))
                return PLAN_WAIT;
        return action;
}

/* Takes the smallest path of the three lists, and moves on in each list that has it. */
static bool next_item(const PlanInput *input, size_t at[static 3], PlanItem *ret) {
        const Manifest *lists[3] = { input->base, input->source, input->mirror };
        const Entry *found[3] = {};
        const char *path = NULL;

        for (size_t i = 0; i < 3; i++)
                if (at[i] < lists[i]->n_entries &&
                    (!path || strcmp(lists[i]->entries[at[i]].path, path) < 0))
                        path = lists[i]->entries[at[i]].path;
        if (!path)
                return false;
        for (size_t i = 0; i < 3; i++)
                if (at[i] < lists[i]->n_entries && strcmp(lists[i]->entries[at[i]].path, path) == 0)
                        found[i] = &lists[i]->entries[at[i]++];
        *ret = (PlanItem){ .base = found[0], .source = found[1], .mirror = found[2],
                           .rank = selection_rank(input->priority, path) };
        ret->action = decide_carefully(input, ret, path);
        return true;
}

const char *plan_item_path(const PlanItem *item) {
        return item->source ? item->source->path : item->mirror ? item->mirror->path : item->base->path;
}

/* Removals first, the deepest first, because they make room and make way; then directories from the top, then files by
 * priority, then the names that point to files. */
static int phase(const PlanItem *item) {
        if (item->action == PLAN_REMOVE || item->action == PLAN_FORGET)
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

static int compare_item_paths(const void *key, const void *item) {
        return strcmp(key, plan_item_path(item));
}

/* A further name shares the fate of the first one: what is staged anew has a new inode that it must be tied to. Works on
 * the items while they are still in path order. */
static void follow_leaders(Plan *plan) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i], *leader;

                if (!item->source || item->source->type != ENTRY_HARDLINK ||
                    (item->action != PLAN_KEEP && item->action != PLAN_SETATTR && item->action != PLAN_ADOPT &&
                     item->action != PLAN_STAGE))
                        continue;
                leader = bsearch(item->source->target, plan->items, plan->n_items, sizeof(PlanItem), compare_item_paths);
                if (leader && (leader->action == PLAN_STAGE || leader->action == PLAN_WAIT))
                        item->action = leader->action;
        }
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

bool plan_is_left_out(const PlanItem *item) {
        return item->action == PLAN_LINK || item->action == PLAN_SKIP ||
               (item->action == PLAN_KEEP && item->base && item->base->flags & ENTRY_LINKED && !(item->base->flags & ENTRY_RECORD));
}

void plan_count(Plan *plan) {
        plan->stage_bytes = 0;
        plan->n_stage = plan->n_adopt = plan->n_left_out = plan->n_waiting = plan->n_held = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                plan->n_stage += item->action == PLAN_STAGE;
                plan->n_adopt += item->action == PLAN_ADOPT;
                plan->n_waiting += item->action == PLAN_WAIT;
                plan->n_held += item->action == PLAN_SAVE || item->action == PLAN_CONFLICT;
                plan->n_left_out += plan_is_left_out(item);
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
        follow_leaders(plan);
        if (plan->n_items > 0)
                qsort(plan->items, plan->n_items, sizeof(PlanItem), compare_items);
        plan_count(plan);
        *ret = TAKE_PTR(plan);
        return 0;
}

int plan_new_removal(const Manifest *base, Plan **ret) {
        _cleanup_(plan_freep) Plan *plan = calloc(1, sizeof(*plan));

        if (!plan)
                return -ENOMEM;
        plan->items = reallocarray(NULL, base->n_entries + 1, sizeof(PlanItem));
        if (!plan->items)
                return -ENOMEM;
        for (size_t i = base->n_entries; i > 0; i--) {
                const Entry *entry = &base->entries[i - 1];

                if (!(entry->flags & ENTRY_RECORD))
                        plan->items[plan->n_items++] = (PlanItem){ .action = PLAN_REMOVE, .base = entry, .mirror = entry };
        }
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
                [PLAN_KEEP] = "keep", [PLAN_ADOPT] = "adopt", [PLAN_STAGE] = "stage", [PLAN_SETATTR] = "set attributes",
                [PLAN_LINK] = "link to disk", [PLAN_SKIP] = "leave out", [PLAN_REMOVE] = "remove", [PLAN_SAVE] = "save",
                [PLAN_CONFLICT] = "conflict", [PLAN_FORGET] = "forget", [PLAN_WITHHOLD] = "withhold", [PLAN_WAIT] = "wait",
        };

        return names[action];
}
