/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The life of a mirror: attach, scan, stage, record, and again. See mirror/mirror-internal.h. */

#include "mirror/mirror-internal.h"

#include "base/text.h"
#include "mirror/inventory.h"
#include "mirror/override-effects.h"
#include "os/memory.h"
#include "report/explain.h"
#include "report/mirror-log.h"

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
                m->n_unrecognized = disk_clean(&disk);
                /* if that fails, it is emptied when the disk is full */
                (void) disk_empty_trash(&disk, m->config.trash_keep_usec);
        }
}

static void attach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        int r;

        if (m->result != 0) {
                mirror_fail(m, TAKE_PTR(m->refusal));
                return;
        }
        m->attached = true;
        mirror_log_attached(&m->config, &m->attachment);
        if (m->n_unrecognized > 0)
                mirror_log_unrecognized(&m->config, m->n_unrecognized);
        mirror_state_count(m);
        m->totals.models_changed = true;
        r = writeback_attach(&m->writeback, m->attachment.sourcefd, m->attachment.mount.fd);
        if (r < 0) {
                mirror_fail(m, NULL);
                return;
        }
        if (m->end.reason != END_NONE) {
                mirror_last_scan(m);
                return;
        }
        mirror_state_set(m, PHASE_ARMING);
        r = scan_schedule_begin(&m->schedule, &m->config, m->attachment.eventless);
        if (r < 0)
                mirror_log_unwatched(&m->config, r);
}

/* --- scan --- */

static void scan_run(Job *job) {
        Mirror *m = (Mirror *) job;
        SurveyOptions options = {
                .config = &m->config, .base = m->attachment.base,
                .previous = m->scan.serves.retry_all ? NULL : m->source,
                .mirrorfd = m->attachment.mount.fd, .budget = m->attachment.mount.budget,
                .cancel = &m->cancel, .progress = &m->steps, .deleted = m->scan.deleted, .damaged = m->scan.damaged,
                .armed = m->scan.mirror_is_watched, .overrides = &m->scan.overrides,
                .mirror_watched = m->scan.mirror_is_watched && m->scan.mirror_was_watched,
                .source_watched = m->scan.source_is_watched && m->scan.source_was_watched &&
                                  !m->source_written.scanning_all,
                .mark_written = mirror_state_mark_written, .userdata = m,
        };

        m->scan.mirror_check = m->scan.mirror_is_lost ? 0 : attachment_check_mirror(&m->attachment, &m->config);
        if (m->scan.mirror_check == ATTACH_LOST)
                return;
        m->what = "read the source";
        m->result = attachment_check_source(&m->attachment, &m->config, &m->scan.reopened) == 0 ? 0 : -ESTALE;
        options.sourcefd = m->attachment.sourcefd;
        if (m->result == 0)
                m->result = survey_run(&options, &m->survey, &m->what);
        if (m->result == 0 && m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation,
                                             &m->journalfd);
}

/* Something failed that may work the next time. */
static bool is_hurt(const Mirror *m) {
        return m->n_unreadable > 0 || withheld_is_retryable(&m->withheld);
}

/* It walks over all files, so only when something has changed. */
static void count_models(Mirror *m) {
        if (m->totals.models_changed)
                m->totals.models = inventory_count_models(m);
        m->totals.models_changed = false;
}

static ScanReason reason_to_scan(const Mirror *m) {
        const ScanRequest *wanted = &m->scan.wanted;

        return m->next.name || wanted->retry_all || wanted->overrides ? SCAN_REASON_NOW
               : m->lost                                              ? SCAN_REASON_SOURCE_LOST
               : wanted->unsettled                                    ? SCAN_REASON_UNSETTLED
               : is_hurt(m)                                           ? SCAN_REASON_HURT
                                                                      : SCAN_REASON_NONE;
}

