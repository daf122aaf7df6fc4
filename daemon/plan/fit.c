/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How much of a plan fits into RAM. See plan/fit.h. */

#include "plan/fit.h"

#include "layout/layout.h"

/* A set as a whole: the shards of one split model, or one file. */
typedef struct Set {
        uint64_t bytes, inodes;
        bool decided, fits;
} Set;

/* A file that is to be staged, and the set that it belongs to. */
typedef struct Member {
        PlanItem *item;
        size_t set;
} Member;

static bool takes_room(const PlanItem *item) {
        return item->action == PLAN_STAGE;
}

static uint64_t item_bytes(const PlanItem *item) {
        return item->source->type == ENTRY_FILE ? item->source->room : 0;
}

/* Removals are carried out first, so what they free counts as room. An old version that is replaced does not, because a
 * reader may still have it mapped. */
static void sum_up(const FitInput *input, const Plan *plan, Fit *fit) {
        uint64_t freed_bytes = 0, freed_inodes = 0, inodes = input->inodes;

        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                if (plan_takes_away(item->action) && item->mirror) {
                        freed_bytes += item->mirror->type == ENTRY_FILE ? item->mirror->room : 0;
                        freed_inodes++;
                }
                if (!takes_room(item))
                        continue;
                fit->need_bytes += item_bytes(item);
                fit->need_inodes++;
        }
        fit->limit = FIT_SIZE; /* if several are equal, the one that a person has set */
        for (FitLimit l = FIT_TMPFS; l < _FIT_LIMIT_MAX; l++)
                if (input->room[l] < input->room[fit->limit])
                        fit->limit = l;
        fit->room_bytes = input->room[fit->limit];
        if (fit->room_bytes < UINT64_MAX - freed_bytes)
                fit->room_bytes += freed_bytes;
        if (inodes < UINT64_MAX - freed_inodes)
                inodes += freed_inodes;
        fit->short_bytes = fit->need_bytes > fit->room_bytes ? fit->need_bytes - fit->room_bytes : 0;
        fit->short_inodes = fit->need_inodes > inodes ? fit->need_inodes - inodes : 0;
}

static int compare_by_set(const void *a, const void *b) {
        const char *x = ((const Member *) a)->item->source->path, *y = ((const Member *) b)->item->source->path;
        const char *tail_x, *tail_y;
        size_t n_x = layout_set(x, &tail_x), n_y = layout_set(y, &tail_y);
        int r = strncmp(x, y, MIN(n_x, n_y));

        if (r == 0)
                r = n_x < n_y ? -1 : n_x > n_y;
        return r ? r : strcmp(tail_x, tail_y);
}

static int compare_by_order(const void *a, const void *b) {
        const PlanItem *x = ((const Member *) a)->item, *y = ((const Member *) b)->item;

        return x < y ? -1 : x > y;
}

static size_t collect_members(Plan *plan, Member *members) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_items; i++)
                if (takes_room(&plan->items[i]) && plan->items[i].source->type == ENTRY_FILE)
                        members[n++].item = &plan->items[i];
        return n;
}

/* Numbers the sets and adds up what each takes; leaves the members in the plan's order again. */
static void collect_sets(Member *members, size_t n, Set *sets) {
        size_t set = 0;

        qsort(members, n, sizeof(Member), compare_by_set);
        for (size_t i = 0; i < n; i++) {
                if (i > 0 && !layout_same_set(members[i - 1].item->source->path, members[i].item->source->path))
                        set++;
                members[i].set = set;
                sets[set].bytes += item_bytes(members[i].item);
                sets[set].inodes++;
        }
        qsort(members, n, sizeof(Member), compare_by_order);
}

/* Where content is shared by name, an absent file would look like one that is not needed any more. Where clients follow
 * and remove links, a link would lead them to the disk. */
static bool wants_link(const FitInput *input, const PlanItem *item) {
        const char *path = item->source->path;

        return layout_may_link(input->layout, path) &&
               (layout_is_shared(input->layout, path) || input->on_no_room == NO_ROOM_LINK);
}

static void leave_out(const FitInput *input, PlanItem *item) {
        if (plan_is_disk_link(item->mirror, input->source_path) && item->base && item->base->flags & ENTRY_LINKED)
                item->action = PLAN_KEEP; /* the link is there already */
        else
                item->action = wants_link(input, item) ? PLAN_LINK : PLAN_SKIP;
}

/* In the plan's order, so the first priority is served first; a set is decided with its first member. A small set after
 * a big one that does not fit may still fit. */
static void choose(const FitInput *input, const Fit *fit, Member *members, size_t n, Set *sets) {
        uint64_t bytes_left = fit->room_bytes, inodes_left = fit->need_inodes - fit->short_inodes;

        inodes_left -= MIN(inodes_left, fit->need_inodes - n); /* directories and links are made in any case */
        for (size_t i = 0; i < n; i++) {
                Set *set = &sets[members[i].set];

                if (!set->decided) {
                        set->decided = true;
                        set->fits = set->bytes <= bytes_left && set->inodes <= inodes_left;
                        bytes_left -= set->fits ? set->bytes : 0;
                        inodes_left -= set->fits ? set->inodes : 0;
                }
                if (!set->fits)
                        leave_out(input, members[i].item);
        }
}

static int compare_by_path(const void *a, const void *b) {
        return strcmp(((const Member *) a)->item->source->path, ((const Member *) b)->item->source->path);
}

static int compare_path(const void *path, const void *member) {
        return strcmp(path, ((const Member *) member)->item->source->path);
}

/* Keeps of the members those that were left out, in path order. */
static size_t keep_left_out(Member *members, size_t n) {
        size_t kept = 0;

        for (size_t i = 0; i < n; i++)
                if (members[i].item->action != PLAN_STAGE)
                        members[kept++] = members[i];
        qsort(members, kept, sizeof(Member), compare_by_path);
        return kept;
}

/* A further name of a file that was left out is left out in the same way. */
static void leave_out_further_names(const FitInput *input, Plan *plan, const Member *left_out, size_t n) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->action == PLAN_STAGE && item->source->type == ENTRY_HARDLINK &&
                    bsearch(item->source->target, left_out, n, sizeof(Member), compare_path))
                        leave_out(input, item);
        }
}

int fit_plan(Plan *plan, const FitInput *input, Fit *fit) {
        _cleanup_(freep) Member *members = NULL;
        _cleanup_(freep) Set *sets = NULL;
        size_t n;

        *fit = (Fit){};
        sum_up(input, plan, fit);
        if (fit->short_bytes == 0 && fit->short_inodes == 0)
                return 0;
        members = calloc(plan->n_items + 1, sizeof(Member));
        sets = calloc(plan->n_items + 1, sizeof(Set));
        if (!members || !sets)
                return -ENOMEM;
        n = collect_members(plan, members);
        collect_sets(members, n, sets);
        choose(input, fit, members, n, sets);
        n = keep_left_out(members, n);
        leave_out_further_names(input, plan, members, n);
        plan_count(plan);
        return FIT_NO_ROOM;
}

const char *fit_limit_name(FitLimit limit) {
        static const char *const names[] = {
                [FIT_TMPFS] = "room in the tmpfs", [FIT_SIZE] = "Size=",
                [FIT_MEMORY] = "available memory minus ReserveMemory=",
                [FIT_CGROUP] = "the control group's memory limit",
        };

        return names[limit];
}
