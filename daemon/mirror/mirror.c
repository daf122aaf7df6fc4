/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One source/target pair: how it is made, and what it is asked from outside. See mirror/mirror.h. */

#include "mirror/mirror-internal.h"
#include "report/mirror-log.h"

/* A file that an operator released stays released under its new name. */
static void on_link_renamed(const char *from, const char *to, void *userdata) {
        Mirror *m = userdata;

        if (overrides_get(&m->overrides, from) != OVERRIDE_RELEASED || overrides_release(&m->overrides, to) < 0)
                return;
        overrides_forget(&m->overrides, from);
        mirror_state_want_scan(m);
}

int mirror_new(Mirror **ret, const MirrorConfig *config, const MirrorIds *ids, const MirrorContext *context) {
        _cleanup_(mirror_freep) Mirror *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        attachment_init(&m->attachment);
        directio_refusals_init(&m->refusals);
        m->journalfd = -1;
        m->ids = *ids;
        m->context = context;
        m->plan_run = (PlanRun){ .config = &m->config, .pool = context->pool, .withheld = &m->withheld,
                                 .outcomes = &m->planned, .promised = context->promised, .userdata = m };
        m->writeback = (Writeback){ .event = context->event, .pool = context->savers, .config = &m->config,
                                    .deletions = &m->deletions, .progress = &m->saved, .survey = mirror_on_outdated,
                                    .moved_on = mirror_on_ended, .link_renamed = on_link_renamed, .userdata = m };
        writeback_init(&m->writeback);
        m->pruner = (BlobPruner){ .job = { .event = context->event, .pool = context->savers }, .config = &m->config,
                                  .may_run = mirror_may_prune,
                                  .ended = mirror_on_ended, .userdata = m };
        prune_blobs_init(&m->pruner);
        m->trash = (TrashTimer){ .job = { .event = context->event, .pool = context->savers },
                                  .config = &m->config, .sourcefd = &m->writeback.sourcefd,
                                  .ended = mirror_on_ended, .userdata = m };
        trash_timer_init(&m->trash);
        m->scrub = (Scrub){ .event = context->event, .pool = context->savers, .config = &m->config,
                            .attachment = &m->attachment, .may_run = mirror_may_scrub,
                            .is_watched = mirror_is_watched, .survey = mirror_on_outdated, .ended = mirror_on_ended,
                            .userdata = m };
        scrub_init(&m->scrub);
        m->proofs = (Proofs){ .pool = context->readers, .config = &m->config, .attachment = &m->attachment,
                              .progress = &m->steps, .ended = mirror_on_ended, .userdata = m };
        m->gauges = (Gauges){ .job = { .pool = context->savers }, .config = &m->config, .ended = mirror_on_ended,
                              .userdata = m };
        gauges_init(&m->gauges);
        scan_schedule_init(&m->schedule, context->event, context->watch, ids->source_watch, ids->mirror_watch,
                           mirror_scan, m);
        m->sync = (ReportSync){ .watch = context->watch, .root = ids->mirror_watch, .synced = mirror_on_synced,
                                .timer = { .event = context->event }, .userdata = m };
        report_sync_init(&m->sync);
        r = config_mirror_copy(config, &m->config);
        if (r == 0)
                r = ratelimit_new(config->bandwidth_limit, &m->limit);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Mirror *mirror_free(Mirror *m) {
        if (!m)
                return NULL;
        mirror_state_notify(m, MIRROR_FREED);
        scan_schedule_end(&m->schedule);
        report_sync_done(&m->sync);
        plan_run_done(&m->plan_run);
        survey_done(&m->survey);
        m->end.removal = plan_free(m->end.removal);
        writeback_done(&m->writeback);
        prune_blobs_done(&m->pruner);
        trash_timer_done(&m->trash);
        scrub_done(&m->scrub);
        gauges_done(&m->gauges);
        proofs_done(&m->proofs);
        written_done(&m->mirror_written);
        written_done(&m->source_written);
        pathset_done(&m->scan.marked);
        deletions_done(&m->deletions);
        overrides_done(&m->overrides);
        overrides_done(&m->scan.overrides);
        pathset_done(&m->missing);
        pathset_done(&m->unmatched);
        m->end.dropped = manifest_free(m->end.dropped);
        m->source = manifest_free(m->source);
        m->models = models_free(m->models);
        plan_outcomes_done(&m->outcomes);
        plan_outcomes_done(&m->planned);
        directio_refusals_done(&m->refusals);
        (void) attachment_close(&m->attachment, &m->config, false); /* nothing is to go */
        m->journalfd = close_fd(m->journalfd);
        m->limit = ratelimit_free(m->limit);
        withheld_done(&m->withheld);
        log_once_done(&m->log_once);
        free(m->problem);
        free(m->unreadable);
        free(m->refusal);
        free(m->end.detached.left);
        config_mirror_done(&m->config);
        config_mirror_done(&m->next);
        free(m);
        return NULL;
}

static void take_notice(Mirror *m, const WatchReport *report, bool about_mirror) {
        if (report->flags & WATCH_RESYNC)
                mirror_log_events_lost(&m->config, about_mirror);
        if (about_mirror) {
                scrub_note(&m->scrub, report);
                if (m->config.write_back && mirror_state_is_watched(m))
                        deletions_note(&m->deletions, report);
                if (report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED)) /* a scan follows */
                        m->writeback.sure = false;
        }
        if (scan_schedule_event(&m->schedule, &m->config, report, m->phase == PHASE_IDLE) > 0) {
                if (about_mirror)
                        mirror_log_unguarded(&m->config, 0);
                else
                        mirror_log_unwatched(&m->config, 0);
        }
        if (m->phase == PHASE_GUARDING && scan_schedule_mirror_is_decided(&m->schedule))
                mirror_finish_start(m);
}

