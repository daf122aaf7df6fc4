/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One source/target pair: its state machine, and the order of the steps. See mirror.h. */

#include "mirror.h"

#include "attach.h"
#include "fit.h"
#include "look.h"
#include "lookout.h"
#include "mirrorlog.h"
#include "round.h"
#include "tell.h"
#include "text.h"
#include "told.h"
#include "withheld.h"

struct Mirror {
        Job job; /* attach, look, save or detach: one at a time */
        MirrorConfig config;
        MirrorConfig next;         /* waits until no job reads the present one */
        bool has_next;
        unsigned number;
        const MirrorContext *context;
        MirrorState state;
        Lookout lookout;

        /* A job has these while one is out, else the loop. */
        Attachment attachment;
        Look look;                 /* what the plan at hand borrows from */
        int result;
        const char *what;
        char *refusal;
        int journalfd;
        bool reopened;
        AttachmentEnd end;

        Round round;
        Plan *removal;
        Fit fit;
        Manifest *source;          /* as last seen, NULL before the first look */
        Withheld withheld;
        Told told;
        char *problem;             /* why it is degraded or failed; NULL */
        char *unreadable;          /* the sentence about the first directory that could not be read; NULL */
        size_t n_unreadable, n_left_out, n_held;
        uint64_t n_files, n_bytes; /* in RAM, verified */

        bool attached;
        bool complete;             /* the first staging is over */
        bool ready;
        bool lost;                 /* the source */
        bool unsettled;            /* something did not hold still, and is to be looked at again */
        bool retry_all;            /* look again, and give withheld files another try */
        bool trying_all;           /* the look at hand does */
        bool stopping, failing;
        bool started;
        bool removed;              /* at the end: the mirror was taken down */
        atomic_bool cancel;
        atomic_uint_fast64_t progress, steps; /* bytes copied; entries seen and bytes read */
};

static void wind_down(Mirror *m);

static void set_state(Mirror *m, MirrorState state) {
        m->state = state;
        m->context->changed(m, m->context->userdata);
}

static void submit(Mirror *m, void (*run)(Job *job), void (*done)(Job *job)) {
        m->job = (Job){ .run = run, .done = done };
        pool_submit(m->context->pool, &m->job);
}

static void set_problem(Mirror *m, char *text) {
        free(m->problem);
        m->problem = text;
}

/* Counted once and kept, because the base may be out on a job when somebody asks. */
static void count_base(Mirror *m) {
        m->n_files = manifest_files(m->attachment.base);
        m->n_bytes = manifest_bytes(m->attachment.base);
}

static void fail(Mirror *m, char *text) {
        mirrorlog_failed(&m->config, text);
        set_problem(m, text);
        m->failing = true;
        wind_down(m);
}

/* --- attach and watch --- */

static void attach_run(Job *job) {
        Mirror *m = (Mirror *) job;
        uint64_t reserve = amount_bytes(m->context->reserve, m->context->ram, 0);
        uint64_t rest = m->context->ram > reserve ? m->context->ram - reserve : 0;

        m->result = attachment_open(&m->attachment, &m->config, m->context->statefd,
                                    amount_bytes(m->config.size, m->context->ram, rest), &m->refusal);
}

static void attach_done(Job *job) {
        Mirror *m = (Mirror *) job;
        int r;

        if (m->result != 0) {
                fail(m, TAKE_PTR(m->refusal));
                return;
        }
        m->attached = true;
        mirrorlog_attached(&m->config, &m->attachment);
        count_base(m);
        if (m->stopping) {
                wind_down(m);
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
                .cancel = &m->cancel, .progress = &m->steps,
        };

        m->what = "read the source";
        m->result = attachment_check_source(&m->attachment, &m->config, &m->reopened) == 0 ? 0 : -ESTALE;
        options.sourcefd = m->attachment.sourcefd;
        if (m->result == 0)
                m->result = look_run(&options, &m->look, &m->what);
        if (m->result == 0 && m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation, &m->journalfd);
}

