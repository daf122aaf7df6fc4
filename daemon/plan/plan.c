/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way decision for each path, and the order of the items. See plan/plan.h. */

#include "plan/plan.h"

#include "layout/layout.h"
#include "layout/unfinished.h"
#include "tree/filter.h"

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

/* Somebody has given the copy another owner or mode. Directories get theirs when staging ends, so what differs
 * before says nothing. */
static bool attributes_changed(const PlanInput *input, const Entry *base, const Entry *mirror) {
        if (base->flags & ENTRY_LINKED || base->type == ENTRY_SYMLINK ||
            (base->type == ENTRY_DIRECTORY && !input->armed))
                return false;
        if (input->keeps_owners)
                return attributes_differ(base, mirror);
        return base->type != ENTRY_DIRECTORY && base->mode != mirror->mode;
}

bool plan_is_disk_link(const Entry *mirror, const char *source_path) {
        size_t n = strlen(source_path);

        return mirror && mirror->type == ENTRY_SYMLINK && strncmp(mirror->target, source_path, n) == 0 &&
               mirror->target[n] == '/' && strcmp(mirror->target + n + 1, mirror->path) == 0;
}

/* The mirror still holds what the base says was put there. A name may be alone with its inode by now, because
 * another of its names was staged anew, and this one was not yet tied to it. */
static bool mirror_agrees(const PlanItem *item, const char *source_path) {
        const Entry *b = item->base, *m = item->mirror;

        if (b->flags & ENTRY_LINKED)
                return plan_is_disk_link(m, source_path);
        return looks_same(b, m) && (is_tied_alike(b, m) || b->ino == m->ino);
}

static PlanAction agree(const PlanInput *input, const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;

        if (b->flags & ENTRY_LINKED)
                return PLAN_STAGE; /* perhaps it fits by now */
        if (is_data(b) && b->ino != m->ino)
                return PLAN_ADOPT;
        if (attributes_changed(input, b, m) && !attributes_differ(item->source, b) && is_tied_alike(item->source, m))
                return PLAN_SAVEATTR; /* which looks at the bytes too */
        if (is_data(b) && b->ctime_nsec != m->ctime_nsec)
                return PLAN_ADOPT;
        if (!is_tied_alike(item->source, m) || (is_data(m) && input->damaged && pathset_has(input->damaged, m->path)))
                return PLAN_STAGE;
        if (attributes_differ(item->source, b))
                return PLAN_SETATTR;
        return b->ino != m->ino ? PLAN_ADOPT : PLAN_KEEP; /* the same directory or link, made anew by somebody */
}

static LayoutKind kind_of(const PlanInput *input) {
        return input->layout == LAYOUT_AUTO ? LAYOUT_PLAIN : input->layout;
}

static bool is_unfinished(const PlanInput *input, const Entry *mirror) {
        return layout_role(kind_of(input), mirror->path) == LAYOUT_UNFINISHED ||
               (mirror->type == ENTRY_FILE && unfinished_is_marked(input->mirror, mirror->path));
}

static PlanAction save(const PlanInput *input, const PlanItem *item) {
        return is_unfinished(input, item->mirror) ? PLAN_IGNORE : PLAN_SAVE;
}

/* Where the name states the digest there are not two versions: the mirror's is saved only if it has it, and then it
 * is the same, or the disk's was damaged. */
static PlanAction conflict(const PlanInput *input, const PlanItem *item) {
        Claim claim;

        if (is_unfinished(input, item->mirror))
                return PLAN_IGNORE;
        return item->source->type == ENTRY_FILE && item->mirror->type == ENTRY_FILE &&
               layout_claim(kind_of(input), item->mirror->path, &claim) ? PLAN_SAVE : PLAN_CONFLICT;
}

static PlanAction decide_without_base(const PlanInput *input, const PlanItem *item) {
        const Entry *s = item->source, *m = item->mirror;
        const char *source_path = input->source_path;

        if (!m)
                return s ? PLAN_STAGE : PLAN_FORGET;
        if (!s)
                return save(input, item);
        if (is_data(s) && plan_is_disk_link(m, source_path))
                return PLAN_STAGE; /* our own link, left by a run whose base was lost */
        if (!looks_same(s, m))
                return conflict(input, item);
        if (!is_tied_alike(s, m))
                return PLAN_STAGE;
        return PLAN_ADOPT;
}

