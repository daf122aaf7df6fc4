/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files that were renamed in the mirror. See plan/renames.h. */

#include "plan/renames.h"

#include "base/path.h"

unsigned renames_doubts(const PlanItem *from) {
        return from->base->flags & ENTRY_LINKED ? 0 : from->base->flags & (ENTRY_UNPROVEN | ENTRY_RACY);
}

static bool has_gone(const PlanItem *item) {
        if (!item->base || !item->source || item->base->flags & (ENTRY_RECORD | ENTRY_MIRROR_DIFFERS))
                return false;
        if (item->base->flags & ENTRY_LINKED) /* to any name of the file, and something else may have its name now */
                return manifest_entry_is_data(item->base) && manifest_entry_is_data(item->source) &&
                       item->in_mirror != PAIR_SAME;
        if (item->mirror)
                return false; /* its bytes are in the mirror, and are saved under the other name */
        if (renames_doubts(item) != 0 && !(item->base->flags & ENTRY_HAS_DIGEST))
                return false; /* there is nothing to compare with */
        return item->base->type == ENTRY_FILE && item->source->type == ENTRY_FILE &&
               (pair_is_known(item->on_disk) || pair_is_only_racy(item->base, item->source));
}

static bool has_come(const PlanItem *item) {
        return item->action == PLAN_SAVE && (item->mirror->type == ENTRY_SYMLINK ||
                                             (item->mirror->type == ENTRY_FILE && !item->source));
}

/* The path of the file on the disk that a link of ours leads to. */
static bool leads_to(const PlanItem *to, const PlanItem *from, const char *source_path) {
        const char *below = path_below(to->mirror->target, source_path);

        return below && strcmp(below, from->base->path) == 0;
}

static bool is_rename(const PlanItem *to, const PlanItem *from, const char *source_path) {
        if (to->mirror->type == ENTRY_SYMLINK)
                return from->base->flags & ENTRY_LINKED && leads_to(to, from, source_path);
        return !(from->base->flags & ENTRY_LINKED) && from->base->size == to->mirror->size &&
               from->base->mtime_nsec == to->mirror->mtime_nsec;
}

static int compare_inodes(const void *a, const void *b) {
        const PlanItem *x = *(const PlanItem *const *) a, *y = *(const PlanItem *const *) b;

        return x->base->ino < y->base->ino ? -1 : x->base->ino > y->base->ino;
}

static int compare_inode_key(const void *key, const void *item) {
        const Entry *mirror = key, *base = (*(const PlanItem *const *) item)->base;

        return mirror->ino < base->ino ? -1 : mirror->ino > base->ino;
}

static int compare_renames(const void *a, const void *b) {
        return strcmp(plan_item_path(((const Rename *) a)->to), plan_item_path(((const Rename *) b)->to));
}

static int compare_rename_key(const void *key, const void *item) {
        return strcmp(key, plan_item_path(((const Rename *) item)->to));
}

int renames_find(const Plan *plan, const char *source_path, Renames *ret) {
        _cleanup_(freep) const PlanItem **gone = NULL;
        size_t n_gone = 0, n_come = 0;
        Renames renames = {};

        for (size_t i = 0; i < plan->n_items; i++) {
                n_gone += has_gone(&plan->items[i]);
                n_come += has_come(&plan->items[i]);
        }
        *ret = renames;
        if (n_gone == 0 || n_come == 0)
                return 0;
        gone = calloc(n_gone, sizeof(PlanItem *));
        renames.items = calloc(n_come, sizeof(Rename));
        if (!gone || !renames.items) {
                free(renames.items);
                return -ENOMEM;
        }
        n_gone = 0;
        for (size_t i = 0; i < plan->n_items; i++)
                if (has_gone(&plan->items[i]))
                        gone[n_gone++] = &plan->items[i];
        qsort(gone, n_gone, sizeof(PlanItem *), compare_inodes);
        for (size_t i = 0; i < plan->n_items; i++) {
                const PlanItem *to = &plan->items[i], **from;

                if (!has_come(to))
                        continue;
                from = bsearch(to->mirror, gone, n_gone, sizeof(PlanItem *), compare_inode_key);
                if (from && is_rename(to, *from, source_path))
                        renames.items[renames.n++] = (Rename){ .to = to, .from = *from };
        }
        if (renames.n > 0)
                qsort(renames.items, renames.n, sizeof(Rename), compare_renames);
        *ret = renames;
        return 0;
}

void renames_done(Renames *renames) {
        free(renames->items);
        *renames = (Renames){};
}

const PlanItem *renames_origin(const Renames *renames, const char *path) {
        const Rename *rename =
                renames->n == 0 ? NULL : bsearch(path, renames->items, renames->n, sizeof(Rename), compare_rename_key);

        return rename ? rename->from : NULL;
}
