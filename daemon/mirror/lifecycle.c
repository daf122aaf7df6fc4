/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The life of a mirror: attach, look, stage, record, and again. See mirror/lifecycle.h. */

#include "mirror/lifecycle.h"

#include "base/text.h"
#include "mirror/inventory.h"
#include "mirror/shutdown.h"
#include "report/explain.h"
#include "report/mirror-log.h"

#include <malloc.h>

/* --- attach and watch --- */

static void attach_run(Job *job) {
        Mirror *m = (Mirror *) job;
        uint64_t reserve = quantity_amount_bytes(m->context->reserve, m->context->ram, 0);
        uint64_t rest = m->context->ram > reserve ? m->context->ram - reserve : 0;

        m->result = attachment_open(&m->attachment, &m->config, m->context->statefd,
                                    quantity_amount_bytes(m->config.size, m->context->ram, rest), &m->refusal);
        if (m->result == 0 && m->config.write_back) {
                Disk disk;

                disk_init(&disk, m->attachment.sourcefd, m->config.name);
                m->n_strangers = disk_clean(&disk);
                /* if not, it is emptied when the disk is full */
                (void) disk_empty_trash(&disk, m->config.trash_keep_usec);
        }
}

static void attach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        int r;

        if (m->result != 0) {
                mirror_shutdown_fail(m, TAKE_PTR(m->refusal));
                return;
        }
        m->attached = true;
        mirror_log_attached(&m->config, &m->attachment);
        if (m->n_strangers > 0)
                mirror_log_unrecognized(&m->config, m->n_strangers);
        mirror_state_count(m);
        m->recount = true;
        m->writeback.eventless = m->attachment.eventless;
        r = writeback_attach(&m->writeback, m->attachment.sourcefd, m->attachment.mount.fd);
        if (r < 0) {
                mirror_shutdown_fail(m, NULL);
                return;
        }
        if (m->stopping) {
                mirror_shutdown_last_scan(m);
                return;
        }
        r = scan_schedule_begin(&m->schedule, &m->config, m->attachment.eventless);
        if (r < 0)
                mirror_log_unwatched(&m->config, r);
}

/* --- look --- */

static void survey_run_job(Job *job) {
        Mirror *m = (Mirror *) job;
        SurveyOptions options = {
                .config = &m->config,
                .base = m->attachment.base,
                .previous = m->trying_all ? NULL : m->source,
                .sourcefd = m->attachment.sourcefd,
                .mirrorfd = m->attachment.mount.fd,
                .budget = m->attachment.mount.budget,
                .cancel = &m->cancel,
                .progress = &m->steps,
                .deleted = m->deleted,
                .damaged = m->damaged,
                .armed = m->armed,
                .overrides = &m->looking,
        };

        m->where = m->moving ? 0 : attachment_check_mirror(&m->attachment, &m->config);
        if (m->where == ATTACH_LOST)
                return;
        m->what = "read the source";
        m->result = attachment_check_source(&m->attachment, &m->config, &m->reopened) == 0 ? 0 : -ESTALE;
        options.sourcefd = m->attachment.sourcefd;
        if (m->result == 0)
                m->result = survey_run(&options, &m->survey, &m->what);
        if (m->result == 0 && m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation,
                                             &m->journalfd);
}

/* Something may come right by itself. */
static bool is_hurt(const Mirror *m) {
        return m->n_unreadable > 0 || withheld_is_retryable(&m->withheld);
}

/* What a look took, each time on another worker's heap, is kept by the library for a look of the same worker. */
static void give_back_memory(void) {
#ifdef __GLIBC__
        (void) malloc_trim(0);
#endif
}

/* It walks over all files, so only when something has changed. */
static void count_models(Mirror *m) {
        if (m->recount)
                m->n_models = inventory_count_models(m);
        m->recount = false;
}

static ScanReason reason_to_look(const Mirror *m) {
        return m->has_next || m->retry_all || m->look_wanted ? SCAN_REASON_NOW
               : m->lost                                     ? SCAN_REASON_LOST
               : m->unsettled                                ? SCAN_REASON_UNSETTLED
               : is_hurt(m)                                  ? SCAN_REASON_HURT
                                                             : SCAN_REASON_AT_REST;
}