void mirror_notice(Mirror *m, const WatchReport *report) {
        bool about_mirror = report->root == m->ids.mirror_watch;

        if (!about_mirror && report->root != m->ids.source_watch)
                return;
        written_note(about_mirror ? &m->mirror_written : &m->source_written, report);
        if (!mirror_state_is_failing(m))
                take_notice(m, report, about_mirror);
        if (about_mirror)
                report_sync_note(&m->sync, report);
}

void mirror_set_limit(Mirror *m, uint64_t bytes_per_sec) {
        ratelimit_set(m->limit, bytes_per_sec);
}

int mirror_reconfigure(Mirror *m, const MirrorConfig *config) {
        MirrorConfig copy = {};
        int r = config_mirror_copy(config, &copy);

        if (r < 0)
                return r;
        config_mirror_done(&m->next);
        m->next = copy;
        m->scan.wanted.retry_all = true;
        mirror_set_limit(m, config->bandwidth_limit);
        deletions_acknowledge(&m->deletions);
        writeback_acknowledge(&m->writeback);
        if (m->phase == PHASE_IDLE)
                scan_schedule_idle(&m->schedule, &m->config, SCAN_REASON_NOW);
        return 0;
}

const MirrorConfig *mirror_config(const Mirror *m) {
        return m->next.name ? &m->next : &m->config;
}

unsigned mirror_number(const Mirror *m) {
        return m->ids.mirror;
}

MirrorState mirror_state(const Mirror *m) {
        return mirror_phase_state(m->phase);
}

void mirror_measure(Mirror *m) {
        if (!mirror_state_is_attached(m))
                return;
        if (m->attachment.mount.answer[TMPFS_NOSWAP] == TMPFS_ACCEPTED)
                m->gauges.swapped_bytes = 0;
        else
                gauges_count_swap(&m->gauges, m->attachment.mount.fd);
}

bool mirror_is_settled(const Mirror *m) {
        return m->phase == PHASE_IDLE && !m->next.name && !m->scan.wanted.retry_all;
}

void mirror_report(Mirror *m) {
        MirrorStatus status = mirror_status(m);
        bool whole = mirror_status_is_complete(&status, 1);

        if (m->phase != PHASE_IDLE || !m->ready || whole == m->logged_complete)
                return;
        m->logged_complete = whole;
        if (whole)
                mirror_log_complete_again(&m->config, status.files, status.bytes);
        else
                mirror_log_degraded(&m->config);
}

void mirror_recheck_began(Mirror *m) {
        m->n_rechecks++;
}

void mirror_recheck_ended(Mirror *m) {
        m->n_rechecks--;
        mirror_on_ended(m);
}
