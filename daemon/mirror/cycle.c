/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The life of a mirror: attach, look, stage, record, and again. See mirror/cycle.h. */

#include "mirror/cycle.h"

#include "base/text.h"
#include "mirror/inventory.h"
#include "mirror/shutdown.h"
#include "report/explain.h"
#include "report/mirror-log.h"

#include <malloc.h>

/* --- attach and watch --- */

static void attach_run(Job *job) {
        Mirror *m = (Mirror *) job;
        uint64_t reserve = amount_bytes(m->context->reserve, m->context->ram, 0);
        uint64_t rest = m->context->ram > reserve ? m->context->ram - reserve : 0;

        m->result = attachment_open(&m->attachment, &m->config, m->context->statefd,
                                    amount_bytes(m->config.size, m->context->ram, rest), &m->refusal);
        if (m->result == 0 && m->config.write_back) {
                Disk disk;

                disk_init(&disk, m->attachment.sourcefd, m->config.name);
                m->n_strangers = disk_clean(&disk);
                (void) disk_empty_trash(&disk, m->config.trash_keep_usec); /* if not, it is emptied when the disk is full */
        }
}

static void attach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        int r;

        if (m->result != 0) {
                mirrorend_fail(m, TAKE_PTR(m->refusal));
                return;
        }
        m->attached = true;
        mirrorlog_attached(&m->config, &m->attachment);
        if (m->n_strangers > 0)
                mirrorlog_strangers(&m->config, m->n_strangers);
        mirrorstate_count(m);
        m->recount = true;
        m->writeback.eventless = m->attachment.eventless;
        r = writeback_attach(&m->writeback, m->attachment.sourcefd, m->attachment.mount.fd);
        if (r < 0) {
                mirrorend_fail(m, NULL);
                return;
        }
        if (m->stopping) {
                mirrorend_say_farewell(m);
                return;
        }
        r = lookout_begin(&m->lookout, &m->config, m->attachment.eventless);
        if (r < 0)
                mirrorlog_unwatched(&m->config, r);
}

/* --- look --- */