static void settled(Mirror *m) {
        mirror_state_absorb(m);
        mirror_state_notify(m, m->lost ? MIRROR_BLIND : MIRROR_RESTED);
        if (m->config.write_back) {
                prune_blobs_update(&m->pruner, m->attachment.base, m->writeback.queue.layout, m->attachment.sourcefd);
                trash_expiry_update(&m->trash);
        }
        count_models(m);
        mirror_state_set(m, MIRROR_IDLE);
        mirror_state_measure(m);
        give_back_memory();
        scrub_update(&m->scrub, m->plan_run.tasks.layout);
        scan_schedule_idle(&m->schedule, &m->config, reason_to_look(m));
        writeback_go_on(&m->writeback, mirror_state_is_armed(m), !m->schedule.mirror_dirty && !m->lost);
}

/* Nothing that is missing now was deleted: nothing is propagated until the source is back. */
static void source_lost(Mirror *m, char *text) {
        if (!m->complete) {
                mirror_shutdown_fail(m, text);
                return;
        }
        if (!m->lost || !string_equal(text, m->problem))
                mirror_log_source_lost(&m->config, text);
        m->lost = true;
        mirror_state_set_problem(m, text);
        settled(m);
}

/* The watch ends with the directory that it is on, also if that comes back before anybody has looked. */
static void source_found(Mirror *m) {
        if (m->lost) {
                mirror_state_set_problem(m, NULL);
                mirror_log_source_found(&m->config);
        }
        if (m->lost || m->reopened || m->schedule.broken)
                (void) scan_schedule_adjust(&m->schedule, &m->config, true); /* if not, it is polled */
        m->reattach = m->reattach || m->reopened;
        if (m->reattach && m->writeback.n_running == 0)
                m->reattach = writeback_attach(&m->writeback, m->attachment.sourcefd, m->attachment.mount.fd) < 0;
        m->lost = false;
}

static void mirror_lost(Mirror *m) {
        mirror_log_mirror_lost(&m->config);
        writeback_forget_deletions(&m->writeback);
        m->moving = !m->stopping;
        mirror_state_notify(m, MIRROR_ENDS);
        mirror_shutdown_last_scan(m); /* what is unsaved can still be read, through the descriptor that we have */
}

/* Each name that chooses nothing, once. */
static void explain_unmatched(Mirror *m) {
        for (char **name = m->survey.unmatched; name && *name; name++)
                if (!pathset_has(&m->unmatched, *name)) {
                        mirror_log_unmatched(&m->config, *name);
                        (void) pathset_add(&m->unmatched, *name);
                        pathset_sort(&m->unmatched);
                }
}

static void survey_done_job(Job *job) {
        Mirror *m = (Mirror *) job;

        scan_schedule_source_returned(&m->schedule);
        if (m->last_scan) {
                mirror_shutdown_continue(m);
                return;
        }
        if (m->stopping) {
                survey_done(&m->survey);
                mirror_shutdown_last_scan(m);
                return;
        }
        if (m->where == ATTACH_LOST) {
                mirror_lost(m);
                return;
        }
        if (m->result != 0) {
                source_lost(m, explain_source_lost(&m->config, m->result == SURVEY_EMPTIED, m->result, m->what));
                return;
        }
        source_found(m);
        free(m->unreadable);
        m->unreadable = explain_unreadable(&m->config, m->survey.source, &m->n_unreadable);
        if (m->n_unreadable > 0 && m->config.on_corrupt == CORRUPT_FAIL && !m->complete) {
                mirror_shutdown_fail(m, TAKE_PTR(m->unreadable));
                return;
        }
        log_once_scan(&m->log_once, &m->config, m->survey.source, m->survey.plan);
        withheld_apply(&m->withheld, m->survey.plan, true, m->trying_all);
        mirror_state_queue_saves(m);
        mirror_state_note_overrides(m);
        mirror_state_notify(m, MIRROR_SCANNED);
        explain_unmatched(m);
        m->unsettled = (m->survey.plan->n_waiting > 0 && !m->aside) ||
                       manifest_omissions(m->survey.source, OMIT_CHANGED) > 0;
        mirror_state_set(m, MIRROR_PLANNED);
        /* what a run before this one could not save comes first */
        writeback_go_on(&m->writeback, mirror_state_is_armed(m), !m->schedule.mirror_dirty);
        if (m->complete && mirror_lifecycle_fits(m))
                mirror_lifecycle_proceed(m);
}