static void become_idle(Mirror *m) {
        mirror_state_absorb(m);
        /* else they would be in doubt again at once: they are read before they go. And READY=1 comes first. */
        if (mirror_state_is_watched(m) && m->scan.mirror_was_watched)
                proofs_update(&m->proofs, m->attachment.base);
        mirror_state_notify(m, m->lost ? MIRROR_BLIND : MIRROR_RESTED);
        if (m->config.write_back) {
                prune_blobs_update(&m->pruner, m->attachment.base, m->writeback.queue.layout, m->attachment.sourcefd);
                trash_timer_update(&m->trash);
        }
        count_models(m);
        mirror_state_set(m, PHASE_IDLE);
        mirror_state_measure(m);
        memory_trim();
        scrub_update(&m->scrub, m->plan_run.tasks.layout);
        scan_schedule_idle(&m->schedule, &m->config, reason_to_scan(m));
        writeback_go_on(&m->writeback, mirror_state_is_watched(m), !m->schedule.mirror.dirty && !m->lost);
}

/* What is missing now was not deleted: nothing is propagated until the source is back. */
static void source_lost(Mirror *m, char *text) {
        if (!m->complete) {
                mirror_fail(m, text);
                return;
        }
        if (!m->lost || !string_equal(text, m->problem))
                mirror_log_source_lost(&m->config, text);
        m->lost = true;
        mirror_state_set_problem(m, text);
        become_idle(m);
}

/* The watch ends with the directory that it is on, also if that comes back before the next scan. */
static void source_found(Mirror *m) {
        if (m->lost) {
                mirror_state_set_problem(m, NULL);
                mirror_log_source_found(&m->config);
        }
        if (m->lost || m->scan.reopened || m->schedule.source.lost)
                (void) scan_schedule_adjust(&m->schedule, &m->config, true); /* if not, it is polled */
        mirror_state_take_source(m);
        m->lost = false;
}

static void mirror_lost(Mirror *m) {
        mirror_log_mirror_lost(&m->config);
        writeback_forget_deletions(&m->writeback);
        m->end.reason = END_RECREATION;
        mirror_state_notify(m, MIRROR_ENDS);
        mirror_last_scan(m); /* unsaved files can still be read, through the descriptor that we have */
}

static void explain_covered(Mirror *m) {
        const char *path = manifest_first_omission(m->survey.mirror, OMIT_MOUNT);

        if (path && !m->covered)
                mirror_log_covered(&m->config, path);
        m->covered = path != NULL;
}

/* Each name that matches nothing, once. */
static void explain_unmatched(Mirror *m) {
        for (char **name = m->survey.unmatched; name && *name; name++)
                if (!pathset_has(&m->unmatched, *name)) {
                        mirror_log_unmatched(&m->config, *name);
                        (void) pathset_add(&m->unmatched, *name);
                        pathset_sort(&m->unmatched);
                }
}

static void scan_done(Job *job) {
        Mirror *m = (Mirror *) job;

        scan_schedule_scan_ended(&m->schedule);
        if (m->phase == PHASE_LAST_SCAN) {
                mirror_last_scan_done(m);
                return;
        }
        if (m->end.reason != END_NONE) {
                survey_done(&m->survey);
                mirror_last_scan(m);
                return;
        }
        if (m->scan.mirror_check == ATTACH_LOST) {
                mirror_lost(m);
                return;
        }
        if (m->result != 0) {
                source_lost(m, explain_source_lost(&m->config, m->result, m->complete, m->what));
                return;
        }
        source_found(m);
        mirror_state_end_marking(m);
        m->scan.mirror_was_watched = m->scan.mirror_is_watched;
        m->scan.source_was_watched = m->scan.source_is_watched;
        free(m->unreadable);
        m->unreadable = explain_unreadable(&m->config, m->survey.source, &m->n_unreadable);
        if (m->n_unreadable > 0 && m->config.on_corrupt == CORRUPT_FAIL && !m->complete) {
                mirror_fail(m, TAKE_PTR(m->unreadable));
                return;
        }
        log_once_scan(&m->log_once, &m->config, m->survey.source, m->survey.plan);
        withheld_apply(&m->withheld, m->survey.plan, true, m->scan.serves.retry_all);
        mirror_state_queue_saves(m);
        override_effects_note(m);
        mirror_state_notify(m, MIRROR_SCANNED);
        explain_unmatched(m);
        explain_covered(m);
        m->scan.wanted.unsettled = (m->survey.plan->n_waiting > 0 && m->scan.serves.source) ||
                                   (m->survey.plan->n_racy > 0 && m->config.watch_source) ||
                                   manifest_omissions(m->survey.source, OMIT_CHANGED) > 0;
        mirror_state_set(m, PHASE_PLANNED);
        /* what the previous process could not save comes first */
        writeback_go_on(&m->writeback, mirror_state_is_watched(m), !m->schedule.mirror.dirty);
        if (m->complete && mirror_fits(m))
                mirror_proceed(m);
}