static void look_run_job(Job *job) {
        Mirror *m = (Mirror *) job;
        LookOptions options = {
                .config = &m->config, .base = m->attachment.base, .previous = m->trying_all ? NULL : m->source,
                .sourcefd = m->attachment.sourcefd, .mirrorfd = m->attachment.mount.fd, .budget = m->attachment.mount.budget,
                .cancel = &m->cancel, .progress = &m->steps, .deleted = m->deleted, .damaged = m->damaged, .armed = m->armed,
                .wishes = &m->looking,
        };

        m->where = m->moving ? 0 : attachment_check_mirror(&m->attachment, &m->config);
        if (m->where == ATTACH_LOST)
                return;
        m->what = "read the source";
        m->result = attachment_check_source(&m->attachment, &m->config, &m->reopened) == 0 ? 0 : -ESTALE;
        options.sourcefd = m->attachment.sourcefd;
        if (m->result == 0)
                m->result = look_run(&options, &m->look, &m->what);
        if (m->result == 0 && m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation, &m->journalfd);
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

static LookoutReason reason_to_look(const Mirror *m) {
        return m->has_next || m->retry_all || m->look_wanted ? LOOKOUT_NOW
               : m->lost                                     ? LOOKOUT_LOST
               : m->unsettled                                ? LOOKOUT_UNSETTLED
               : is_hurt(m)                                  ? LOOKOUT_HURT
                                                             : LOOKOUT_AT_REST;
}

static void settled(Mirror *m) {
        mirrorstate_absorb(m);
        mirrorstate_tell(m, m->lost ? MIRROR_BLIND : MIRROR_RESTED);
        if (m->config.write_back) {
                sweep_update(&m->sweep, m->attachment.base, m->writeback.queue.layout, m->attachment.sourcefd);
                trash_update(&m->trash);
        }
        count_models(m);
        mirrorstate_set(m, MIRROR_SETTLED);
        mirrorstate_measure(m);
        give_back_memory();
        scrub_update(&m->scrub, m->round.tasks.layout);
        lookout_rest(&m->lookout, &m->config, reason_to_look(m));
        writeback_go_on(&m->writeback, mirrorstate_is_armed(m), !m->lookout.mirror_dirty && !m->lost);
}

/* Nothing that is missing now was deleted: nothing is propagated until the source is back. */
static void source_lost(Mirror *m, char *text) {
        if (!m->complete) {
                mirrorend_fail(m, text);
                return;
        }
        if (!m->lost || !string_equal(text, m->problem))
                mirrorlog_source_lost(&m->config, text);
        m->lost = true;
        mirrorstate_set_problem(m, text);
        settled(m);
}

/* The watch ends with the directory that it is on, also if that comes back before anybody has looked. */
static void source_found(Mirror *m) {
        if (m->lost) {
                mirrorstate_set_problem(m, NULL);
                mirrorlog_source_found(&m->config);
        }
        if (m->lost || m->reopened || m->lookout.broken)
                (void) lookout_adjust(&m->lookout, &m->config, true); /* if not, it is polled */
        m->reattach = m->reattach || m->reopened;
        if (m->reattach && m->writeback.n_running == 0)
                m->reattach = writeback_attach(&m->writeback, m->attachment.sourcefd, m->attachment.mount.fd) < 0;
        m->lost = false;
}

static void mirror_lost(Mirror *m) {
        mirrorlog_mirror_lost(&m->config);
        writeback_forget_deletions(&m->writeback);
        m->moving = !m->stopping;
        mirrorstate_tell(m, MIRROR_ENDS);
        mirrorend_say_farewell(m); /* what is unsaved can still be read, through the descriptor that we have */
}

/* Each name that chooses nothing, once. */
static void tell_unmatched(Mirror *m) {
        for (char **name = m->look.unmatched; name && *name; name++)
                if (!pathset_has(&m->unmatched, *name)) {
                        mirrorlog_unmatched(&m->config, *name);
                        (void) pathset_add(&m->unmatched, *name);
                        pathset_sort(&m->unmatched);
                }
}

static void look_done_job(Job *job) {
        Mirror *m = (Mirror *) job;

        lookout_came_back(&m->lookout);
        if (m->farewell) {
                mirrorend_go_on(m);
                return;
        }
        if (m->stopping) {
                look_done(&m->look);
                mirrorend_say_farewell(m);
                return;
        }
        if (m->where == ATTACH_LOST) {
                mirror_lost(m);
                return;
        }
        if (m->result != 0) {
                source_lost(m, tell_lost(&m->config, m->result == LOOK_EMPTIED, m->result, m->what));
                return;
        }
        source_found(m);
        free(m->unreadable);
        m->unreadable = tell_unreadable(&m->config, m->look.source, &m->n_unreadable);
        if (m->n_unreadable > 0 && m->config.on_corrupt == CORRUPT_FAIL && !m->complete) {
                mirrorend_fail(m, TAKE_PTR(m->unreadable));
                return;
        }
        told_look(&m->told, &m->config, m->look.source, m->look.plan);
        withheld_apply(&m->withheld, m->look.plan, true, m->trying_all);
        mirrorstate_take_back(m);
        mirrorstate_note_wishes(m);
        mirrorstate_tell(m, MIRROR_LOOKED);
        tell_unmatched(m);
        m->unsettled = (m->look.plan->n_waiting > 0 && !m->aside) || manifest_omissions(m->look.source, OMIT_CHANGED) > 0;
        mirrorstate_set(m, MIRROR_PLANNED);
        /* what a run before this one could not save comes first */
        writeback_go_on(&m->writeback, mirrorstate_is_armed(m), !m->lookout.mirror_dirty);
        if (m->complete && mirrorcycle_fits(m))
                mirrorcycle_proceed(m);
}

/* Between two looks nobody reads the configuration, so this is where a new one takes its place. */
static void take_next_config(Mirror *m) {
        if (!m->has_next)
                return;
        if (!mount_is_same(&m->config, &m->next))
                mirrorlog_mount_stays(&m->next);
        mirror_config_done(&m->config);
        m->config = m->next;
        m->next = (MirrorConfig){};
        m->has_next = false;
        (void) lookout_adjust(&m->lookout, &m->config, false); /* if not, it is polled */
}

/* Without memory the look goes by the old ones, and who waits for an answer asks the next. */
static void take_wishes(Mirror *m) {
        Wishes copy = {};

        if (wishes_copy(&m->wishes, &copy) < 0) {
                m->look_wanted = true;
                return;
        }
        wishes_done(&m->looking);
        m->looking = copy;
}

void mirrorcycle_look(void *userdata) {
        Mirror *m = userdata;

        if (m->failing || m->winding || (m->state != MIRROR_STARTING && m->state != MIRROR_SETTLED && m->state != MIRROR_SAVING))
                return;
        if (m->state == MIRROR_SAVING && m->farewell_out)
                return;
        mirrorstate_absorb(m);
        if (!m->farewell)
                take_next_config(m);
        m->trying_all = m->retry_all;
        m->aside = !m->config.watch_source && m->complete && !m->retry_all && !m->look_wanted && !m->unsettled && !is_hurt(m);
        m->retry_all = m->reopened = m->look_wanted = false;
        take_wishes(m);
        m->in_doubt = m->in_doubt || m->lookout.mirror_dirty;
        lookout_begun(&m->lookout);
        m->writeback.sure = false;
        m->deleted = deletions_begin(&m->deletions);
        m->damaged = m->farewell ? NULL : scrub_get_damaged(&m->scrub);
        m->armed = mirrorstate_is_armed(m);
        m->farewell_out = m->farewell;
        m->farewell_due = false;
        if (!m->farewell)
                mirrorstate_set(m, MIRROR_LOOKING);
        mirrorstate_submit(m, look_run_job, look_done_job);
}

/* --- stage --- */

static int check_fit(Mirror *m) {
        uint64_t reserve = amount_bytes(m->context->reserve, m->context->ram, 0);
        FitInput input = look_room(&m->look, &m->config, reserve, *m->context->promised, pool_workers(m->context->pool));

        return fit_plan(m->look.plan, &input, &m->fit);
}

/* --- save the manifest, and be complete --- */

static void record_done(Job *job);

static void record_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        m->result = manifest_save(m->attachment.base, m->context->statefd, m->config.name, m->config.source, m->config.target);
}

