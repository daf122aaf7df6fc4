/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the parts of a mirror share. See mirror/state.h. */

#include "mirror/state.h"

#include "layout/layout.h"
#include "report/mirror-log.h"
#include "save/amend-plan.h"

void mirror_state_set(Mirror *m, MirrorState state) {
        m->state = state;
        m->context->changed(m, m->context->userdata);
}

void mirror_state_submit(Mirror *m, void (*run)(Job *job), void (*done)(Job *job)) {
        m->job = (Job){ .run = run, .done = done };
        pool_submit(m->context->pool, &m->job);
}

void mirror_state_set_problem(Mirror *m, char *text) {
        free(m->problem);
        m->problem = text;
}

/* Counted once and kept, because the base may be out on a job when somebody asks. */
void mirror_state_count(Mirror *m) {
        m->n_files = manifest_files(m->attachment.base);
        m->n_bytes = manifest_bytes(m->attachment.base);
        m->n_linked = manifest_linked(m->attachment.base);
}

/* While a round runs the look at hand is the last one; a look that is out belongs to its job. */
const Models *mirror_state_models(const Mirror *m) {
        bool planned = m->state == MIRROR_PLANNED || m->state == MIRROR_STAGING;

        return planned && m->survey.models ? m->survey.models : m->models;
}

/* At the end there is a job that lets go of both. */
bool mirror_state_is_attached(const Mirror *m) {
        switch (m->state) {
        case MIRROR_STOPPED:
        case MIRROR_FAILED:
        case MIRROR_REMOVING:
                return false;
        case MIRROR_STARTING:
        case MIRROR_SCANNING:
        case MIRROR_PLANNED:
        case MIRROR_STAGING:
        case MIRROR_IDLE:
        case MIRROR_SAVING:
                break;
        }
        return m->attached;
}

/* Whatever puts something into the trash, or takes something out of it, makes the key another one. */
void mirror_state_measure(Mirror *m) {
        uint64_t key = m->writeback.n_saves + m->writeback.n_deletions + m->pruner.n_removed + m->trash.n_runs;

        if (m->config.write_back && m->state == MIRROR_IDLE && !m->lost)
                gauges_count_trash(&m->gauges, m->attachment.sourcefd, key);
}

bool mirror_state_is_armed(const Mirror *m) {
        return m->ready && m->complete && m->schedule.guard_armed && !m->schedule.guard_blind &&
               !m->schedule.guard_lost;
}

/* What was saved meanwhile becomes part of the base. Only while nobody reads the base: no job and no round is out. */
void mirror_state_absorb(Mirror *m) {
        Manifest *changes = m->attachment.base ? writeback_take(&m->writeback) : NULL;
        Plan *none = NULL;

        if (!changes)
                return;
        for (size_t i = 0; m->journalfd >= 0 && i < changes->n_entries; i++)
                (void) manifest_journal_put(m->journalfd, &changes->entries[i]);
        base_update_merge(m->attachment.base, NULL, &none, &changes);
        mirror_state_count(m);
        m->base_moved = m->recount = true;
}

/* Bytes that are not what they were, though nothing shows who changed them. */
static void judge_doubtful(Mirror *m) {
        Manifest *doubtful = TAKE_PTR(m->plan_run.doubtful);

        for (size_t i = 0; doubtful && i < doubtful->n_entries; i++) {
                const Entry *base = manifest_find(m->attachment.base, doubtful->entries[i].path);
                /* nobody has looked */
                ScrubFinding finding = { .found = doubtful->entries[i].digest, .has_links = true };

                if (base && manifest_entry_copy(base, &finding.entry) == 0)
                        scrub_report(&m->scrub, &finding);
        }
        (void) manifest_free(doubtful);
}

/* The plan is over: the base moves on, and what was seen of the source is what the next look compares with. */
bool mirror_state_end_round(Mirror *m) {
        Plan **plan = m->removal ? &m->removal : &m->survey.plan;
        bool idle =
                *plan &&
                (*plan)->n_stage + (*plan)->n_adopt + (*plan)->n_skipped + (*plan)->n_waiting + m->withheld.n == 0;
        bool changed = plan_run_end(&m->plan_run, plan, m->attachment.base, m->survey.source);

        m->recount = m->recount || changed || !idle;
        m->unsettled = m->unsettled || m->plan_run.unsettled;
        if (m->survey.source && !m->aside) {
                m->source = manifest_free(m->source);
                m->source = TAKE_PTR(m->survey.source);
                outcomes_done(&m->outcomes);
                m->outcomes = m->planned;
                m->planned = (Outcomes){};
        } else
                outcomes_take_over(&m->outcomes, &m->planned);
        if (m->survey.models) {
                (void) models_free(m->models);
                m->models = TAKE_PTR(m->survey.models);
        }
        survey_done(&m->survey);
        mirror_state_count(m);
        mirror_state_absorb(m);
        judge_doubtful(m);
        return changed;
}

int mirror_state_start_round(Mirror *m, const Plan *plan, uint64_t need, void (*finished)(void *userdata)) {
        TaskContext tasks = {
                .sourcefd = m->attachment.sourcefd,
                .layout = m->survey.layout,
                .source_path = m->config.source,
                .private_dir = &m->attachment.private_dir,
                .overrides = &m->looking,
                .copy_method = m->config.copy_method,
                .refusals = &m->refusals,
                .chunk_size = m->config.chunk_size,
                .limit = m->limit,
                .cancel = &m->cancel,
                .progress = &m->progress,
                .steps = &m->steps,
                .journalfd = m->journalfd,
        };

        if (m->survey.source)
                m->layout = m->survey.layout;
        if (m->survey.source)
                outcomes_begin(&m->planned, plan, m->survey.source, !m->config.write_back);
        else
                outcomes_done(&m->planned);
        return plan_run_start(&m->plan_run, plan, &tasks, need, finished);
}