static void settled(Mirror *m) {
        bool hurt = m->n_unreadable > 0 || withheld_is_retryable(&m->withheld);
        LookoutReason reason = m->has_next || m->retry_all ? LOOKOUT_NOW
                               : m->lost                   ? LOOKOUT_LOST
                               : m->unsettled              ? LOOKOUT_UNSETTLED
                               : hurt                      ? LOOKOUT_HURT
                                                           : LOOKOUT_AT_REST;

        set_state(m, MIRROR_SETTLED);
        lookout_rest(&m->lookout, &m->config, reason);
}

/* Nothing that is missing now was deleted: nothing is propagated until the source is back. */
static void source_lost(Mirror *m, char *text) {
        if (!m->complete) {
                fail(m, text);
                return;
        }
        if (!m->lost || !string_equal(text, m->problem))
                mirrorlog_source_lost(&m->config, text);
        m->lost = true;
        set_problem(m, text);
        settled(m);
}

/* The watch ends with the directory that it is on, also if that comes back before anybody has looked. */
static void source_found(Mirror *m) {
        if (m->lost) {
                set_problem(m, NULL);
                mirrorlog_source_found(&m->config);
        }
        if (m->lost || m->reopened || m->lookout.broken)
                (void) lookout_adjust(&m->lookout, &m->config, true); /* if not, it is polled */
        m->lost = false;
}

static void look_done_job(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->stopping) {
                look_done(&m->look);
                wind_down(m);
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
                fail(m, TAKE_PTR(m->unreadable));
                return;
        }
        told_look(&m->told, &m->config, m->look.source, m->look.plan);
        withheld_apply(&m->withheld, m->look.plan, true, m->trying_all);
        m->unsettled = m->look.plan->n_waiting > 0 || manifest_omissions(m->look.source, OMIT_CHANGED) > 0;
        set_state(m, MIRROR_PLANNED);
        if (m->complete && mirror_fits(m))
                mirror_proceed(m);
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

static void look(void *userdata) {
        Mirror *m = userdata;

        if (m->stopping || m->failing || (m->state != MIRROR_STARTING && m->state != MIRROR_SETTLED))
                return;
        take_next_config(m);
        m->trying_all = m->retry_all;
        m->retry_all = m->reopened = false;
        lookout_begun(&m->lookout);
        set_state(m, MIRROR_LOOKING);
        submit(m, look_run_job, look_done_job);
}

/* --- stage --- */

static int check_fit(Mirror *m) {
        uint64_t reserve = amount_bytes(m->context->reserve, m->context->ram, 0);
        FitInput input = look_room(&m->look, &m->config, reserve, *m->context->promised);

        return fit_plan(m->look.plan, &input, &m->fit);
}

/* The plan is over: the base moves on, and what was seen of the source is what the next look compares with. */
static bool end_round(Mirror *m) {
        Plan **plan = m->removal ? &m->removal : &m->look.plan;
        bool changed = round_end(&m->round, plan, m->attachment.base, m->look.source);

        m->unsettled = m->unsettled || m->round.unsettled;
        if (m->look.source) {
                m->source = manifest_free(m->source);
                m->source = TAKE_PTR(m->look.source);
        }
        look_done(&m->look);
        count_base(m);
        return changed;
}

/* --- save the manifest, and be complete --- */

static void save_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        m->result = manifest_save(m->attachment.base, m->context->statefd, m->config.name, m->config.source, m->config.target);
}

static void become_ready(Mirror *m) {
        m->ready = true;
        mirrorlog_ready(&m->config, m->attachment.base, m->withheld.n + m->n_unreadable + m->n_left_out == 0);
}

