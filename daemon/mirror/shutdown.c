/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The end of a mirror: what is not on disk is saved, what the manifest lists is removed. See mirror/shutdown.h. */

#include "mirror/shutdown.h"

#include "report/explain.h"
#include "report/mirror-log.h"
#include "save/amend-plan.h"

void mirror_shutdown_fail(Mirror *m, char *text) {
        mirror_log_failed(&m->config, text);
        mirror_state_set_problem(m, text);
        m->failing = true;
        m->moving = false;
        mirror_state_notify(m, MIRROR_ENDS);
        mirror_shutdown_drain(m);
}

/* --- the end --- */

static void detach_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        attachment_end(&m->attachment, &m->config, m->context->statefd, m->removed, m->plan_run.staged, &m->end);
}

static void move(Mirror *m);

static void detach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        bool kept = m->removed && !m->end.empty;

        if (m->end.save < 0)
                mirror_log_not_saved(&m->config, m->end.save);
        if (m->end.unmount < 0)
                mirror_log_not_unmounted(&m->config, m->end.unmount);
        else if (m->removed)
                mirror_log_removed(&m->config, kept ? (m->end.left ? m->end.left : "?") : NULL);
        if (kept && !m->failing)
                mirror_state_set_problem(m, explain_mirror_kept(&m->config, m->end.left));
        m->failing = m->failing || kept;
        if (m->moving)
                move(m);
        else
                mirror_state_set(m, m->failing ? MIRROR_FAILED : MIRROR_STOPPED);
}

static void detach(Mirror *m) {
        mirror_state_submit(m, detach_run, detach_done);
}

static void on_removed(void *userdata) {
        Mirror *m = userdata;

        (void) mirror_state_end_round(m);
        detach(m);
}

/* What was not put there in this run, after a start that did not come so far, is left for the next one. */
static bool shall_remove(const Mirror *m) {
        if (!m->attached || !m->config.remove_on_stop || m->moving)
                return false;
        return m->complete || m->plan_run.staged || !m->failing;
}

/* Called when no job of ours is out. */
void mirror_shutdown_drain(Mirror *m) {
        scrub_stop(&m->scrub);
        gauges_stop(&m->gauges);
        m->winding = m->writeback.n_running > 0 || m->pruner.job.running || m->trash.job.running || m->scrub.running ||
                     m->gauges.job.running || m->n_rechecks > 0;
        if (m->winding)
                return; /* mirror_shutdown_on_saved() comes back to this */
        mirror_state_absorb(m);
        m->last_scan = false;
        scan_schedule_end(&m->schedule);
        plan_run_promise(&m->plan_run, 0);
        survey_done(&m->survey);
        mirror_state_set(m, MIRROR_REMOVING);
        m->removed = shall_remove(m);
        atomic_store(&m->cancel, false);
        if (!m->removed || plan_new_removal(m->attachment.base, m->dropped, &m->removal) < 0) {
                detach(m);
                return;
        }
        if (m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation,
                                             &m->journalfd);
        if (mirror_state_start_round(m, m->removal, 0, on_removed) < 0)
                detach(m);
}

/* --- the farewell: a last look, and what is not on disk is saved before anything goes --- */

/* Looks that a save asked for, because something was not as it was seen; whoever still writes now will not stop for us. */
enum { FAREWELLS_MAX = 5 };

static void end_farewell(Mirror *m) {
        writeback_log_remaining(&m->writeback);
        if (save_queue_collect_refused(&m->writeback.queue, m->dropped) == 0)
                manifest_sort(m->dropped);
        mirror_shutdown_drain(m);
}

/* A look, or a save, has come back. */
static void check_farewell(Mirror *m) {
        if (m->farewell_due || m->farewell_out || m->winding || m->writeback.n_running > 0)
                return;
        if (m->survey_again && m->n_farewells < FAREWELLS_MAX) {
                m->survey_again = false;
                m->n_farewells++;
                m->schedule.survey(m);
        } else if (writeback_is_over(&m->writeback))
                end_farewell(m);
}

static int collect_unfinished(Mirror *m) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < m->survey.plan->n_items; i++) {
                const PlanItem *item = &m->survey.plan->items[i];

                if (item->mirror &&
                    (item->action == PLAN_IGNORE ||
                     (item->action == PLAN_STAGE && amend_plan_has_yielded(m->writeback.yielded, item))))
                        r = manifest_put(m->dropped, item->mirror);
        }
        return r;
}

static void explain_lost_once(Mirror *m) {
        _cleanup_(freep) char *text = NULL;

        if (m->where == ATTACH_LOST || m->lost)
                return;
        text = explain_source_lost(&m->config, m->result == SURVEY_EMPTIED, m->result, m->what);
        mirror_log_source_lost(&m->config, text);
}