/* Something stands there that a list does not hold: a fifo, or what could not be looked at. */
static bool is_unseen(const Manifest *mirror, const char *path) {
        for (size_t i = 0; i < mirror->n_omissions; i++)
                if (strcmp(mirror->omissions[i].path, path) == 0)
                        return true;
        return manifest_is_blind(mirror, path);
}

/* Only what was seen to happen is a deletion: without an event, absence is staged again. */
static PlanAction decide_absent(const PlanInput *input, const PlanItem *item, bool source_same) {
        if (!item->source)
                return PLAN_FORGET;
        /* through a link a client can touch what is on disk, which then is the same by its name */
        source_same = source_same || (item->base->flags & ENTRY_LINKED && is_data(item->source) &&
                                      layout_is_shared(kind_of(input), item->source->path));
        if (source_same && input->deleted && pathset_covers(input->deleted, item->source->path) &&
            (item->source->flags & ENTRY_ORPHAN || !layout_is_shared(kind_of(input), item->source->path)) &&
            !is_unseen(input->mirror, item->source->path))
                return PLAN_DELETE;
        return PLAN_STAGE;
}

/* DESIGN's table. */
static PlanAction decide(const PlanInput *input, const PlanItem *item) {
        const Entry *b = item->base, *s = item->source, *m = item->mirror;
        bool s_same, m_same;

        if (!b || b->flags & ENTRY_RECORD)
                return decide_without_base(input, item);
        s_same = s && looks_same(b, s);
        if (!m)
                return decide_absent(input, item, s_same);
        m_same = mirror_agrees(item, input->source_path);
        if (m_same)
                return !s ? PLAN_REMOVE : s_same ? agree(input, item) : PLAN_STAGE;
        if (!s || s_same)
                return save(input, item);
        return looks_same(s, m) ? PLAN_ADOPT : conflict(input, item);
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

/* What is not chosen for RAM: a link to the disk stands for it; for what nothing needs, only if one is there. */
static PlanAction decide_unwanted(const PlanInput *input, const PlanItem *item, PlanAction action) {
        bool linked = item->base && item->base->flags & ENTRY_LINKED, orphan = item->source->flags & ENTRY_ORPHAN;

        if (action == PLAN_STAGE && plan_is_disk_link(item->mirror, input->source_path))
                return linked && !(item->base->flags & ENTRY_RECORD) ? PLAN_KEEP : PLAN_LINK;
        if (action == PLAN_STAGE)
                return orphan ? PLAN_IGNORE : PLAN_LINK;
        return action == PLAN_KEEP && !orphan ? PLAN_LINK : action;
}

/* Nothing but what the disk has: as both sides agreed, or our own link. */
static bool is_only_a_copy(const PlanInput *input, const PlanItem *item) {
        if (plan_is_disk_link(item->mirror, input->source_path))
                return true;
        return item->base && !(item->base->flags & ENTRY_RECORD) && mirror_agrees(item, input->source_path);
}

/* What is released is taken out of the mirror if all agree about it: what somebody did to it goes its way first.
 * That it is not there was not done by a client. */
static PlanAction decide_released(const PlanInput *input, const PlanItem *item, PlanAction action) {
        if (!item->mirror)
                return item->base && !(item->base->flags & ENTRY_RECORD) ? PLAN_FORGET : PLAN_IGNORE;
        if ((action == PLAN_KEEP || action == PLAN_SETATTR || action == PLAN_STAGE) && is_only_a_copy(input, item))
                return PLAN_RELEASE;
        return action;
}

/* A deletion that was held back, and is wanted after all: first in the mirror, then on the disk; not if somebody has
 * changed either since. */
static PlanAction decide_doomed(const PlanInput *input, const PlanItem *item, PlanAction action) {
        bool shared = item->source->type != ENTRY_DIRECTORY && layout_is_shared(kind_of(input), item->source->path);

        if (shared && !(item->source->flags & ENTRY_ORPHAN))
                return action;
        if (!item->mirror)
                return action == PLAN_STAGE || action == PLAN_LINK || action == PLAN_IGNORE ? PLAN_DELETE : action;
        return (action == PLAN_KEEP || action == PLAN_STAGE) && is_only_a_copy(input, item) ? PLAN_RELEASE : action;
}

/* Nobody has seen it before because it was not chosen: an operator wants it now, and knows why. */
static bool is_wanted_newly(const PlanInput *input, const PlanItem *item) {
        return item->source && input->overrides && input->overrides->wanted.n > 0 &&
               !manifest_find(input->previous, item->source->path) &&
               (overrides_get(input->overrides, item->source->path) == OVERRIDE_STAGED ||
                overrides_stages_below(input->overrides, item->source->path));
}

static PlanAction decide_carefully(const PlanInput *input, const PlanItem *item, const char *path) {
        PlanAction action = decide(input, item);
        bool touches_mirror;

        if (item->source && input->overrides && overrides_is_marked_deleted(input->overrides, item->source))
                return decide_doomed(input, item, action);
        if (item->source && input->absent && pathset_has(input->absent, path))
                return decide_released(input, item, action);
        if (item->source && item->source->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN))
                action = decide_unwanted(input, item, action);
        touches_mirror = action == PLAN_STAGE || action == PLAN_REMOVE || action == PLAN_SETATTR;

        if (!item->source && manifest_is_blind(input->source, path))
                return PLAN_KEEP; /* unknown, not absent */
        if (touches_mirror && is_restless(input, item, path) && !is_wanted_newly(input, item))
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
                           .rank = filter_rank(input->priority, path) };
        ret->action = decide_carefully(input, ret, path);
        return true;
}