static void save_done(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->result < 0)
                mirrorlog_not_saved(&m->config, m->result);
        if (m->stopping || m->failing) {
                wind_down(m);
                return;
        }
        m->complete = true;
        if (!m->ready)
                become_ready(m);
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
        bool changed = end_round(m);

        if (m->stopping)
                wind_down(m);
        else if (find_fatal(m))
                fail(m, strdup(find_fatal(m)));
        else if (changed || !m->complete)
                submit(m, save_run, save_done);
        else
                settled(m);
}

static int start_round(Mirror *m, const Plan *plan, uint64_t need, void (*finished)(void *userdata)) {
        TaskContext tasks = {
                .sourcefd = m->attachment.sourcefd, .source_path = m->config.source, .staging = &m->attachment.staging,
                .chunk_size = m->config.chunk_size, .cancel = &m->cancel, .progress = &m->progress, .steps = &m->steps,
                .journalfd = m->journalfd,
        };

        return round_start(&m->round, plan, &tasks, need, finished);
}

static void tell_shortage_once(Mirror *m, bool fits) {
        _cleanup_(freep) char *text = fits ? NULL : tell_shortage(&m->config, m->look.plan, &m->fit, false);

        m->n_left_out = m->look.plan->n_left_out;
        if (text && !string_equal(text, m->problem))
                mirrorlog_shortage(&m->config, text);
        set_problem(m, TAKE_PTR(text));
}

bool mirror_fits(Mirror *m) {
        int r;

        assert(m->state == MIRROR_PLANNED);
        r = check_fit(m);
        if (r == FIT_NO_ROOM && m->config.on_no_room == NO_ROOM_FAIL && !m->complete) {
                fail(m, tell_shortage(&m->config, m->look.plan, &m->fit, true));
                return false;
        }
        if (r < 0) {
                fail(m, NULL);
                return false;
        }
        round_promise(&m->round, m->fit.need_bytes); /* so that the next one knows */
        tell_shortage_once(m, r == 0);
        return true;
}

void mirror_proceed(Mirror *m) {
        assert(m->state == MIRROR_PLANNED);
        m->n_held = m->look.plan->n_held;
        atomic_store(&m->progress, 0);
        if (start_round(m, m->look.plan, m->fit.need_bytes, on_staged) < 0) {
                fail(m, NULL);
                return;
        }
        set_state(m, MIRROR_STAGING);
}

/* --- the end --- */

static void detach_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        attachment_end(&m->attachment, &m->config, m->context->statefd, m->removed, m->round.staged, &m->end);
}

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
                set_problem(m, tell_kept(&m->config, m->end.left));
        m->failing = m->failing || kept;
        set_state(m, m->failing ? MIRROR_FAILED : MIRROR_GONE);
}

static void detach(Mirror *m) {
        submit(m, detach_run, detach_done);
}

static void on_removed(void *userdata) {
        Mirror *m = userdata;

        (void) end_round(m);
        detach(m);
}

/* What was not put there in this run, after a start that did not come so far, is left for the next one. */
static bool shall_remove(const Mirror *m) {
        if (!m->attached || !m->config.remove_on_stop)
                return false;
        return m->complete || m->round.staged || !m->failing;
}

/* Called when no job of ours is out. */
static void wind_down(Mirror *m) {
        lookout_end(&m->lookout);
        round_promise(&m->round, 0);
        look_done(&m->look);
        set_state(m, MIRROR_REMOVING);
        m->removed = shall_remove(m);
        atomic_store(&m->cancel, false);
        if (!m->removed || plan_new_removal(m->attachment.base, &m->removal) < 0) {
                detach(m);
                return;
        }
        if (m->journalfd < 0)
                (void) manifest_journal_open(m->context->statefd, m->config.name, &m->attachment.generation, &m->journalfd);
        if (start_round(m, m->removal, 0, on_removed) < 0)
                detach(m);
}

