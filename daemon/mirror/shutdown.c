/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The end of a mirror: last scan, saving the rest, waiting for what runs beside, removal, detaching. See
 * mirror/mirror-internal.h. */

#include "mirror/mirror-internal.h"

#include "base/text.h"
#include "report/explain.h"
#include "report/mirror-log.h"
#include "save/amend-plan.h"

/* --- the end --- */

static void detach_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        attachment_end(&m->attachment, &m->config, m->context->statefd, m->end.removed, m->plan_run.staged,
                       &m->end.detached);
}

/* The mirror that was lost is attached again, and staged from the disk. */
static void recreate(Mirror *m) {
        m->complete = m->attached = m->writeback.polite = false;
        proofs_done(&m->proofs); /* of the tmpfs that is gone */
        m->scan.mirror_was_watched = m->scan.source_was_watched = false;
        writeback_hurry(&m->writeback, false);
        m->source = manifest_free(m->source);
        m->models = models_free(m->models);
        plan_outcomes_done(&m->outcomes);
        (void) manifest_free(m->end.dropped);
        free(m->end.detached.left);
        m->end = (MirrorEnd){};
        scan_schedule_init(&m->schedule, m->context->event, m->context->watch, m->ids.source_watch,
                           m->ids.mirror_watch, mirror_scan, m);
        attachment_init(&m->attachment);
        mirror_state_set(m, PHASE_ATTACHING);
        mirror_start(m);
}

static void log_detached(Mirror *m, bool kept) {
        const AttachmentEnd *end = &m->end.detached;

        if (end->save < 0)
                mirror_log_not_saved(&m->config, end->save);
        if (end->unmount < 0)
                mirror_log_not_unmounted(&m->config, end->unmount);
        else if (m->end.removed)
                mirror_log_removed(&m->config, kept ? (end->left ? end->left : "?") : NULL);
}

static void detach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        bool kept = m->end.removed && !m->end.detached.empty;

        log_detached(m, kept);
        if (kept && m->end.reason != END_FAILURE)
                mirror_state_set_problem(m, explain_mirror_kept(&m->config, m->end.detached.left));
        if (kept)
                m->end.reason = END_FAILURE;
        if (m->end.reason == END_RECREATION)
                recreate(m);
        else
                mirror_state_set(m, m->end.reason == END_FAILURE ? PHASE_FAILED : PHASE_STOPPED);
}

static void detach(Mirror *m) {
        mirror_state_set(m, PHASE_DETACHING);
        mirror_state_submit(m, detach_run, detach_done);
}

static void on_removed(void *userdata) {
        Mirror *m = userdata;

        (void) mirror_state_end_plan(m);
        detach(m);
}

/* A start that failed before it staged anything leaves for the next one what the previous process put there. */
static bool shall_remove(const Mirror *m) {
        if (!m->attached || !m->config.remove_on_stop || m->end.reason == END_RECREATION)
                return false;
        return m->complete || m->plan_run.staged || m->end.reason != END_FAILURE;
}

/* A file whose new owner or mode could not be saved stays: the next start saves it. So does a client's own copy, if
 * nobody knows whether the disk still has the file. */
static bool has_to_stay(const Mirror *m, const PlanItem *item) {
        const SaveItem *save = save_queue_find(&m->writeback.queue, plan_item_path(item));

        return (save && save->action == PLAN_SAVEATTR && save->state != ITEM_DONE) ||
               (!m->end.source_was_read && item->base && item->base->flags & ENTRY_OWN_COPY);
}

static void keep_unsaved(const Mirror *m, Plan *plan) {
        size_t kept = 0;

        for (size_t i = 0; i < plan->n_items; i++)
                if (!has_to_stay(m, &plan->items[i]))
                        plan->items[kept++] = plan->items[i];
        plan->n_items = kept;
}

static int start_removal(Mirror *m) {
        int r = plan_new_removal(m->attachment.base, m->end.dropped, &m->end.removal);

        if (r < 0)
                return r;
        keep_unsaved(m, m->end.removal);
        if (m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation,
                                             &m->journalfd);
        return mirror_state_start_plan(m, m->end.removal, 0, on_removed);
}

static bool is_busy_beside(const Mirror *m) {
        return m->writeback.n_running > 0 || m->pruner.job.running || m->trash.job.running || m->scrub.running ||
               m->gauges.job.running || m->proofs.running || m->n_rechecks > 0;
}

/* What was written since the last scan, or at any time if nobody watched, is read before it is removed. False if memory
 * ran out: then nothing may be removed. */
static bool mark_rest(Mirror *m) {
        Written *written = &m->mirror_written;
        _cleanup_(freep) uint16_t *doubts = NULL;
        bool marked;

        if (!m->attachment.base || (written_is_clear(written) && m->scan.mirror_was_watched))
                return true;
        written->all = true;
        written_begin(written);
        doubts = calloc(m->attachment.base->n_entries + 1, sizeof(*doubts));
        marked = doubts && written_mark(written, m->attachment.base, m->attachment.base, doubts, NULL) == 0;
        if (marked)
                manifest_add_flags(m->attachment.base, doubts);
        written_end(written);
        return marked;
}