/* Between two scans nothing reads the configuration, so this is where a new one takes its place. */
static void take_next_config(Mirror *m) {
        if (!m->next.name)
                return;
        if (!mount_is_same(&m->config, &m->next))
                mirror_log_mount_stays(&m->next);
        config_mirror_done(&m->config);
        m->config = m->next;
        m->next = (MirrorConfig){};
        (void) scan_schedule_adjust(&m->schedule, &m->config, false); /* on failure it is polled */
}

/* What was wanted is what this scan serves; from here on requests are for the next one. */
static void take_request(Mirror *m) {
        ScanRequest *serves = &m->scan.serves;
        bool mirror = serves->mirror || m->schedule.mirror.dirty;

        *serves = m->scan.wanted;
        serves->mirror = mirror;
        serves->source = m->config.watch_source || !m->complete || serves->retry_all || serves->overrides ||
                         serves->unsettled || is_hurt(m);
        m->scan.wanted = (ScanRequest){ .unsettled = serves->unsettled }; /* until a scan knows better */
}

/* Without memory the scan applies the old ones, and the next scan follows immediately. */
static void take_overrides(Mirror *m) {
        Overrides copy = {};

        if (overrides_copy(&m->overrides, &copy) < 0) {
                m->scan.wanted.overrides = true;
                return;
        }
        overrides_done(&m->scan.overrides);
        m->scan.overrides = copy;
}

void mirror_scan(void *userdata) {
        Mirror *m = userdata;
        bool last = !mirror_phase_may_go(m->phase, PHASE_SCANNING);
        MirrorPhase next = last ? PHASE_LAST_SCAN : PHASE_SCANNING;

        if (!mirror_phase_may_go(m->phase, next) || (last && m->sync.waiting))
                return;
        mirror_state_absorb(m);
        if (!last)
                take_next_config(m);
        take_request(m);
        take_overrides(m);
        scan_schedule_scan_began(&m->schedule);
        m->writeback.sure = false;
        m->scan.reopened = false;
        m->scan.deleted = deletions_begin(&m->deletions);
        m->scan.damaged = last ? NULL : scrub_get_damaged(&m->scrub);
        m->scan.mirror_is_watched = mirror_state_is_watched(m);
        m->scan.source_is_watched = scan_schedule_source_is_watched(&m->schedule);
        mirror_state_begin_marking(m);
        m->scan.mirror_is_lost = mirror_state_is_being_recreated(m);
        mirror_state_set(m, next);
        mirror_state_submit(m, scan_run, scan_done);
}

/* --- stage --- */

static int check_fit(Mirror *m) {
        uint64_t reserve = quantity_amount_bytes(m->context->reserve, m->context->ram, 0);
        FitInput input =
                survey_room(&m->survey, &m->config, reserve, *m->context->promised, pool_workers(m->context->pool));

        return fit_plan(m->survey.plan, &input, &m->fit);
}

/* --- save the manifest, and become complete --- */

static void record_done(Job *job);

static void record_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        m->result = manifest_save(m->attachment.base, m->context->statefd, m->config.name, m->config.source,
                                  m->config.target);
}

static void record(Mirror *m) {
        m->base_moved = false;
        mirror_state_set(m, PHASE_RECORDING);
        mirror_state_submit(m, record_run, record_done);
}

static void become_ready(Mirror *m) {
        m->ready = true;
        m->logged_complete = m->withheld.n + m->n_unreadable + m->n_skipped == 0;
        mirror_log_ready(&m->config, m->attachment.base, m->logged_complete);
}

