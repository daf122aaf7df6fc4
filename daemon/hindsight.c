/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a plan could not know. See hindsight.h. */

#include "hindsight.h"

bool hindsight_has_yielded(const Manifest *yielded, const PlanItem *item) {
        const Entry *kept = manifest_find(yielded, plan_item_path(item));

        return kept && item->mirror && kept->ino == item->mirror->ino && kept->size == item->mirror->size &&
               kept->mtime_nsec == item->mirror->mtime_nsec;
}

static bool is_listed(const Manifest *list, const Entry *mirror) {
        const Entry *found = list && mirror ? manifest_find(list, mirror->path) : NULL;

        return found && found->ino == mirror->ino && found->ctime_nsec == mirror->ctime_nsec;
}

static bool is_overtaken(const PlanItem *item, const Hindsight *known) {
        const SaveItem *save = savequeue_find(known->queue, plan_item_path(item));

        return manifest_find(known->changes, plan_item_path(item)) ||
               (save && save->state == ITEM_RUNNING && !plan_is_write_back(item->action));
}

/* Size and time are as they were. */
static PlanAction unmask(const PlanItem *item, const Hindsight *known) {
        const Entry *m = item->mirror;
        bool altered = is_listed(known->altered, m) || is_listed(known->suspects, m);
        bool agreed = item->base && !(item->base->flags & ENTRY_RECORD);

        if (item->action == PLAN_SAVEATTR && is_listed(known->suspects, m))
                return PLAN_SAVE;
        if (item->action == PLAN_ADOPT && m->type == ENTRY_FILE && (altered || (known->queue->last && agreed)))
                return agreed ? PLAN_SAVE : PLAN_CONFLICT;
        if (item->action == PLAN_STAGE && altered)
                return PLAN_CONFLICT;
        if (item->action == PLAN_REMOVE && altered)
                return PLAN_SAVE;
        return item->action;
}

void hindsight_apply(Plan *plan, const Hindsight *known) {
        for (size_t i = 0; i < plan->n_items; i++) {
                PlanItem *item = &plan->items[i];

                if (item->action == PLAN_KEEP)
                        continue;
                if (is_overtaken(item, known))
                        item->action = PLAN_KEEP;
                else
                        item->action = unmask(item, known);
                if (item->action == PLAN_CONFLICT && hindsight_has_yielded(known->yielded, item))
                        item->action = PLAN_STAGE;
        }
        plan_count(plan);
}

void hindsight_overlook(Plan *plan, const Moves *moves) {
        for (size_t i = 0; i < moves->n; i++)
                plan->items[moves->items[i].from - plan->items].action = PLAN_IGNORE;
        plan_count(plan);
}
