/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The end of a mirror: what is not on disk is saved, what the manifest lists is removed. See mirror/shutdown.h. */

#include "mirror/shutdown.h"

#include "report/explain.h"
#include "report/mirror-log.h"
#include "save/amend-plan.h"

void mirrorend_fail(Mirror *m, char *text) {
        mirrorlog_failed(&m->config, text);
        mirrorstate_set_problem(m, text);
        m->failing = true;
        m->moving = false;
        mirrorstate_tell(m, MIRROR_ENDS);
        mirrorend_wind_down(m);
}

/* --- the end --- */

static void detach_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        attachment_end(&m->attachment, &m->config, m->context->statefd, m->removed, m->round.staged, &m->end);
}

static void move(Mirror *m);

static void detach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        bool kept = m->removed && !m->end.empty;

        if (m->end.save < 0)
                mirrorlog_not_saved(&m->config, m->end.save);
        if (m->end.unmount < 0)
                mirrorlog_not_unmounted(&m->config, m->end.unmount);
        else if (m->removed)
                mirrorlog_removed(&m->config, kept ? (m->end.left ? m->end.left : "?") : NULL);
        if (kept && !m->failing)
                mirrorstate_set_problem(m, tell_kept(&m->config, m->end.left));
        m->failing = m->failing || kept;
        if (m->moving)
                move(m);
        else
                mirrorstate_set(m, m->failing ? MIRROR_FAILED : MIRROR_GONE);
}

static void detach(Mirror *m) {
        mirrorstate_submit(m, detach_run, detach_done);
}

static void on_removed(void *userdata) {
        Mirror *m = userdata;

        (void) mirrorstate_end_round(m);
        detach(m);
}

/* What was not put there in this run, after a start that did not come so far, is left for the next one. */
static bool shall_remove(const Mirror *m) {
        if (!m->attached || !m->config.remove_on_stop || m->moving)
                return false;
        return m->complete || m->round.staged || !m->failing;
}

/* Called when no job of ours is out. */
void mirrorend_wind_down(Mirror *m) {
        scrub_stop(&m->scrub);
        measures_stop(&m->measures);
        m->winding = m->writeback.n_running > 0 || m->sweep.running || m->trash.running || m->scrub.running || m->measures.running || m->n_rechecks > 0;
        if (m->winding)
                return; /* mirrorend_on_saved() comes back to this */
        mirrorstate_absorb(m);
        m->farewell = false;
        lookout_end(&m->lookout);
        round_promise(&m->round, 0);
        look_done(&m->look);
        mirrorstate_set(m, MIRROR_REMOVING);
        m->removed = shall_remove(m);
        atomic_store(&m->cancel, false);
        if (!m->removed || plan_new_removal(m->attachment.base, m->dropped, &m->removal) < 0) {
                detach(m);
                return;
        }
        if (m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation, &m->journalfd);
        if (mirrorstate_start_round(m, m->removal, 0, on_removed) < 0)
                detach(m);
}

/* --- the farewell: a last look, and what is not on disk is saved before anything goes --- */

/* Looks that a save asked for, because something was not as it was seen; whoever still writes now will not stop for us. */
enum { FAREWELLS_MAX = 5 };

static void end_farewell(Mirror *m) {
        writeback_tell_rest(&m->writeback);
        if (savequeue_collect_refused(&m->writeback.queue, m->dropped) == 0)
                manifest_sort(m->dropped);
        mirrorend_wind_down(m);
}

/* A look, or a save, has come back. */
static void check_farewell(Mirror *m) {
        if (m->farewell_due || m->farewell_out || m->winding || m->writeback.n_running > 0)
                return;
        if (m->look_again && m->n_farewells < FAREWELLS_MAX) {
                m->look_again = false;
                m->n_farewells++;
                m->lookout.look(m);
        } else if (writeback_is_over(&m->writeback))
                end_farewell(m);
}

static int collect_unfinished(Mirror *m) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < m->look.plan->n_items; i++) {
                const PlanItem *item = &m->look.plan->items[i];

                if (item->mirror && (item->action == PLAN_IGNORE || (item->action == PLAN_STAGE && hindsight_has_yielded(m->writeback.yielded, item))))
                        r = manifest_put(m->dropped, item->mirror);
        }
        return r;
}

static void tell_lost_once(Mirror *m) {
        _cleanup_(freep) char *text = NULL;

        if (m->where == ATTACH_LOST || m->lost)
                return;
        text = tell_lost(&m->config, m->result == LOOK_EMPTIED, m->result, m->what);
        mirrorlog_source_lost(&m->config, text);
}

