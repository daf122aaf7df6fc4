/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What one item of a plan means for others: further names of a file, and directories. See plan/plan.h. */

#include "plan/plan-internal.h"

static int compare_item_paths(const void *key, const void *item) {
        return strcmp(key, plan_item_path(item));
}

void plan_follow_first_names(Plan *plan) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i], *first;

                if (!item->source || item->source->type != ENTRY_HARDLINK ||
                    (item->action != PLAN_KEEP && item->action != PLAN_SETATTR && item->action != PLAN_ADOPT &&
                     item->action != PLAN_STAGE))
                        continue;
                first = bsearch(item->source->target, plan->items, plan->n_items, sizeof(PlanItem),
                                 compare_item_paths);
                if (first && (first->action == PLAN_STAGE || first->action == PLAN_WAIT)) {
                        /* what may be a client's is compared first */
                        if (!item->mirror || !manifest_entry_is_data(item->mirror) || pair_is_known(item->in_mirror))
                                item->action = first->action;
                        /* what may go under the one name may go under the other */
                        if (item->action == PLAN_STAGE && item->mirror && first->mirror && first->kept &&
                            item->mirror->ino == first->mirror->ino)
                                item->kept = true;
                } else if (first && first->action == PLAN_DELETE && item->action == PLAN_STAGE && item->mirror &&
                         pair_is_alike(item->source, item->mirror))
                        item->action = PLAN_KEEP; /* it becomes the first name when that is gone from the disk too */
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

/* What becomes of a directory because of one thing in it. */
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
                /* in the mirror something else has its name now, but what it has on disk was not deleted */
                return PLAN_CONFLICT;
        if (!is_directory(directory->mirror) || !inside->mirror)
                return action;
        if (plan_is_write_back(inside->action) && going)
                return PLAN_SAVE; /* it comes back on disk, with what is new in it */
        if (plan_is_write_back(inside->action) &&
            (action == PLAN_STAGE || action == PLAN_LINK || action == PLAN_IGNORE) && directory->source &&
            !is_directory(directory->source))
                return PLAN_CONFLICT; /* on disk a file has its name now */
        return action == PLAN_REMOVE && !plan_takes_away(inside->action) ? PLAN_KEEP : action;
}

/* From the end, so that what is decided about a directory counts for the one above. */
void plan_follow_content(Plan *plan) {
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
