/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Fills in the MirrorStatus of a mirror. See mirror/mirror.h. */

#include "mirror/mirror.h"

#include "base/clock.h"
#include "layout/layout.h"
#include "os/fs.h"

/* A time of CLOCK_MONOTONIC on CLOCK_REALTIME. */
static uint64_t to_realtime(uint64_t usec) {
        uint64_t age = clock_usec(CLOCK_MONOTONIC) - usec;

        return clock_usec(CLOCK_REALTIME) - age;
}

static void add_writeback(const Mirror *m, MirrorStatus *status) {
        SaveQueueStatus saves = save_queue_status(&m->writeback.queue);

        if (!m->config.write_back)
                return;
        status->n_held = 0;
        status->n_unsaved = saves.n_unsaved;
        status->n_saving = saves.n_running;
        status->n_refused = saves.n_refused;
        status->unsaved_bytes = saves.bytes;
        status->n_deletions_held = m->deletions.n_held;
        status->n_conflicts = m->writeback.conflicts.n;
        status->conflict = conflicts_last(&m->writeback.conflicts);
        status->unsaved = saves.n_failing > 0 ? saves.problem : m->deletions.held ? m->deletions.held : saves.problem;
        status->save_fails = saves.n_failing > 0;
        status->saves = true;
        status->unsaved_since_usec = saves.since_usec == UINT64_MAX ? 0 : to_realtime(saves.since_usec);
        status->all_saved = m->complete && status->watching && !m->lost && !m->scan.serves.mirror &&
                            !m->schedule.mirror.dirty && !m->scan.wanted.outdated && proofs_is_settled(&m->proofs) &&
                            proofs_n_busy(&m->proofs) == 0 && mirror_state_n_unagreed(m) == 0 &&
                            saves.n_unsaved + saves.n_refused + saves.n_deletions == 0 &&
                            m->deletions.n_held == 0;
        status->trash_bytes = m->gauges.trash_bytes;
        status->trash_files = m->gauges.trash_files;
}

/* The average since the staging began: that of a short window would jump with every file. */
static void add_rate(const Mirror *m, MirrorStatus *status) {
        uint64_t spent = clock_usec(CLOCK_MONOTONIC) - m->begun_usec, rest;

        if (mirror_phase_state(m->phase) != MIRROR_STAGING || !m->survey.plan)
                return;
        status->todo_bytes = m->survey.plan->stage_bytes;
        if (spent < USEC_PER_SEC / 5)
                return;
        rest = status->todo_bytes - MIN(status->todo_bytes, status->done_bytes);
        status->rate = (uint64_t) ((double) status->done_bytes * USEC_PER_SEC / (double) spent);
        if (status->rate > 0)
                status->left_usec = (uint64_t) ((double) rest / (double) status->rate * USEC_PER_SEC);
}

static void add_ends(const Mirror *m, MirrorStatus *status) {
        FsRoom room;

        status->source = m->config.source;
        status->target = m->config.target;
        status->source_state = m->lost ? SOURCE_LOST : m->n_unreadable > 0 ? SOURCE_UNREADABLE : SOURCE_HEALTHY;
        status->watching = mirror_state_is_watched(m);
        status->swapped_bytes = m->gauges.swapped_bytes;
        if (!mirror_state_is_attached(m))
                return;
        status->layout = m->layout == LAYOUT_AUTO ? NULL : layout_name(m->layout);
        if (fs_room(m->attachment.mount.fd, &room) == 0) {
                status->tmpfs_size = room.total;
                status->tmpfs_free = room.free;
        }
}

static MirrorCounters count(const Mirror *m) {
        MirrorCounters counters = {
                .staging_mismatches = m->plan_run.n_mismatches, .saved_files = m->writeback.n_saves,
                .saved_bytes = m->writeback.saved_bytes, .save_failures = m->writeback.n_failures,
                .deletions = m->writeback.n_deletions + m->pruner.n_removed,
                .conflicts = m->writeback.n_conflicts_ever, .scrubbed_bytes = m->scrub.all_bytes,
                .scrub_mismatches = m->scrub.n_found, .scrub_repairs = m->scrub.n_repaired,
        };

        memcpy(counters.staged, m->plan_run.ways, sizeof(counters.staged));
        return counters;
}

MirrorStatus mirror_status(const Mirror *m) {
        MirrorStatus status = {
                .name = m->config.name, .state = mirror_phase_state(m->phase), .ready = m->ready,
                .failing = mirror_state_is_failing(m), .done_bytes = atomic_load(&m->progress),
                .seen = atomic_load(&m->steps), .n_withheld = m->withheld.n,
                .withheld = m->withheld.n > 0 ? m->withheld.files[0]->text : NULL, .n_unreadable = m->n_unreadable,
                .unreadable = m->unreadable, .n_skipped = m->n_skipped, .n_held = m->n_held, .problem = m->problem,
                .huge_bytes = m->plan_run.huge_bytes, .measured_bytes = m->plan_run.measured_bytes,
                .copied_bytes = m->plan_run.copied_bytes, .direct_bytes = m->plan_run.direct_bytes,
                .files = m->totals.files, .bytes = m->totals.bytes, .n_models = m->totals.models,
                .n_linked = m->totals.linked, .n_released = overrides_count_released(&m->overrides),
                .trash_bytes = UINT64_MAX, .trash_files = UINT64_MAX, .swapped_bytes = UINT64_MAX,
        };

        status.scrubbed_bytes = m->scrub.bytes;
        status.n_repaired = m->scrub.n_repaired;
        status.n_damaged = scrub_n_damaged(&m->scrub);
        status.counters = count(m);
        add_ends(m, &status);
        add_writeback(m, &status);
        status.life = status.done_bytes + status.seen + atomic_load(&m->saved);
        add_rate(m, &status);
        if (m->plan_run.execution)
                status.path = execute_current_path(m->plan_run.execution);
        if (status.state == MIRROR_REMOVING)
                status.bytes -= MIN(status.bytes, m->plan_run.removed_bytes);
        return status;
}