/* Whoever wiped the mirror did not mean the files. */
static void mirror_wiped(Mirror *m) {
        mirror_log_wiped(&m->config);
        writeback_forget_deletions(&m->writeback);
        for (size_t i = 0; i < m->survey.plan->n_items; i++)
                if (m->survey.plan->items[i].action == PLAN_DELETE)
                        m->survey.plan->items[i].action = PLAN_STAGE;
        plan_count(m->survey.plan);
}

void mirror_state_queue_saves(Mirror *m) {
        int r;

        if (m->where == ATTACH_WIPED)
                mirror_wiped(m);
        if (!m->config.write_back)
                return;
        if (m->where == ATTACH_WIPED || m->last_scan || !mirror_state_is_armed(m))
                pathset_done(&m->missing);
        else if (amend_plan_await_reports(m->survey.plan, &m->missing) > 0)
                scan_schedule_request(&m->schedule, false);
        m->in_doubt = false;
        r = writeback_update(&m->writeback, &m->survey, m->attachment.base, m->plan_run.altered, &m->looking);
        if (r > 0)
                mirror_log_mass_deletion(&m->config, m->deletions.held);
}

/* --- who listens --- */

void mirror_state_listen(Mirror *m, MirrorListener *listener) {
        MirrorListener **last = &m->listeners; /* in the order in which they came */

        while (*last)
                last = &(*last)->next;
        listener->next = NULL;
        *last = listener;
}

void mirror_state_unlisten(Mirror *m, MirrorListener *listener) {
        for (MirrorListener **at = &m->listeners; *at; at = &(*at)->next)
                if (*at == listener) {
                        *at = listener->next;
                        return;
                }
}

void mirror_state_notify(Mirror *m, MirrorEvent event) {
        for (MirrorListener *listener = m->listeners, *next; listener; listener = next) {
                next = listener->next;
                if (event == MIRROR_FREED)
                        m->listeners = next;
                listener->hear(listener, m, event);
        }
}

/* --- wishes --- */

void mirror_state_want_scan(Mirror *m) {
        m->look_wanted = true;
        if (m->state == MIRROR_IDLE)
                scan_schedule_idle(&m->schedule, &m->config, SCAN_REASON_NOW);
}

/* What stands there is neither what was released nor our own link. */
static bool is_brought_again(const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;

        return m && (m->type == ENTRY_FILE || m->type == ENTRY_HARDLINK) &&
               (!b || b->flags & (ENTRY_RECORD | ENTRY_LINKED));
}

/* Shared content goes when nothing names it any more: not as long as what did is still on its way out of the mirror. */
static bool is_over(const Mirror *m, const PlanItem *item, bool pointers_go) {
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

static bool is_doomed(const Mirror *m, const PlanItem *item) {
        return item->source && overrides_is_marked_deleted(&m->looking, item->source);
}

static bool is_listed(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

/* What was deleted, was changed by somebody since, or turned out to be needed is doomed no more. */
static void note_doomed(Mirror *m) {
        const Plan *plan = m->survey.plan;
        bool pointers_go = false;
        PathSet over = {};

        for (size_t i = 0; i < plan->n_items; i++)
                if (is_doomed(m, &plan->items[i]) && plan->items[i].action == PLAN_RELEASE &&
                    !layout_is_shared(m->survey.layout, plan->items[i].source->path))
                        pointers_go = true;
        for (size_t i = 0; i < m->looking.marked_deleted->n_entries; i++) {
                const Entry *marked_deleted = &m->looking.marked_deleted->entries[i],
                            *source = manifest_find(m->survey.source, marked_deleted->path);

                if (!source || !overrides_is_marked_deleted(&m->looking, source))
                        (void) pathset_add(&over, marked_deleted->path); /* if not, at the next look */
        }
        for (size_t i = 0; i < plan->n_items; i++)
                if (is_doomed(m, &plan->items[i]) && is_over(m, &plan->items[i], pointers_go))
                        (void) pathset_add(&over, plan_item_path(&plan->items[i]));
        pathset_sort(&over);
        if (m->overrides.marked_deleted)
                manifest_filter(m->overrides.marked_deleted, is_listed, &over);
        pathset_done(&over);
}

void mirror_state_note_overrides(Mirror *m) {
        Survey *survey = &m->survey;

        if (m->looking.marked_deleted)
                note_doomed(m);

        for (size_t i = 0; survey->released.n > 0 && i < survey->plan->n_items; i++) {
                const char *path = plan_item_path(&survey->plan->items[i]);

                if (is_brought_again(&survey->plan->items[i]) && pathset_has(&survey->released, path) &&
                    overrides_get(&m->overrides, path) != OVERRIDE_STAGED &&
                    overrides_stage(&m->overrides, path) == 0)
                        m->look_wanted = true;
        }
        m->recount = m->recount || survey->released.n != m->overrides.in_effect.n;
        pathset_done(&m->overrides.in_effect);
        m->overrides.in_effect = survey->released;
        survey->released = (PathSet){};
}