/* When nothing runs beside the mirror any more: mirror_on_ended() comes back to this. */
static void finish_draining(Mirror *m) {
        bool marked;

        if (is_busy_beside(m) || m->sync.waiting)
                return;
        periodic_job_plan(&m->trash.job, UINT64_MAX);
        periodic_job_plan(&m->pruner.job, UINT64_MAX);
        mirror_state_absorb(m);
        marked = mark_rest(m);
        scan_schedule_end(&m->schedule);
        plan_run_promise(&m->plan_run, 0);
        survey_done(&m->survey);
        m->end.removed = marked && shall_remove(m);
        atomic_store(&m->cancel, false);
        if (m->end.removed)
                mirror_state_set(m, PHASE_REMOVING);
        if (!m->end.removed || start_removal(m) < 0)
                detach(m);
}

static void drain(Mirror *m) {
        scrub_stop(&m->scrub);
        proofs_stop(&m->proofs);
        periodic_job_stop(&m->gauges.job);
        writeback_stop(&m->writeback);
        mirror_state_set(m, PHASE_DRAINING);
        (void) mirror_state_ask_reports(m);
        finish_draining(m);
}

void mirror_fail(Mirror *m, char *text) {
        mirror_log_failed(&m->config, text);
        mirror_state_set_problem(m, text);
        m->end.reason = END_FAILURE;
        mirror_state_notify(m, MIRROR_ENDS);
        drain(m);
}

/* --- the last scan, and what is not on disk is saved before the mirror goes --- */

/* Last scans that a save may ask for because something was not as it was seen. A client that still writes after so
 * many will not stop for us. */
enum { LAST_SCANS_MAX = 5 };

/* Nothing in the mirror stands for it, so nothing is kept; but the stop has not done all that it had to. */
static void fail_undeleted(Mirror *m) {
        const SaveItem *item = save_queue_find_undeleted(&m->writeback.queue);
        char *text;

        if (!item || m->end.reason != END_STOP)
                return;
        text = explain_undeleted(&m->config, item->path);
        mirror_log_failed(&m->config, text);
        mirror_state_set_problem(m, text);
        m->end.reason = END_FAILURE;
}

/* What has yielded has a digest; what was refused was told, and is not in the list yet. */
static void tell_unfinished(const Mirror *m) {
        const char *example = NULL;
        size_t n = 0;

        for (size_t i = 0; m->config.remove_on_stop && i < m->end.dropped->n_entries; i++) {
                const Entry *entry = &m->end.dropped->entries[i];

                if (!manifest_entry_is_data(entry) || entry->flags & ENTRY_HAS_DIGEST)
                        continue;
                example = example ? example : entry->path;
                n++;
        }
        if (n > 0)
                mirror_log_unfinished(&m->config, n, example);
}

static void end_saving(Mirror *m) {
        writeback_log_remaining(&m->writeback);
        fail_undeleted(m);
        tell_unfinished(m);
        if (save_queue_collect_refused(&m->writeback.queue, m->end.dropped) == 0)
                manifest_sort(m->end.dropped);
        drain(m);
}

/* The last scan, or a save, has come back. */
static void check_saved(Mirror *m) {
        if (m->writeback.n_running > 0 || !proofs_is_over(&m->proofs))
                return;
        mirror_state_absorb(m); /* a file that was altered is for another scan */
        if ((m->scan.wanted.outdated || m->schedule.mirror.dirty) && m->end.n_scans < LAST_SCANS_MAX) {
                m->end.n_scans++;
                mirror_scan(m);
        } else if (writeback_is_over(&m->writeback))
                end_saving(m);
}

/* A link of ours to a file that has another name now. */
static bool is_stale_link(const Mirror *m, const PlanItem *item) {
        return item->action == PLAN_STAGE && plan_leads_to_disk(item->mirror, m->config.source);
}

/* A file that both sides had agreed on is not dropped because of its name: that it was no unfinished one is certain. */
static bool is_altered(const PlanItem *item) {
        return item->source && item->base && !(item->base->flags & (ENTRY_RECORD | ENTRY_LINKED)) &&
               manifest_entry_is_data(item->mirror) && !pair_is_known(item->in_mirror);
}

