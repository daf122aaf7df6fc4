/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One source/target pair, as others see it. See mirror/mirror.h; mirror/cycle.h and mirror/shutdown.h have the order of the steps. */

#include "mirror/mirror.h"

#include "mirror/cycle.h"
#include "mirror/shutdown.h"
#include "report/mirror-log.h"

int mirror_new(Mirror **ret, const MirrorConfig *config, unsigned number, const MirrorContext *context) {
        _cleanup_(mirror_freep) Mirror *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        attachment_init(&m->attachment);
        directrefusals_init(&m->refusals);
        m->journalfd = -1;
        m->number = number;
        m->context = context;
        m->begin = mirrorcycle_begin;
        m->round = (Round){ .config = &m->config, .pool = context->pool, .withheld = &m->withheld, .fates = &m->planned, .promised = context->promised,
                            .userdata = m };
        m->writeback = (Writeback){ .event = context->event, .pool = context->savers, .config = &m->config, .deletions = &m->deletions,
                                    .progress = &m->saved, .look = mirrorend_on_look_wanted, .moved_on = mirrorend_on_saved, .userdata = m };
        writeback_init(&m->writeback);
        m->sweep = (Sweep){ .event = context->event, .pool = context->savers, .config = &m->config, .may_run = mirrorcycle_may_sweep,
                            .ended = mirrorend_on_saved, .userdata = m };
        m->trash = (Trash){ .event = context->event, .pool = context->savers, .config = &m->config, .sourcefd = &m->writeback.sourcefd,
                            .ended = mirrorend_on_saved, .userdata = m };
        m->scrub = (Scrub){ .event = context->event, .pool = context->savers, .config = &m->config, .attachment = &m->attachment,
                            .may_run = mirrorcycle_may_scrub, .is_watched = mirrorcycle_is_watched, .look = mirrorcycle_on_strange_file,
                            .ended = mirrorend_on_saved, .userdata = m };
        m->measures = (Measures){ .pool = context->savers, .config = &m->config, .ended = mirrorend_on_saved, .userdata = m };
        measures_init(&m->measures);
        m->lookout = (Lookout){ .event = context->event, .watch = context->watch, .number = number, .look = mirrorcycle_look, .userdata = m };
        r = mirror_config_copy(config, &m->config);
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
        mirrorstate_tell(m, MIRROR_FREED);
        lookout_end(&m->lookout);
        round_done(&m->round);
        look_done(&m->look);
        m->removal = plan_free(m->removal);
        writeback_done(&m->writeback);
        sweep_done(&m->sweep);
        trash_done(&m->trash);
        scrub_done(&m->scrub);
        measures_done(&m->measures);
        deletions_done(&m->deletions);
        wishes_done(&m->wishes);
        wishes_done(&m->looking);
        pathset_done(&m->missing);
        pathset_done(&m->unmatched);
        m->dropped = manifest_free(m->dropped);
        m->source = manifest_free(m->source);
        m->models = models_free(m->models);
        fates_done(&m->fates);
        fates_done(&m->planned);
        directrefusals_done(&m->refusals);
        (void) attachment_close(&m->attachment, &m->config, false); /* nothing is to go */
        m->journalfd = close_fd(m->journalfd);
        m->limit = ratelimit_free(m->limit);
        withheld_done(&m->withheld);
        told_done(&m->told);
        free(m->problem);
        free(m->unreadable);
        free(m->refusal);
        free(m->end.left);
        mirror_config_done(&m->config);
        mirror_config_done(&m->next);
        free(m);
        return NULL;
}

void mirror_start(Mirror *m) {
        mirrorcycle_begin(m);
}

void mirror_notice(Mirror *m, const WatchReport *report) {
        if (m->failing)
                return;
        if (report->flags & WATCH_RESYNC)
                mirrorlog_events_lost(&m->config, report->root % 2 == 1);
        if (report->root % 2 == 1) {
                scrub_note(&m->scrub, report);
                if (m->config.write_back && mirrorstate_is_armed(m))
                        deletions_note(&m->deletions, report);
                m->writeback.sure = false;
        }
        if (lookout_notice(&m->lookout, &m->config, report, m->state == MIRROR_SETTLED) > 0) {
                if (report->root % 2 == 1)
                        mirrorlog_unguarded(&m->config, 0);
                else
                        mirrorlog_unwatched(&m->config, 0);
        }
        if (m->waiting && lookout_is_guarding(&m->lookout))
                mirrorcycle_finish_start(m);
}

void mirror_set_limit(Mirror *m, uint64_t bytes_per_sec) {
        ratelimit_set(m->limit, bytes_per_sec);
}

int mirror_reconfigure(Mirror *m, const MirrorConfig *config) {
        MirrorConfig copy = {};
        int r = mirror_config_copy(config, &copy);

        if (r < 0)
                return r;
        mirror_config_done(&m->next);
        m->next = copy;
        m->has_next = m->retry_all = true;
        mirror_set_limit(m, config->bandwidth_limit);
        deletions_acknowledge(&m->deletions);
        writeback_acknowledge(&m->writeback);
        if (m->state == MIRROR_SETTLED)
                lookout_rest(&m->lookout, &m->config, LOOKOUT_NOW);
        return 0;
}

const MirrorConfig *mirror_config(const Mirror *m) {
        return m->has_next ? &m->next : &m->config;
}

unsigned mirror_number(const Mirror *m) {
        return m->number;
}

MirrorState mirror_state(const Mirror *m) {
        return m->state;
}

void mirror_measure(Mirror *m) {
        if (!mirrorstate_is_attached(m))
                return;
        if (m->attachment.mount.answer[MOUNT_NOSWAP] == MOUNT_TAKEN)
                m->measures.swapped_bytes = 0;
        else
                measures_ask_swap(&m->measures, m->attachment.mount.fd);
}

bool mirror_is_settled(const Mirror *m) {
        return m->state == MIRROR_SETTLED && !m->has_next && !m->retry_all;
}

void mirror_tell(Mirror *m) {
        MirrorStatus status = mirror_status(m);
        bool whole = status_is_whole(&status, 1);

        if (m->state != MIRROR_SETTLED || !m->ready || whole == m->told_whole)
                return;
        m->told_whole = whole;
        if (whole)
                mirrorlog_whole_again(&m->config, status.files, status.bytes);
        else
                mirrorlog_degraded(&m->config);
}

bool mirror_fits(Mirror *m) {
        return mirrorcycle_fits(m);
}

void mirror_proceed(Mirror *m) {
        mirrorcycle_proceed(m);
}

void mirror_stop(Mirror *m) {
        mirrorend_stop(m);
}

void mirror_abandon(Mirror *m) {
        mirrorend_abandon(m);
}
