/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the parts of a mirror share. See mirror/state.h. */

#include "mirror/state.h"

#include "layout/layout.h"
#include "report/mirror-log.h"
#include "save/amend-plan.h"

void mirrorstate_set(Mirror *m, MirrorState state) {
        m->state = state;
        m->context->changed(m, m->context->userdata);
}

void mirrorstate_submit(Mirror *m, void (*run)(Job *job), void (*done)(Job *job)) {
        m->job = (Job){ .run = run, .done = done };
        pool_submit(m->context->pool, &m->job);
}

void mirrorstate_set_problem(Mirror *m, char *text) {
        free(m->problem);
        m->problem = text;
}

/* Counted once and kept, because the base may be out on a job when somebody asks. */
void mirrorstate_count(Mirror *m) {
        m->n_files = manifest_files(m->attachment.base);
        m->n_bytes = manifest_bytes(m->attachment.base);
        m->n_linked = manifest_linked(m->attachment.base);
}

/* While a round runs the look at hand is the last one; a look that is out belongs to its job. */
const Models *mirrorstate_models(const Mirror *m) {
        bool planned = m->state == MIRROR_PLANNED || m->state == MIRROR_STAGING;

        return planned && m->look.models ? m->look.models : m->models;
}

/* At the end there is a job that lets go of both. */
bool mirrorstate_is_attached(const Mirror *m) {
        switch (m->state) {
        case MIRROR_GONE:
        case MIRROR_FAILED:
        case MIRROR_REMOVING:
                return false;
        case MIRROR_STARTING:
        case MIRROR_LOOKING:
        case MIRROR_PLANNED:
        case MIRROR_STAGING:
        case MIRROR_SETTLED:
        case MIRROR_SAVING:
                break;
        }
        return m->attached;
}

/* Whatever puts something into the trash, or takes something out of it, makes the key another one. */
void mirrorstate_measure(Mirror *m) {
        uint64_t key = m->writeback.n_saves + m->writeback.n_deletions + m->sweep.n_removed + m->trash.n_runs;

        if (m->config.write_back && m->state == MIRROR_SETTLED && !m->lost)
                measures_count_trash(&m->measures, m->attachment.sourcefd, key);
}

bool mirrorstate_is_armed(const Mirror *m) {
        return m->ready && m->complete && m->lookout.guard_armed && !m->lookout.guard_blind && !m->lookout.guard_lost;
}

/* What was saved meanwhile becomes part of the base. Only while nobody reads the base: no job and no round is out. */
void mirrorstate_absorb(Mirror *m) {
        Manifest *changes = m->attachment.base ? writeback_take(&m->writeback) : NULL;
        Plan *none = NULL;

        if (!changes)
                return;
        for (size_t i = 0; m->journalfd >= 0 && i < changes->n_entries; i++)
                (void) manifest_journal_put(m->journalfd, &changes->entries[i]);
        agreement_merge(m->attachment.base, NULL, &none, &changes);
        mirrorstate_count(m);
        m->base_moved = m->recount = true;
}

/* Bytes that are not what they were, though nothing shows who changed them. */
static void judge_doubtful(Mirror *m) {
        Manifest *doubtful = TAKE_PTR(m->round.doubtful);

        for (size_t i = 0; doubtful && i < doubtful->n_entries; i++) {
                const Entry *base = manifest_find(m->attachment.base, doubtful->entries[i].path);
                ScrubFinding finding = { .found = doubtful->entries[i].digest, .has_links = true }; /* nobody has looked */

                if (base && entry_copy(base, &finding.entry) == 0)
                        scrub_report(&m->scrub, &finding);
        }
        (void) manifest_free(doubtful);
}

/* The plan is over: the base moves on, and what was seen of the source is what the next look compares with. */
bool mirrorstate_end_round(Mirror *m) {
        Plan **plan = m->removal ? &m->removal : &m->look.plan;
        bool idle = *plan && (*plan)->n_stage + (*plan)->n_adopt + (*plan)->n_left_out + (*plan)->n_waiting + m->withheld.n == 0;
        bool changed = round_end(&m->round, plan, m->attachment.base, m->look.source);

        m->recount = m->recount || changed || !idle;
        m->unsettled = m->unsettled || m->round.unsettled;
        if (m->look.source && !m->aside) {
                m->source = manifest_free(m->source);
                m->source = TAKE_PTR(m->look.source);
                fates_done(&m->fates);
                m->fates = m->planned;
                m->planned = (Fates){};
        } else
                fates_carry(&m->fates, &m->planned);
        if (m->look.models) {
                (void) models_free(m->models);
                m->models = TAKE_PTR(m->look.models);
        }
        look_done(&m->look);
        mirrorstate_count(m);
        mirrorstate_absorb(m);
        judge_doubtful(m);
        return changed;
}

int mirrorstate_start_round(Mirror *m, const Plan *plan, uint64_t need, void (*finished)(void *userdata)) {
        TaskContext tasks = {
                .sourcefd = m->attachment.sourcefd, .layout = m->look.layout, .source_path = m->config.source, .staging = &m->attachment.staging,
                .wishes = &m->looking, .copy_method = m->config.copy_method, .refusals = &m->refusals, .chunk_size = m->config.chunk_size, .limit = m->limit, .cancel = &m->cancel, .progress = &m->progress, .steps = &m->steps,
                .journalfd = m->journalfd,
        };

        if (m->look.source)
                m->layout = m->look.layout;
        if (m->look.source)
                fates_begin(&m->planned, plan, m->look.source, !m->config.write_back);
        else
                fates_done(&m->planned);
        return round_start(&m->round, plan, &tasks, need, finished);
}