const char *plan_item_path(const PlanItem *item) {
        return item->source ? item->source->path : item->mirror ? item->mirror->path : item->base->path;
}

/* Removals first, the deepest first, because they make room and make way; then directories from the top, then files by
 * priority, then the names that point to files. */
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

static int compare_item_paths(const void *key, const void *item) {
        return strcmp(key, plan_item_path(item));
}

/* A further name shares the fate of the first one: what is staged anew has a new inode that it must be tied to.
 * Works on the items while they are still in path order. */
static void follow_leaders(Plan *plan) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i], *leader;

                if (!item->source || item->source->type != ENTRY_HARDLINK ||
                    (item->action != PLAN_KEEP && item->action != PLAN_SETATTR && item->action != PLAN_ADOPT &&
                     item->action != PLAN_STAGE))
                        continue;
                leader = bsearch(item->source->target, plan->items, plan->n_items, sizeof(PlanItem),
                                 compare_item_paths);
                if (leader && (leader->action == PLAN_STAGE || leader->action == PLAN_WAIT))
                        item->action = leader->action;
                else if (leader && leader->action == PLAN_DELETE && item->action == PLAN_STAGE && item->mirror &&
                         looks_same(item->source, item->mirror))
                        item->action = PLAN_KEEP; /* it is the first name when that is gone from the disk too */
        }
}

typedef struct Above {
        const char *path;
        size_t length;
} Above;

static int compare_above(const void *key, const void *item) {
        const Above *above = key;
        const char *path = plan_item_path(item);
        int order = strncmp(above->path, path, above->length);

        return order != 0 ? order : path[above->length] ? -1 : 0;
}

static bool is_directory(const Entry *entry) {
        return entry && entry->type == ENTRY_DIRECTORY;
}

static bool comes(const PlanItem *item) {
        return item->action == PLAN_STAGE || item->action == PLAN_LINK;
}