static void record(Mirror *m) {
        m->base_moved = false;
        mirrorstate_submit(m, record_run, record_done);
}

static void become_ready(Mirror *m) {
        m->ready = true;
        m->told_whole = m->withheld.n + m->n_unreadable + m->n_left_out == 0;
        mirrorlog_ready(&m->config, m->attachment.base, m->told_whole);
}

/* From here on every change of the mirror is seen; what has changed before that, the next look finds. */
void mirrorcycle_finish_start(Mirror *m) {
        m->waiting = false;
        m->complete = m->writeback.polite = true;
        if (!m->ready)
                become_ready(m);
        lookout_ask(&m->lookout, false);
        settled(m);
}

static void guard(Mirror *m) {
        int r = lookout_guard(&m->lookout, &m->config);

        if (r < 0)
                mirrorlog_unguarded(&m->config, r);
        m->waiting = true;
        if (lookout_is_guarding(&m->lookout))
                mirrorcycle_finish_start(m);
}

static void record_done(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->result < 0)
                mirrorlog_not_saved(&m->config, m->result);
        if (m->failing) {
                mirrorend_wind_down(m);
                return;
        }
        if (m->stopping) {
                mirrorend_say_farewell(m);
                return;
        }
        if (!m->complete)
                guard(m);
        else
                settled(m);
}

/* What of the withheld ends the mirror, NULL if nothing: only in the first staging, and only if the configuration says so. */
static const char *find_fatal(const Mirror *m) {
        for (size_t i = 0; !m->complete && i < m->withheld.n; i++)
                if (m->withheld.files[i].outcome == TASK_NO_ROOM ? m->config.on_no_room == NO_ROOM_FAIL
                                                                  : m->config.on_corrupt == CORRUPT_FAIL)
                        return m->withheld.files[i].text;
        return NULL;
}

static void on_staged(void *userdata) {
        Mirror *m = userdata;
        bool changed = mirrorstate_end_round(m);

        if (m->stopping)
                mirrorend_say_farewell(m);
        else if (find_fatal(m))
                mirrorend_fail(m, strdup(find_fatal(m)));
        else if (changed || m->base_moved || !m->complete)
                record(m);
        else
                settled(m);
}

static void tell_shortage_once(Mirror *m, bool fits) {
        _cleanup_(freep) char *text = fits ? NULL : tell_shortage(&m->config, m->look.plan, &m->fit, false);

        m->n_left_out = m->look.plan->n_left_out;
        if (text && !string_equal(text, m->problem))
                mirrorlog_shortage(&m->config, text);
        mirrorstate_set_problem(m, TAKE_PTR(text));
}

bool mirrorcycle_fits(Mirror *m) {
        int r;

        assert(m->state == MIRROR_PLANNED);
        r = check_fit(m);
        if (r == FIT_NO_ROOM && m->config.on_no_room == NO_ROOM_FAIL && !m->complete) {
                mirrorend_fail(m, tell_shortage(&m->config, m->look.plan, &m->fit, true));
                return false;
        }
        if (r < 0) {
                mirrorend_fail(m, NULL);
                return false;
        }
        round_promise(&m->round, m->fit.need_bytes); /* so that the next one knows */
        tell_shortage_once(m, r == 0);
        return true;
}

void mirrorcycle_proceed(Mirror *m) {
        assert(m->state == MIRROR_PLANNED);
        m->n_held = m->look.plan->n_held;
        atomic_store(&m->progress, 0);
        (void) sd_event_now(m->context->event, CLOCK_MONOTONIC, &m->begun_usec);
        if (mirrorstate_start_round(m, m->look.plan, m->fit.need_bytes, on_staged) < 0) {
                mirrorend_fail(m, NULL);
                return;
        }
        mirrorstate_set(m, MIRROR_STAGING);
}

bool mirrorcycle_may_sweep(void *userdata) {
        Mirror *m = userdata;

        return m->state == MIRROR_SETTLED && !m->lost && savequeue_status(&m->writeback.queue).n_unsaved == 0;
}

bool mirrorcycle_may_scrub(void *userdata) {
        Mirror *m = userdata;

        return m->state == MIRROR_SETTLED && m->complete && !m->lost && !m->stopping && !m->failing;
}

bool mirrorcycle_is_watched(void *userdata) {
        return mirrorstate_is_armed(userdata);
}

void mirrorcycle_on_strange_file(void *userdata) {
        Mirror *m = userdata;

        lookout_ask(&m->lookout, m->state == MIRROR_SETTLED);
}

void mirrorcycle_begin(Mirror *m) {
        m->started = true;
        mirrorstate_submit(m, attach_run, attach_done);
}