/* Between two looks nobody reads the configuration, so this is where a new one takes its place. */
static void take_next_config(Mirror *m) {
        if (!m->has_next)
                return;
        if (!mount_is_same(&m->config, &m->next))
                mirror_log_mount_stays(&m->next);
        config_mirror_done(&m->config);
        m->config = m->next;
        m->next = (MirrorConfig){};
        m->has_next = false;
        (void) scan_schedule_adjust(&m->schedule, &m->config, false); /* if not, it is polled */
}

/* Without memory the look goes by the old ones, and who waits for an answer asks the next. */
static void take_wishes(Mirror *m) {
        Overrides copy = {};

        if (overrides_copy(&m->overrides, &copy) < 0) {
                m->look_wanted = true;
                return;
        }
        overrides_done(&m->looking);
        m->looking = copy;
}

void mirror_lifecycle_scan(void *userdata) {
        Mirror *m = userdata;

        if (m->failing || m->winding ||
            (m->state != MIRROR_STARTING && m->state != MIRROR_IDLE && m->state != MIRROR_SAVING))
                return;
        if (m->state == MIRROR_SAVING && m->farewell_out)
                return;
        mirror_state_absorb(m);
        if (!m->last_scan)
                take_next_config(m);
        m->trying_all = m->retry_all;
        m->aside = !m->config.watch_source && m->complete && !m->retry_all && !m->look_wanted && !m->unsettled &&
                   !is_hurt(m);
        m->retry_all = m->reopened = m->look_wanted = false;
        take_wishes(m);
        m->in_doubt = m->in_doubt || m->schedule.mirror_dirty;
        scan_schedule_begun(&m->schedule);
        m->writeback.sure = false;
        m->deleted = deletions_begin(&m->deletions);
        m->damaged = m->last_scan ? NULL : scrub_get_damaged(&m->scrub);
        m->armed = mirror_state_is_armed(m);
        m->farewell_out = m->last_scan;
        m->farewell_due = false;
        if (!m->last_scan)
                mirror_state_set(m, MIRROR_SCANNING);
        mirror_state_submit(m, survey_run_job, survey_done_job);
}

/* --- stage --- */

static int check_fit(Mirror *m) {
        uint64_t reserve = quantity_amount_bytes(m->context->reserve, m->context->ram, 0);
        FitInput input =
                survey_room(&m->survey, &m->config, reserve, *m->context->promised, pool_workers(m->context->pool));

        return fit_plan(m->survey.plan, &input, &m->fit);
}

/* --- save the manifest, and be complete --- */

static void record_done(Job *job);

static void record_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        m->result = manifest_save(m->attachment.base, m->context->statefd, m->config.name, m->config.source,
                                  m->config.target);
}

static void record(Mirror *m) {
        m->base_moved = false;
        mirror_state_submit(m, record_run, record_done);
}

static void become_ready(Mirror *m) {
        m->ready = true;
        m->told_whole = m->withheld.n + m->n_unreadable + m->n_skipped == 0;
        mirror_log_ready(&m->config, m->attachment.base, m->told_whole);
}

/* From here on every change of the mirror is seen; what has changed before that, the next look finds. */
void mirror_lifecycle_finish_start(Mirror *m) {
        m->waiting = false;
        m->complete = m->writeback.polite = true;
        if (!m->ready)
                become_ready(m);
        scan_schedule_request(&m->schedule, false);
        settled(m);
}