void mirror_stop(Mirror *m) {
        if (m->stopping)
                return;
        m->stopping = true;
        switch (m->state) {
        case MIRROR_PLANNED:
        case MIRROR_SETTLED:
                wind_down(m);
                break;
        case MIRROR_STARTING:
                if (!m->started)
                        set_state(m, MIRROR_GONE);
                else if (m->attached) /* waiting for the watch */
                        wind_down(m);
                break;
        case MIRROR_LOOKING:
        case MIRROR_STAGING:
                atomic_store(&m->cancel, true); /* what is out comes back, and then winds down */
                break;
        case MIRROR_REMOVING:
        case MIRROR_GONE:
        case MIRROR_FAILED:
                break;
        }
}

void mirror_abandon(Mirror *m) {
        char *text = NULL;

        if (asprintf(&text, "The source '%s' does not answer: the daemon ends without waiting for it", m->config.source) < 0)
                text = NULL;
        mirrorlog_failed(&m->config, text);
        set_problem(m, text);
        if (m->attached && m->config.remove_on_stop)
                attachment_abandon(&m->attachment, &m->config, m->round.changes);
        set_state(m, MIRROR_FAILED);
}

/* --- from outside --- */

int mirror_new(Mirror **ret, const MirrorConfig *config, unsigned number, const MirrorContext *context) {
        _cleanup_(mirror_freep) Mirror *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        attachment_init(&m->attachment);
        m->journalfd = -1;
        m->number = number;
        m->context = context;
        m->round = (Round){ .config = &m->config, .pool = context->pool, .withheld = &m->withheld, .promised = context->promised,
                            .userdata = m };
        m->lookout = (Lookout){ .event = context->event, .watch = context->watch, .number = number, .look = look, .userdata = m };
        r = mirror_config_copy(config, &m->config);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Mirror *mirror_free(Mirror *m) {
        if (!m)
                return NULL;
        lookout_end(&m->lookout);
        round_done(&m->round);
        look_done(&m->look);
        m->removal = plan_free(m->removal);
        m->source = manifest_free(m->source);
        (void) attachment_close(&m->attachment, &m->config, false); /* nothing is to go */
        m->journalfd = close_fd(m->journalfd);
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
        m->started = true;
        submit(m, attach_run, attach_done);
}

void mirror_notice(Mirror *m, const WatchReport *report) {
        if (m->stopping || m->failing)
                return;
        if (lookout_notice(&m->lookout, &m->config, report, m->state == MIRROR_SETTLED) > 0)
                mirrorlog_unwatched(&m->config, 0);
}

int mirror_reconfigure(Mirror *m, const MirrorConfig *config) {
        MirrorConfig copy = {};
        int r = mirror_config_copy(config, &copy);

        if (r < 0)
                return r;
        mirror_config_done(&m->next);
        m->next = copy;
        m->has_next = m->retry_all = true;
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

bool mirror_is_settled(const Mirror *m) {
        return m->state == MIRROR_SETTLED && !m->has_next && !m->retry_all;
}

MirrorStatus mirror_status(const Mirror *m) {
        MirrorStatus status = {
                .name = m->config.name, .state = m->state, .ready = m->ready, .failing = m->failing,
                .done_bytes = atomic_load(&m->progress), .seen = atomic_load(&m->steps),
                .n_withheld = m->withheld.n, .withheld = m->withheld.n > 0 ? m->withheld.files[0].text : NULL,
                .n_unreadable = m->n_unreadable, .unreadable = m->unreadable, .n_left_out = m->n_left_out, .n_held = m->n_held,
                .problem = m->problem, .huge_bytes = m->round.huge_bytes, .measured_bytes = m->round.measured_bytes,
                .files = m->n_files, .bytes = m->n_bytes,
        };

        status.life = status.done_bytes + status.seen;
        if (m->state == MIRROR_STAGING && m->look.plan)
                status.todo_bytes = m->look.plan->stage_bytes;
        if (m->round.stage)
                status.path = stage_current_path(m->round.stage);
        if (m->state == MIRROR_REMOVING)
                status.bytes -= MIN(status.bytes, m->round.removed_bytes);
        return status;
}