/* Whoever wiped the mirror did not mean the files. */
static void mirror_wiped(Mirror *m) {
        mirrorlog_wiped(&m->config);
        writeback_forget_deletions(&m->writeback);
        for (size_t i = 0; i < m->look.plan->n_items; i++)
                if (m->look.plan->items[i].action == PLAN_DELETE)
                        m->look.plan->items[i].action = PLAN_STAGE;
        plan_count(m->look.plan);
}

void mirrorstate_take_back(Mirror *m) {
        int r;

        if (m->where == ATTACH_WIPED)
                mirror_wiped(m);
        if (!m->config.write_back)
                return;
        if (m->where == ATTACH_WIPED || m->farewell || !mirrorstate_is_armed(m))
                pathset_done(&m->missing);
        else if (hindsight_await_reports(m->look.plan, &m->missing) > 0)
                lookout_ask(&m->lookout, false);
        m->in_doubt = false;
        r = writeback_update(&m->writeback, &m->look, m->attachment.base, m->round.altered, &m->looking);
        if (r > 0)
                mirrorlog_brake(&m->config, m->deletions.held);
}

/* --- who listens --- */

void mirrorstate_listen(Mirror *m, MirrorListener *listener) {
        MirrorListener **last = &m->listeners; /* in the order in which they came */

        while (*last)
                last = &(*last)->next;
        listener->next = NULL;
        *last = listener;
}

void mirrorstate_unlisten(Mirror *m, MirrorListener *listener) {
        for (MirrorListener **at = &m->listeners; *at; at = &(*at)->next)
                if (*at == listener) {
                        *at = listener->next;
                        return;
                }
}

void mirrorstate_tell(Mirror *m, MirrorEvent event) {
        for (MirrorListener *listener = m->listeners, *next; listener; listener = next) {
                next = listener->next;
                if (event == MIRROR_FREED)
                        m->listeners = next;
                listener->hear(listener, m, event);
        }
}

/* --- wishes --- */

void mirrorstate_want_look(Mirror *m) {
        m->look_wanted = true;
        if (m->state == MIRROR_SETTLED)
                lookout_rest(&m->lookout, &m->config, LOOKOUT_NOW);
}

/* What stands there is neither what was released nor our own link. */
static bool is_brought_again(const PlanItem *item) {
        const Entry *b = item->base, *m = item->mirror;

        return m && (m->type == ENTRY_FILE || m->type == ENTRY_HARDLINK) && (!b || b->flags & (ENTRY_RECORD | ENTRY_LINKED));
}

/* Shared content goes when nothing names it any more: not as long as what did is still on its way out of the mirror. */
static bool is_over(const Mirror *m, const PlanItem *item, bool pointers_go) {
        const Entry *source = item->source;
        bool shared = source->type != ENTRY_DIRECTORY && layout_is_shared(m->look.layout, source->path);

        if (item->action == PLAN_RELEASE || item->action == PLAN_DELETE)
                return false;
        if (shared && item->base && item->base->flags & ENTRY_CONDEMNED)
                return true;
        if (shared && !(source->flags & ENTRY_ORPHAN))
                return !pointers_go;
        return item->mirror || m->config.deletes != DELETES_KEEP;
}

static bool is_doomed(const Mirror *m, const PlanItem *item) {
        return item->source && wishes_is_doomed(&m->looking, item->source);
}

static bool is_listed(const Entry *entry, void *userdata) {
        return pathset_has(userdata, entry->path);
}

/* What was deleted, was changed by somebody since, or turned out to be needed is doomed no more. */
static void note_doomed(Mirror *m) {
        const Plan *plan = m->look.plan;
        bool pointers_go = false;
        PathSet over = {};

        for (size_t i = 0; i < plan->n_items; i++)
                if (is_doomed(m, &plan->items[i]) && plan->items[i].action == PLAN_RELEASE && !layout_is_shared(m->look.layout, plan->items[i].source->path))
                        pointers_go = true;
        for (size_t i = 0; i < m->looking.doomed->n_entries; i++) {
                const Entry *doomed = &m->looking.doomed->entries[i], *source = manifest_find(m->look.source, doomed->path);

                if (!source || !wishes_is_doomed(&m->looking, source))
                        (void) pathset_add(&over, doomed->path); /* if not, at the next look */
        }
        for (size_t i = 0; i < plan->n_items; i++)
                if (is_doomed(m, &plan->items[i]) && is_over(m, &plan->items[i], pointers_go))
                        (void) pathset_add(&over, plan_item_path(&plan->items[i]));
        pathset_sort(&over);
        if (m->wishes.doomed)
                manifest_filter(m->wishes.doomed, is_listed, &over);
        pathset_done(&over);
}

void mirrorstate_note_wishes(Mirror *m) {
        Look *look = &m->look;

        if (m->looking.doomed)
                note_doomed(m);

        for (size_t i = 0; look->released.n > 0 && i < look->plan->n_items; i++) {
                const char *path = plan_item_path(&look->plan->items[i]);

                if (is_brought_again(&look->plan->items[i]) && pathset_has(&look->released, path) && wishes_of(&m->wishes, path) != WISH_WANTED &&
                    wishes_want(&m->wishes, path) == 0)
                        m->look_wanted = true;
        }
        m->recount = m->recount || look->released.n != m->wishes.in_effect.n;
        pathset_done(&m->wishes.in_effect);
        m->wishes.in_effect = look->released;
        look->released = (PathSet){};
}