void mirrorend_go_on(Mirror *m) {
        m->farewell_out = false;
        if (m->where == ATTACH_LOST || m->result != 0) {
                tell_lost_once(m);
                mirrorend_wind_down(m); /* what is not on disk stays in the mirror, and is told as that */
                return;
        }
        mirrorstate_take_back(m);
        m->dropped = manifest_free(m->dropped);
        if (manifest_new(&m->dropped) < 0 || collect_unfinished(m) < 0) {
                mirrorend_wind_down(m);
                return;
        }
        look_done(&m->look);
        mirrorstate_set(m, MIRROR_SAVING);
        writeback_go_on(&m->writeback, m->lookout.guard_armed, !m->lookout.mirror_dirty);
        check_farewell(m);
}

/* A moment later, so that what was done to the mirror right before has been reported. */
void mirrorend_say_farewell(Mirror *m) {
        scrub_stop(&m->scrub);
        if (!m->config.write_back || m->failing || !m->attached) {
                mirrorend_wind_down(m);
                return;
        }
        atomic_store(&m->cancel, false);
        m->waiting = false;
        m->farewell = true;
        m->farewell_due = true;
        m->farewell_out = m->look_again = false;
        m->n_farewells = 0;
        writeback_hurry(&m->writeback, true);
        mirrorstate_set(m, MIRROR_SAVING);
        lookout_ask(&m->lookout, true);
}

void mirrorend_on_saved(void *userdata) {
        Mirror *m = userdata;

        if (m->winding)
                mirrorend_wind_down(m);
        else if (m->farewell)
                check_farewell(m);
        else if (m->state == MIRROR_SETTLED && m->writeback.n_running == 0) {
                mirrorstate_absorb(m);
                if (m->base_moved)
                        lookout_ask(&m->lookout, true); /* it will find nothing, and then the manifest is saved */
        }
        mirrorstate_measure(m);
        if (m->writeback.n_running == 0)
                mirrorstate_tell(m, MIRROR_SAVED);
        if (m->writeback.n_running == 0) /* while many are saved, the status is counted once in a while only */
                m->context->changed(m, m->context->userdata);
}

void mirrorend_on_look_wanted(void *userdata) {
        Mirror *m = userdata;

        m->look_again = true;
        lookout_ask(&m->lookout, m->state == MIRROR_SETTLED);
}

/* The mirror that was lost is made anew, from the disk. */
static void move(Mirror *m) {
        m->moving = m->complete = m->attached = m->writeback.polite = false;
        writeback_hurry(&m->writeback, false);
        m->source = manifest_free(m->source);
        m->models = models_free(m->models);
        fates_done(&m->fates);
        m->dropped = manifest_free(m->dropped);
        free(m->end.left);
        m->end = (AttachmentEnd){};
        m->lookout = (Lookout){ .event = m->context->event, .watch = m->context->watch, .number = m->number, .look = m->lookout.look,
                                .userdata = m };
        attachment_init(&m->attachment);
        mirrorstate_set(m, MIRROR_STARTING);
        m->begin(m);
}

void mirrorend_stop(Mirror *m) {
        if (m->stopping)
                return;
        m->stopping = true;
        mirrorstate_tell(m, MIRROR_ENDS);
        scrub_stop(&m->scrub);
        switch (m->state) {
        case MIRROR_PLANNED:
        case MIRROR_SETTLED:
                look_done(&m->look);
                mirrorend_say_farewell(m);
                break;
        case MIRROR_STARTING:
                if (!m->started)
                        mirrorstate_set(m, MIRROR_GONE);
                else if (m->attached) /* waiting for the watch */
                        mirrorend_say_farewell(m);
                break;
        case MIRROR_LOOKING:
        case MIRROR_STAGING:
                if (m->waiting)
                        mirrorend_say_farewell(m);
                else
                        atomic_store(&m->cancel, true); /* what is out comes back, and then it goes on with the end */
                break;
        case MIRROR_SAVING: /* of a mirror that was lost */
                m->moving = false;
                break;
        case MIRROR_REMOVING:
        case MIRROR_GONE:
        case MIRROR_FAILED:
                break;
        }
}

void mirrorend_abandon(Mirror *m) {
        char *text = NULL;

        if (asprintf(&text, "The source '%s' does not answer: the daemon ends without waiting for it", m->config.source) < 0)
                text = NULL;
        mirrorlog_failed(&m->config, text);
        mirrorstate_set_problem(m, text);
        if (m->attached && m->config.remove_on_stop)
                attachment_abandon(&m->attachment, &m->config, m->round.changes);
        mirrorstate_set(m, MIRROR_FAILED);
}