static int collect_unfinished(Mirror *m) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < m->survey.plan->n_items; i++) {
                const PlanItem *item = &m->survey.plan->items[i];

                PlanItem kept = *item;
                Entry dropped;

                if (!item->mirror)
                        continue;
                dropped = *item->mirror;
                if (item->action == PLAN_STAGE && amend_plan_has_yielded(m->writeback.yielded, item)) {
                        amend_plan_keep(m->writeback.yielded, &kept);
                        dropped.digest = kept.kept_digest;
                        dropped.flags |= kept.kept_known ? ENTRY_HAS_DIGEST : 0;
                } else if (!is_stale_link(m, item) && (item->action != PLAN_IGNORE || is_altered(item)))
                        continue;
                r = manifest_put(m->end.dropped, &dropped);
        }
        return r;
}

static void explain_lost_once(Mirror *m) {
        _cleanup_(freep) char *text = NULL;

        if (m->scan.mirror_check == ATTACH_LOST || m->lost)
                return;
        text = explain_source_lost(&m->config, m->result, false, m->what);
        mirror_log_source_lost(&m->config, text);
}

void mirror_last_scan_done(Mirror *m) {
        if (m->scan.mirror_check == ATTACH_LOST || m->result != 0) {
                explain_lost_once(m);
                drain(m); /* what is not on disk stays in the mirror, and that is reported */
                return;
        }
        m->end.source_was_read = true;
        mirror_state_take_source(m);
        mirror_state_end_marking(m);
        mirror_state_queue_saves(m);
        m->end.dropped = manifest_free(m->end.dropped);
        if (manifest_new(&m->end.dropped) < 0 || (m->config.write_back && collect_unfinished(m) < 0)) {
                drain(m);
                return;
        }
        survey_done(&m->survey);
        mirror_state_set(m, PHASE_SAVING_REST);
        if (m->config.remove_on_stop || m->config.write_back) /* to be saved, even if the mirror stays */
                proofs_update(&m->proofs, m->attachment.base);
        writeback_go_on(&m->writeback, m->schedule.mirror.armed, !m->schedule.mirror.dirty);
        check_saved(m);
}

/* The scan comes when all that was done to the mirror before has been reported. */
void mirror_last_scan(Mirror *m) {
        scrub_stop(&m->scrub);
        if (!m->config.write_back && !shall_remove(m)) {
                drain(m);
                return;
        }
        atomic_store(&m->cancel, false);
        m->end.n_scans = 0;
        writeback_hurry(&m->writeback, true);
        mirror_state_set(m, PHASE_LAST_SCAN_DUE);
        if (!mirror_state_ask_reports(m))
                scan_schedule_request(&m->schedule, true);
}

void mirror_on_synced(bool certain, void *userdata) {
        Mirror *m = userdata;

        m->mirror_written.all = m->mirror_written.all || !certain;
        if (m->phase == PHASE_LAST_SCAN_DUE)
                mirror_scan(m);
        else if (m->phase == PHASE_DRAINING)
                finish_draining(m);
        else
                mirror_state_notify(m, MIRROR_REPORTED);
}

static void save_manifest_soon(Mirror *m) {
        mirror_state_absorb(m);
        if (m->base_moved) /* the scan will find nothing, and then the manifest is saved */
                scan_schedule_request(&m->schedule, true);
}

void mirror_on_ended(void *userdata) {
        Mirror *m = userdata;

        if (m->phase == PHASE_DRAINING)
                finish_draining(m);
        else if (m->phase == PHASE_SAVING_REST)
                check_saved(m);
        else if (m->phase == PHASE_IDLE && m->writeback.n_running == 0)
                save_manifest_soon(m);
        mirror_state_measure(m);
        if (m->writeback.n_running > 0)
                return; /* while many are saved, the status is counted now and then only */
        mirror_state_notify(m, MIRROR_SAVED);
        m->context->changed(m, m->context->userdata);
}

/* --- stop --- */

void mirror_stop(Mirror *m) {
        if (m->end.reason >= END_STOP)
                return;
        m->end.reason = END_STOP;
        mirror_state_notify(m, MIRROR_ENDS);
        scrub_stop(&m->scrub);
        if (m->phase == PHASE_ARMING || m->phase == PHASE_PLANNED || m->phase == PHASE_GUARDING ||
            m->phase == PHASE_IDLE) {
                survey_done(&m->survey);
                mirror_last_scan(m);
        } else if (m->phase == PHASE_SCANNING || m->phase == PHASE_STAGING)
                atomic_store(&m->cancel, true); /* what is out comes back soon, and goes on with the end */
        /* in any other phase a job that is out goes on with the end, or the end is under way */
}

void mirror_abandon(Mirror *m) {
        char *text = text_format("The source '%s' does not respond; exiting without waiting for it (unsaved "
                                 "changes, if any, stay in the mirror)",
                                 m->config.source);

        mirror_log_failed(&m->config, text);
        mirror_state_set_problem(m, text);
        /* without waiting there is no finding out what was written just now: then everything stays */
        if (m->attached && m->config.remove_on_stop && written_is_clear(&m->mirror_written))
                attachment_abandon(&m->attachment, &m->config, m->plan_run.changes);
        mirror_state_set(m, PHASE_FAILED);
}
