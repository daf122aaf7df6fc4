/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The mirror, and the steps that several of its parts take. See mirror/state.h. */

#include "mirror/state.h"

#include "base/log.h"
#include "report/mirror-log.h"
#include "save/amend-plan.h"

void mirror_state_set(Mirror *m, MirrorPhase phase) {
        if (m->phase == PHASE_FAILED)
                return;
        if (!mirror_phase_may_go(m->phase, phase)) {
                log_debug("Internal error: mirror '%s' changed from phase %s to %s", m->config.name,
                          mirror_phase_name(m->phase), mirror_phase_name(phase));
                assert(false);
        }
        m->phase = phase;
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

void mirror_state_count(Mirror *m) {
        m->totals.files = manifest_files(m->attachment.base);
        m->totals.bytes = manifest_bytes(m->attachment.base);
        m->totals.linked = manifest_linked(m->attachment.base);
}

bool mirror_state_is_failing(const Mirror *m) {
        return m->end.reason == END_FAILURE;
}

bool mirror_state_is_stopping(const Mirror *m) {
        return m->end.reason == END_STOP;
}

bool mirror_state_is_being_recreated(const Mirror *m) {
        return m->end.reason == END_RECREATION;
}

bool mirror_state_has_plan(const Mirror *m) {
        MirrorState state = mirror_phase_state(m->phase);

        return state == MIRROR_PLANNED || state == MIRROR_STAGING;
}

/* In the end a job lets go of both. */
bool mirror_state_is_attached(const Mirror *m) {
        return m->attached && m->phase < PHASE_REMOVING;
}

bool mirror_state_is_watched(const Mirror *m) {
        return m->ready && m->complete && scan_schedule_mirror_is_watched(&m->schedule);
}

/* While a scan is out, its survey is the job's. */
const Models *mirror_state_models(const Mirror *m) {
        return mirror_state_has_plan(m) && m->survey.models ? m->survey.models : m->models;
}

size_t mirror_state_n_unagreed(const Mirror *m) {
        return m->phase == PHASE_PLANNED ? m->survey.plan->n_unagreed : m->plan_run.n_unagreed;
}

/* The key changes whenever something was put into the trash or taken out of it. */
void mirror_state_measure(Mirror *m) {
        uint64_t key = m->writeback.n_saves + m->writeback.n_deletions + m->pruner.n_removed + m->trash.n_runs;

        if (m->config.write_back && m->phase == PHASE_IDLE && !m->lost)
                gauges_count_trash(&m->gauges, m->attachment.sourcefd, key);
}

/* Files that were read because they may have been written. What was altered is for the next plan. */
static void absorb_proofs(Mirror *m) {
        size_t altered = 0;

        if (!m->attachment.base || !proofs_take(&m->proofs, m->attachment.base, &altered))
                return;
        m->base_moved = true;
        if (altered == 0)
                return;
        mirror_state_count(m);
        m->scan.wanted.outdated = true;
        scan_schedule_request(&m->schedule, m->phase == PHASE_IDLE);
}

void mirror_state_absorb(Mirror *m) {
        Manifest *changes = m->attachment.base ? writeback_take(&m->writeback) : NULL;
        Plan *none = NULL;

        absorb_proofs(m);
        if (!changes)
                return;
        for (size_t i = 0; m->journalfd >= 0 && i < changes->n_entries; i++)
                (void) manifest_journal_put(m->journalfd, &changes->entries[i]);
        base_update_merge(m->attachment.base, NULL, &none, &changes);
        mirror_state_count(m);
        m->base_moved = m->totals.models_changed = true;
        if (m->end.reason != END_NONE)
                return;
        /* a scan that was out meanwhile left to the save what a client may have made of the file since */
        m->scan.wanted.outdated = true;
        scan_schedule_request(&m->schedule, m->phase == PHASE_IDLE);
}

/* Bytes that are not what they were, though nothing shows who changed them. */
static void judge_doubtful(Mirror *m) {
        Manifest *doubtful = TAKE_PTR(m->plan_run.doubtful);

        for (size_t i = 0; doubtful && i < doubtful->n_entries; i++) {
                const Entry *base = manifest_find(m->attachment.base, doubtful->entries[i].path);
                /* whether there are other names was not checked */
                ScrubFinding finding = { .found = doubtful->entries[i].digest, .has_links = true };

                if (base && manifest_entry_copy(base, &finding.entry) == 0)
                        scrub_report(&m->scrub, &finding);
        }
        (void) manifest_free(doubtful);
}

static bool is_empty(const Mirror *m, const Plan *plan) {
        return plan && plan->n_stage + plan->n_adopt + plan->n_skipped + plan->n_waiting + m->withheld.n == 0;
}

/* A scan that did not take up the changes of the source leaves what is known of it. */
static void take_source(Mirror *m) {
        if (m->survey.source && m->scan.serves.source) {
                m->source = manifest_free(m->source);
                m->source = TAKE_PTR(m->survey.source);
                plan_outcomes_done(&m->outcomes);
                m->outcomes = m->planned;
                m->planned = (Outcomes){};
        } else
                plan_outcomes_take_over(&m->outcomes, &m->planned);
}

bool mirror_state_end_plan(Mirror *m) {
        Plan **plan = m->end.removal ? &m->end.removal : &m->survey.plan;
        bool empty = is_empty(m, *plan);
        bool changed = plan_run_end(&m->plan_run, plan, m->attachment.base, m->survey.source);

        pathset_sort(&m->plan_run.unkept);
        writeback_forget_yielded(&m->writeback, &m->plan_run.unkept);
        pathset_done(&m->plan_run.unkept);
        m->totals.models_changed = m->totals.models_changed || changed || !empty;
        m->scan.wanted.unsettled = m->scan.wanted.unsettled || m->plan_run.unsettled;
        if (m->plan_run.compared && !m->end.removal) { /* nothing has to hold still for that */
                m->scan.wanted.outdated = true;
                scan_schedule_request(&m->schedule, false);
        }
        take_source(m);
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

int mirror_state_start_plan(Mirror *m, const Plan *plan, uint64_t need, void (*finished)(void *userdata)) {
        TaskContext tasks = {
                .sourcefd = m->attachment.sourcefd, .layout = m->survey.layout, .source_path = m->config.source,
                .private_dir = &m->attachment.private_dir,
                .overrides = &m->scan.overrides, .mirror_watched = m->scan.mirror_was_watched,
                .ending = plan == m->end.removal,
                .copy_method = m->config.copy_method, .refusals = &m->refusals,
                .chunk_size = m->config.chunk_size, .limit = m->limit, .cancel = &m->cancel,
                .progress = &m->progress, .steps = &m->steps, .journalfd = m->journalfd,
        };

        if (m->survey.source)
                m->layout = m->survey.layout;
        if (m->survey.source)
                plan_outcomes_begin(&m->planned, plan, m->survey.source, !m->config.write_back);
        else
                plan_outcomes_done(&m->planned);
        m->plan_run.ending = plan == m->end.removal;
        return plan_run_start(&m->plan_run, plan, &tasks, need, finished);
}

/* A mirror that was wiped as a whole says nothing about the files. */
static void restage_wiped(Mirror *m) {
        mirror_log_wiped(&m->config);
        writeback_forget_deletions(&m->writeback);
        for (size_t i = 0; i < m->survey.plan->n_items; i++)
                if (m->survey.plan->items[i].action == PLAN_DELETE)
                        m->survey.plan->items[i].action = PLAN_STAGE;
        plan_count(m->survey.plan);
}

void mirror_state_queue_saves(Mirror *m) {
        int r;

        if (m->scan.mirror_check == ATTACH_WIPED)
                restage_wiped(m);
        if (!m->config.write_back) {
                writeback_drop(&m->writeback); /* of before a reload */
                return;
        }
        if (m->scan.mirror_check == ATTACH_WIPED || m->phase == PHASE_LAST_SCAN || !mirror_state_is_watched(m))
                pathset_done(&m->missing);
        else if (amend_plan_await_reports(m->survey.plan, &m->missing) > 0)
                scan_schedule_request(&m->schedule, false);
        m->scan.serves.mirror = false;
        r = writeback_update(&m->writeback, &m->survey, m->attachment.base, &m->scan.overrides);
        if (r > 0)
                mirror_log_mass_deletion(&m->config, m->deletions.held);
}

/* What a client may have written since is judged again. Without a watch that is every file at every scan, so there only
 * its size and times tell. */
static void forget_yielded(Mirror *m) {
        if (!m->mirror_written.scanning_all)
                writeback_forget_yielded(&m->writeback, &m->mirror_written.scanning);
        else if (m->scan.mirror_is_watched)
                writeback_forget_yielded(&m->writeback, NULL);
}

void mirror_state_begin_marking(Mirror *m) {
        m->mirror_written.all = m->mirror_written.all || (m->complete && !m->scan.mirror_is_watched);
        written_begin(&m->mirror_written);
        written_begin(&m->source_written);
        forget_yielded(m);
}

static int mark(Mirror *m, const Manifest *base, const Manifest *source, const Manifest *mirror, uint16_t *doubts,
                PathSet *ret_marked) {
        int r = written_mark(&m->mirror_written, base, mirror, doubts, ret_marked);

        /* what is unknown of all of the disk's files makes a new ctime doubtful, not each file */
        return r == 0 && !m->source_written.scanning_all
                       ? written_mark_disk(&m->source_written, base, source, doubts)
                       : r;
}

/* What a save saw is not in the base yet, and replaces there what the scan has marked: else what was written after the
 * save had looked for the last time would count as saved. */
static void mark_untaken(Mirror *m) {
        _cleanup_(manifest_freep) Manifest *untaken = writeback_list_untaken(&m->writeback);
        _cleanup_(freep) uint16_t *doubts = NULL;

        if (untaken && untaken->n_entries == 0)
                return;
        if (untaken)
                doubts = calloc(untaken->n_entries, sizeof(*doubts));
        if (doubts && mark(m, untaken, m->survey.source, m->survey.mirror, doubts, NULL) == 0)
                writeback_doubt(&m->writeback, untaken, doubts);
        else
                writeback_doubt(&m->writeback, NULL, NULL);
}

void mirror_state_end_marking(Mirror *m) {
        manifest_add_flags(m->attachment.base, m->survey.doubts);
        mark_untaken(m);
        proofs_note(&m->proofs, m->attachment.base, &m->scan.marked);
        written_end(&m->mirror_written);
        written_end(&m->source_written);
}

int mirror_state_mark_written(const Manifest *base, const Manifest *source, const Manifest *mirror, uint16_t *doubts,
                              void *userdata) {
        Mirror *m = userdata;

        pathset_done(&m->scan.marked);
        return mark(m, base, source, mirror, doubts, &m->scan.marked);
}

/* --- listeners --- */

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

void mirror_state_want_scan(Mirror *m) {
        m->scan.wanted.overrides = true;
        if (m->phase == PHASE_IDLE)
                scan_schedule_idle(&m->schedule, &m->config, SCAN_REASON_NOW);
}

bool mirror_state_ask_reports(Mirror *m) {
        return m->attached && scan_schedule_mirror_is_watched(&m->schedule) && report_sync_ask(&m->sync);
}

/* What is being saved then goes to a filesystem that may be gone, so it is saved once more. */
void mirror_state_take_source(Mirror *m) {
        m->savers_outdated = m->savers_outdated || m->scan.reopened;
        if (m->scan.reopened)
                writeback_leave_source(&m->writeback);
        if (m->savers_outdated && m->writeback.n_running == 0)
                m->savers_outdated =
                        writeback_attach(&m->writeback, m->attachment.sourcefd, m->attachment.mount.fd) < 0;
}