/* What becomes of a directory, as far as one thing in it has a say. */
static PlanAction decide_directory(const PlanItem *directory, const PlanItem *inside) {
        PlanAction action = directory->action;
        bool going = !directory->source && (action == PLAN_REMOVE || action == PLAN_WAIT || action == PLAN_KEEP);

        if (action == PLAN_DELETE && inside->action != PLAN_DELETE && inside->action != PLAN_FORGET)
                return PLAN_STAGE; /* something in it stays, or comes */
        if ((action == PLAN_IGNORE || action == PLAN_FORGET) && is_directory(directory->source) &&
            !directory->mirror && comes(inside))
                return PLAN_STAGE; /* it was released, but not all that is in it */
        if (action == PLAN_RELEASE &&
            (comes(inside) || (inside->mirror && inside->action != PLAN_RELEASE && inside->action != PLAN_REMOVE)))
                return PLAN_KEEP;
        if (action == PLAN_SAVE && inside->action == PLAN_STAGE && is_directory(directory->source))
                /* in the mirror something else has taken its name, and what is in it on disk was not deleted */
                return PLAN_CONFLICT;
        if (!is_directory(directory->mirror) || !inside->mirror)
                return action;
        if (plan_is_write_back(inside->action) && going)
                return PLAN_SAVE; /* it comes back on disk, with what is new in it */
        if (plan_is_write_back(inside->action) &&
            (action == PLAN_STAGE || action == PLAN_LINK || action == PLAN_IGNORE) && directory->source &&
            !is_directory(directory->source))
                return PLAN_CONFLICT; /* on disk a file has taken its name */
        return action == PLAN_REMOVE && !plan_takes_away(inside->action) ? PLAN_KEEP : action;
}

/* A directory shares the fate of what is in it. Works on the items while they are in path order: from the end, so
 * that what is decided about a directory counts for the one above. */
static void follow_inhabitants(Plan *plan) {
        for (size_t i = plan->n_items; i > 0; i--) {
                const PlanItem *item = &plan->items[i - 1];
                const char *path = plan_item_path(item), *slash = strrchr(path, '/');
                Above above = { .path = path, .length = slash ? (size_t) (slash - path) : 0 };
                PlanItem *directory =
                        slash ? bsearch(&above, plan->items, i - 1, sizeof(PlanItem), compare_above) : NULL;

                if (directory)
                        directory->action = decide_directory(directory, item);
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

bool plan_takes_away(PlanAction action) {
        return action == PLAN_REMOVE || action == PLAN_RELEASE;
}

bool plan_is_write_back(PlanAction action) {
        return action == PLAN_SAVE || action == PLAN_SAVEATTR || action == PLAN_DELETE || action == PLAN_CONFLICT;
}

bool plan_is_skipped(const PlanItem *item) {
        if (item->source && item->source->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN))
                return false; /* nobody asked for it */
        return item->action == PLAN_LINK || item->action == PLAN_SKIP ||
               (item->action == PLAN_KEEP && item->base && item->base->flags & ENTRY_LINKED &&
                !(item->base->flags & ENTRY_RECORD));
}

void plan_count(Plan *plan) {
        plan->stage_bytes = 0;
        plan->n_stage = plan->n_adopt = plan->n_skipped = plan->n_waiting = plan->n_held = 0;
        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *item = &plan->items[i];

                plan->n_stage += item->action == PLAN_STAGE;
                plan->n_adopt += item->action == PLAN_ADOPT;
                plan->n_waiting += item->action == PLAN_WAIT;
                plan->n_held +=
                        item->action == PLAN_SAVE || item->action == PLAN_SAVEATTR || item->action == PLAN_CONFLICT;
                plan->n_skipped += plan_is_skipped(item);
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
        follow_inhabitants(plan);
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
                [PLAN_KEEP] = "keep",
                [PLAN_ADOPT] = "adopt",
                [PLAN_STAGE] = "stage",
                [PLAN_SETATTR] = "set attributes",
                [PLAN_LINK] = "link to disk",
                [PLAN_SKIP] = "leave out",
                [PLAN_REMOVE] = "remove",
                [PLAN_SAVE] = "save",
                [PLAN_SAVEATTR] = "save attributes",
                [PLAN_DELETE] = "delete on disk",
                [PLAN_IGNORE] = "ignore",
                [PLAN_CONFLICT] = "conflict",
                [PLAN_FORGET] = "forget",
                [PLAN_WITHHOLD] = "withhold",
                [PLAN_RELEASE] = "release",
                [PLAN_WAIT] = "wait",
        };

        return names[action];
}