/* From here on every change of the mirror is reported; earlier ones are found by the next scan. */
void mirror_finish_start(Mirror *m) {
        m->complete = m->writeback.polite = true;
        if (!m->ready)
                become_ready(m);
        scan_schedule_request(&m->schedule, false);
        become_idle(m);
}

static void guard(Mirror *m) {
        int r;

        mirror_state_set(m, PHASE_GUARDING);
        r = scan_schedule_watch_mirror(&m->schedule, &m->config);
        if (r < 0)
                mirror_log_unguarded(&m->config, r);
        if (scan_schedule_mirror_is_decided(&m->schedule))
                mirror_finish_start(m);
}

static void record_done(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->result < 0)
                mirror_log_not_saved(&m->config, m->result);
        if (m->end.reason != END_NONE)
                mirror_last_scan(m);
        else if (!m->complete)
                guard(m);
        else
                become_idle(m);
}

/* The sentence about a withheld file that ends the mirror, NULL if none does: only in the first staging, and only if
 * the configuration says so. */
static const char *find_fatal(const Mirror *m) {
        for (size_t i = 0; !m->complete && i < m->withheld.n; i++) {
                const WithheldFile *file = m->withheld.files[i];

                if (file->outcome == TASK_NO_ROOM ? m->config.on_no_room == NO_ROOM_FAIL
                                                  : file->outcome != TASK_BUSY && m->config.on_corrupt == CORRUPT_FAIL)
                        return file->text;
        }
        return NULL;
}

static void on_staged(void *userdata) {
        Mirror *m = userdata;
        bool changed = mirror_state_end_plan(m);

        if (m->end.reason != END_NONE)
                mirror_last_scan(m);
        else if (find_fatal(m))
                mirror_fail(m, strdup(find_fatal(m)));
        else if (changed || m->base_moved || !m->complete)
                record(m);
        else
                become_idle(m);
}

static void explain_shortage_once(Mirror *m, bool fits) {
        _cleanup_(freep) char *text =
                fits ? NULL : explain_shortage(&m->config, m->survey.plan, &m->fit, SHORTAGE_LEFT_OUT);

        m->n_skipped = m->survey.plan->n_skipped;
        if (text && !explain_is_same_shortage(m->problem, text))
                mirror_log_shortage(&m->config, text);
        mirror_state_set_problem(m, TAKE_PTR(text));
}

bool mirror_fits(Mirror *m) {
        int r;

        assert(m->phase == PHASE_PLANNED);
        r = check_fit(m);
        if (r == FIT_NO_ROOM && m->config.on_no_room == NO_ROOM_FAIL && !m->complete) {
                mirror_fail(m, explain_shortage(&m->config, m->survey.plan, &m->fit, SHORTAGE_REFUSED));
                return false;
        }
        if (r < 0) {
                mirror_fail(m, NULL);
                return false;
        }
        plan_run_promise(&m->plan_run, m->fit.need_bytes); /* so that the next mirror takes it into account */
        explain_shortage_once(m, r == 0);
        return true;
}

void mirror_proceed(Mirror *m) {
        assert(m->phase == PHASE_PLANNED);
        m->n_held = m->survey.plan->n_held;
        atomic_store(&m->progress, 0);
        m->begun_usec = clock_now(m->context->event);
        mirror_state_set(m, PHASE_STAGING);
        if (mirror_state_start_plan(m, m->survey.plan, m->fit.need_bytes, on_staged) < 0)
                mirror_fail(m, NULL);
}

bool mirror_may_prune(void *userdata) {
        Mirror *m = userdata;

        return m->phase == PHASE_IDLE && !m->lost && save_queue_status(&m->writeback.queue).n_unsaved == 0;
}

bool mirror_may_scrub(void *userdata) {
        Mirror *m = userdata;

        return m->phase == PHASE_IDLE && !m->lost;
}

bool mirror_is_watched(void *userdata) {
        return mirror_state_is_watched(userdata);
}

void mirror_on_outdated(void *userdata) {
        Mirror *m = userdata;

        m->scan.wanted.outdated = true;
        scan_schedule_request(&m->schedule, m->phase == PHASE_IDLE);
}

void mirror_start(Mirror *m) {
        mirror_state_submit(m, attach_run, attach_done);
}