void mirror_shutdown_continue(Mirror *m) {
        m->farewell_out = false;
        if (m->where == ATTACH_LOST || m->result != 0) {
                explain_lost_once(m);
                mirror_shutdown_drain(m); /* what is not on disk stays in the mirror, and is told as that */
                return;
        }
        mirror_state_queue_saves(m);
        m->dropped = manifest_free(m->dropped);
        if (manifest_new(&m->dropped) < 0 || collect_unfinished(m) < 0) {
                mirror_shutdown_drain(m);
                return;
        }
        survey_done(&m->survey);
        mirror_state_set(m, MIRROR_SAVING);
        writeback_go_on(&m->writeback, m->schedule.guard_armed, !m->schedule.mirror_dirty);
        check_farewell(m);
}

/* A moment later, so that what was done to the mirror right before has been reported. */
void mirror_shutdown_last_scan(Mirror *m) {
        scrub_stop(&m->scrub);
        if (!m->config.write_back || m->failing || !m->attached) {
                mirror_shutdown_drain(m);
                return;
        }
        atomic_store(&m->cancel, false);
        m->waiting = false;
        m->last_scan = true;
        m->farewell_due = true;
        m->farewell_out = m->survey_again = false;
        m->n_farewells = 0;
        writeback_hurry(&m->writeback, true);
        mirror_state_set(m, MIRROR_SAVING);
        scan_schedule_request(&m->schedule, true);
}

void mirror_shutdown_on_saved(void *userdata) {
        Mirror *m = userdata;

        if (m->winding)
                mirror_shutdown_drain(m);
        else if (m->last_scan)
                check_farewell(m);
        else if (m->state == MIRROR_IDLE && m->writeback.n_running == 0) {
                mirror_state_absorb(m);
                if (m->base_moved)
                        /* it will find nothing, and then the manifest is saved */
                        scan_schedule_request(&m->schedule, true);
        }
        mirror_state_measure(m);
        if (m->writeback.n_running == 0)
                mirror_state_notify(m, MIRROR_SAVED);
        if (m->writeback.n_running == 0) /* while many are saved, the status is counted once in a while only */
                m->context->changed(m, m->context->userdata);
}

void mirror_shutdown_on_scan_wanted(void *userdata) {
        Mirror *m = userdata;

        m->survey_again = true;
        scan_schedule_request(&m->schedule, m->state == MIRROR_IDLE);
}

/* The mirror that was lost is made anew, from the disk. */
static void move(Mirror *m) {
        m->moving = m->complete = m->attached = m->writeback.polite = false;
        writeback_hurry(&m->writeback, false);
        m->source = manifest_free(m->source);
        m->models = models_free(m->models);
        outcomes_done(&m->outcomes);
        m->dropped = manifest_free(m->dropped);
        free(m->end.left);
        m->end = (AttachmentEnd){};
        m->schedule = (ScanSchedule){ .event = m->context->event,
                                      .watch = m->context->watch,
                                      .number = m->number,
                                      .survey = m->schedule.survey,
                                      .userdata = m };
        attachment_init(&m->attachment);
        mirror_state_set(m, MIRROR_STARTING);
        m->begin(m);
}

void mirror_shutdown_stop(Mirror *m) {
        if (m->stopping)
                return;
        m->stopping = true;
        mirror_state_notify(m, MIRROR_ENDS);
        scrub_stop(&m->scrub);
        switch (m->state) {
        case MIRROR_PLANNED:
        case MIRROR_IDLE:
                survey_done(&m->survey);
                mirror_shutdown_last_scan(m);
                break;
        case MIRROR_STARTING:
                if (!m->started)
                        mirror_state_set(m, MIRROR_STOPPED);
                else if (m->attached) /* waiting for the watch */
                        mirror_shutdown_last_scan(m);
                break;
        case MIRROR_SCANNING:
        case MIRROR_STAGING:
                if (m->waiting)
                        mirror_shutdown_last_scan(m);
                else
                        atomic_store(&m->cancel, true); /* what is out comes back, and then it goes on with the end */
                break;
        case MIRROR_SAVING: /* of a mirror that was lost */
                m->moving = false;
                break;
        case MIRROR_REMOVING:
        case MIRROR_STOPPED:
        case MIRROR_FAILED:
                break;
        }
}

void mirror_shutdown_abandon(Mirror *m) {
        char *text = NULL;

        if (asprintf(&text, "The source '%s' does not answer: the daemon ends without waiting for it",
                     m->config.source) < 0)
                text = NULL;
        mirror_log_failed(&m->config, text);
        mirror_state_set_problem(m, text);
        if (m->attached && m->config.remove_on_stop)
                attachment_abandon(&m->attachment, &m->config, m->plan_run.changes);
        mirror_state_set(m, MIRROR_FAILED);
}