static void guard(Mirror *m) {
        int r = scan_schedule_guard(&m->schedule, &m->config);

        if (r < 0)
                mirror_log_unguarded(&m->config, r);
        m->waiting = true;
        if (scan_schedule_is_guarding(&m->schedule))
                mirror_lifecycle_finish_start(m);
}

static void record_done(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->result < 0)
                mirror_log_not_saved(&m->config, m->result);
        if (m->failing) {
                mirror_shutdown_drain(m);
                return;
        }
        if (m->stopping) {
                mirror_shutdown_last_scan(m);
                return;
        }
        if (!m->complete)
                guard(m);
        else
                settled(m);
}

/* What of the withheld ends the mirror, NULL if nothing: only in the first staging, and only if the configuration
 * says so. */
static const char *find_fatal(const Mirror *m) {
        for (size_t i = 0; !m->complete && i < m->withheld.n; i++)
                if (m->withheld.files[i].outcome == TASK_NO_ROOM ? m->config.on_no_room == NO_ROOM_FAIL
                                                                  : m->config.on_corrupt == CORRUPT_FAIL)
                        return m->withheld.files[i].text;
        return NULL;
}

static void on_staged(void *userdata) {
        Mirror *m = userdata;
        bool changed = mirror_state_end_round(m);

        if (m->stopping)
                mirror_shutdown_last_scan(m);
        else if (find_fatal(m))
                mirror_shutdown_fail(m, strdup(find_fatal(m)));
        else if (changed || m->base_moved || !m->complete)
                record(m);
        else
                settled(m);
}

static void explain_shortage_once(Mirror *m, bool fits) {
        _cleanup_(freep) char *text = fits ? NULL : explain_shortage(&m->config, m->survey.plan, &m->fit, false);

        m->n_skipped = m->survey.plan->n_skipped;
        if (text && !string_equal(text, m->problem))
                mirror_log_shortage(&m->config, text);
        mirror_state_set_problem(m, TAKE_PTR(text));
}

bool mirror_lifecycle_fits(Mirror *m) {
        int r;

        assert(m->state == MIRROR_PLANNED);
        r = check_fit(m);
        if (r == FIT_NO_ROOM && m->config.on_no_room == NO_ROOM_FAIL && !m->complete) {
                mirror_shutdown_fail(m, explain_shortage(&m->config, m->survey.plan, &m->fit, true));
                return false;
        }
        if (r < 0) {
                mirror_shutdown_fail(m, NULL);
                return false;
        }
        plan_run_promise(&m->plan_run, m->fit.need_bytes); /* so that the next one knows */
        explain_shortage_once(m, r == 0);
        return true;
}

void mirror_lifecycle_proceed(Mirror *m) {
        assert(m->state == MIRROR_PLANNED);
        m->n_held = m->survey.plan->n_held;
        atomic_store(&m->progress, 0);
        (void) sd_event_now(m->context->event, CLOCK_MONOTONIC, &m->begun_usec);
        if (mirror_state_start_round(m, m->survey.plan, m->fit.need_bytes, on_staged) < 0) {
                mirror_shutdown_fail(m, NULL);
                return;
        }
        mirror_state_set(m, MIRROR_STAGING);
}

bool mirror_lifecycle_may_prune(void *userdata) {
        Mirror *m = userdata;

        return m->state == MIRROR_IDLE && !m->lost && save_queue_status(&m->writeback.queue).n_unsaved == 0;
}

bool mirror_lifecycle_may_scrub(void *userdata) {
        Mirror *m = userdata;

        return m->state == MIRROR_IDLE && m->complete && !m->lost && !m->stopping && !m->failing;
}

bool mirror_lifecycle_is_watched(void *userdata) {
        return mirror_state_is_armed(userdata);
}

void mirror_lifecycle_on_unknown_file(void *userdata) {
        Mirror *m = userdata;

        scan_schedule_request(&m->schedule, m->state == MIRROR_IDLE);
}

void mirror_lifecycle_begin(Mirror *m) {
        m->started = true;
        mirror_state_submit(m, attach_run, attach_done);
}
