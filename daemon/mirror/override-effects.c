/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which overrides have taken effect. See mirror/override-effects.h. */

#include "mirror/override-effects.h"

#include "layout/layout.h"

/* A client has put something into the mirror again: neither what was released nor our own link. */
static bool is_brought_again(const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;

        return m && (m->type == ENTRY_FILE || m->type == ENTRY_HARDLINK) &&
               (!b || b->flags & (ENTRY_RECORD | ENTRY_LINKED));
}

/* Whether an entry is no longer to be deleted. Shared content goes when nothing names it any more, so not while files
 * that named it are still being removed from the mirror (@pointers_go). */
static bool mark_is_over(const Mirror *m, const PlanItem *item, bool pointers_go) {
        const Entry *source = item->source;
        bool shared = source->type != ENTRY_DIRECTORY && layout_is_shared(m->survey.layout, source->path);

        if (item->action == PLAN_RELEASE || item->action == PLAN_DELETE)
                return false;
        if (shared && item->base && item->base->flags & ENTRY_CONDEMNED)
                return true;
        if (shared && !(source->flags & ENTRY_ORPHAN))
                return !pointers_go;
        return item->mirror || m->config.deletes != DELETES_KEEP;
}

static bool is_marked(const Mirror *m, const PlanItem *item) {
        return item->source && overrides_is_marked_deleted(&m->scan.overrides, item->source);
}

static bool is_listed(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

/* What was deleted, was changed since, or turned out to be needed is no longer marked for deletion. */
static void end_marks(Mirror *m) {
        const Plan *plan = m->survey.plan;
        bool pointers_go = false;
        PathSet over = {};

        for (size_t i = 0; i < plan->n_items; i++)
                if (is_marked(m, &plan->items[i]) && plan->items[i].action == PLAN_RELEASE &&
                    !layout_is_shared(m->survey.layout, plan->items[i].source->path))
                        pointers_go = true;
        for (size_t i = 0; i < m->scan.overrides.marked_deleted->n_entries; i++) {
                const Entry *marked_deleted = &m->scan.overrides.marked_deleted->entries[i],
                            *source = manifest_find(m->survey.source, marked_deleted->path);

                if (!source || !overrides_is_marked_deleted(&m->scan.overrides, source))
                        (void) pathset_add(&over, marked_deleted->path); /* if not, at the next scan */
        }
        for (size_t i = 0; i < plan->n_items; i++)
                if (is_marked(m, &plan->items[i]) && mark_is_over(m, &plan->items[i], pointers_go))
                        (void) pathset_add(&over, plan_item_path(&plan->items[i]));
        pathset_sort(&over);
        if (m->overrides.marked_deleted)
                manifest_filter(m->overrides.marked_deleted, is_listed, &over);
        pathset_done(&over);
}

void override_effects_note(Mirror *m) {
        Survey *survey = &m->survey;

        if (m->scan.overrides.marked_deleted)
                end_marks(m);
        for (size_t i = 0; survey->released.n > 0 && i < survey->plan->n_items; i++) {
                const char *path = plan_item_path(&survey->plan->items[i]);

                if (is_brought_again(&survey->plan->items[i]) && pathset_has(&survey->released, path) &&
                    overrides_get(&m->overrides, path) != OVERRIDE_STAGED &&
                    overrides_stage(&m->overrides, path) == 0)
                        m->scan.wanted.overrides = true;
        }
        m->totals.models_changed = m->totals.models_changed || survey->released.n != m->overrides.in_effect.n;
        pathset_done(&m->overrides.in_effect);
        m->overrides.in_effect = survey->released;
        survey->released = (PathSet){};
}
