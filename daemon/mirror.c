/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One source/target pair: its state machine, and the order of the steps. See mirror.h. */

#include "mirror.h"

#include "agreement.h"
#include "attach.h"
#include "fit.h"
#include "look.h"
#include "mirrorlog.h"
#include "scan.h"
#include "stage.h"
#include "tell.h"
#include "text.h"
#include "told.h"
#include "withheld.h"

/* After the first sign of a change, more may be on their way. */
#define DEBOUNCE_USEC (USEC_PER_SEC / 4)
/* A source that is lost, and a file that could not be read, are looked for this often where PollInterval= says nothing. */
#define RETRY_USEC (30 * USEC_PER_SEC)

/* Of a thing that befalls many files, so many lines are logged at a time. */
enum { LINES_MAX = 20 };

struct Mirror {
        Job job; /* attach, look, save or detach: one at a time */
        MirrorConfig config;
        MirrorConfig next;         /* waits until no job reads the present one */
        bool has_next;
        unsigned number;
        const MirrorContext *context;
        MirrorState state;
        sd_event_source *timer;

        /* A job has these while one is out, else the loop. */
        Attachment attachment;
        Look look;                 /* what the plan at hand borrows from */
        int result, unmounted;
        const char *what;
        char *refusal;
        int journalfd;
        bool reopened;

        TaskContext tasks;
        Stage *stage;
        Plan *removal;
        Fit fit;
        Manifest *source;          /* as last seen, NULL before the first look */
        Manifest *changes;         /* to the base, made by the stage that runs */
        Withheld withheld;
        Told told;
        char *problem;             /* why it is degraded or failed; NULL */
        uint64_t promise;          /* our part of *context.promised */
        size_t n_left_out, n_held;
        size_t n_told;             /* lines about single files, in this stage */
        uint64_t huge_bytes, measured_bytes;

        uint64_t looked_usec;      /* when the last look began */
        bool attached, watched, armed, exhausted;
        bool staged;               /* something was put into the mirror in this run */
        bool complete;             /* the first staging is over */
        bool ready;
        bool lost;                 /* the source */
        bool dirty;                /* look again */
        bool retry_all;            /* and give withheld files another try */
        bool stopping, failing;
        bool started;
        bool removed, kept;        /* at the end: the mirror was taken down; something in it had to be left */
        bool xattrs_told;
        atomic_bool cancel;
        atomic_uint_fast64_t progress, steps; /* bytes copied; entries seen and bytes read */
};

static void look(Mirror *m);
static void wind_down(Mirror *m);
static void plan_timer(Mirror *m, uint64_t usec);

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

/* The watch comes before the first look, so that no change falls between the two. */
static void watch_source(Mirror *m) {
        if (m->config.watch_source && !m->attachment.eventless) {
                int r = watch_add(m->context->watch, m->number, m->config.source, SCAN_PRIVATE);

                if (r >= 0) {
                        m->watched = true;
                        return;
                }
                mirrorlog_unwatched(&m->config, r);
                m->exhausted = true;
        }
        m->armed = true;
        look(m);
}

static void attach_done(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->result != 0) {
                fail(m, TAKE_PTR(m->refusal));
                return;
        }
        m->attached = true;
        mirrorlog_attached(&m->config, &m->attachment);
        if (m->stopping)
                wind_down(m);
        else
                watch_source(m);
}

static void watch_again(Mirror *m) {
        if (!m->watched)
                return;
        (void) watch_remove(m->context->watch, m->number);
        m->watched = watch_add(m->context->watch, m->number, m->config.source, SCAN_PRIVATE) >= 0;
}

static bool is_polling(const Mirror *m) {
        return m->config.watch_source && m->config.poll_usec > 0 && (m->attachment.eventless || m->exhausted);
}

/* --- look --- */

static void look_run_job(Job *job) {
        Mirror *m = (Mirror *) job;
        LookOptions options = {
                .config = &m->config, .base = m->attachment.base, .previous = m->retry_all ? NULL : m->source,
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

/* What changed is acted upon when two looks agree, so looks are SettleTime= apart; only the first one after a quiet time comes soon. */
static uint64_t until_next_look(const Mirror *m) {
        uint64_t now, next = m->looked_usec + m->config.settle_usec;

        if (sd_event_now(m->context->event, CLOCK_MONOTONIC, &now) < 0 || next < now + DEBOUNCE_USEC)
                return DEBOUNCE_USEC;
        return next - now;
}

static void settled(Mirror *m) {
        set_state(m, MIRROR_SETTLED);
        if (m->dirty || m->has_next)
                plan_timer(m, m->has_next ? 0 : until_next_look(m));
        else if (m->lost || withheld_is_retryable(&m->withheld))
                plan_timer(m, m->config.poll_usec > 0 ? MIN(m->config.poll_usec, RETRY_USEC) : RETRY_USEC);
        else if (is_polling(m))
                plan_timer(m, m->config.poll_usec);
}

/* Nothing that is missing now was deleted: nothing is propagated until the source is back. */
static void source_lost(Mirror *m, char *text) {
        if (!m->complete) {
                fail(m, text);
                return;
        }
        if (!m->lost)
                mirrorlog_source_lost(&m->config, text);
        m->lost = true;
        set_problem(m, text);
        settled(m);
}

static char *lost_text(const Mirror *m) {
        char path[TEXT_PATH_MAX];
        char *text;
        int r;

        (void) text_path(path, m->config.source);
        if (m->result == LOOK_EMPTIED)
                r = asprintf(&text, "The source '%s' is empty and was not before: the disk behind it may not be mounted. Nothing was changed; if "
                             "it is meant to be empty, remove %s.xxh128 from the state directory and start again", path, m->config.name);
        else if (m->result == -ESTALE)
                r = asprintf(&text, "The source '%s' is gone, or another filesystem is in its place: nothing is changed until it is back", path);
        else
                r = asprintf(&text, "Failed to %s of '%s': %s; nothing is changed until it can be read", m->what, path, strerror(-m->result));
        return r < 0 ? NULL : text;
}

static void source_found(Mirror *m) {
        if (!m->lost)
                return;
        m->lost = false;
        set_problem(m, NULL);
        mirrorlog_source_found(&m->config);
        watch_again(m);
}

static void look_done_job(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->stopping) {
                look_done(&m->look);
                wind_down(m);
                return;
        }
        if (m->result != 0) {
                source_lost(m, lost_text(m));
                return;
        }
        source_found(m);
        told_look(&m->told, &m->config, m->look.source, m->look.plan);
        withheld_apply(&m->withheld, m->look.plan, true, m->retry_all);
        m->retry_all = false;
        if (m->look.plan->n_waiting > 0)
                m->dirty = true;
        set_state(m, MIRROR_PLANNED);
        if (m->complete)
                mirror_proceed(m);
}

static void look(Mirror *m) {
        if (m->has_next) {
                mirror_config_done(&m->config);
                m->config = m->next;
                m->next = (MirrorConfig){};
                m->has_next = false;
        }
        m->dirty = false;
        m->reopened = false;
        (void) sd_event_now(m->context->event, CLOCK_MONOTONIC, &m->looked_usec); /* if not, looks come sooner */
        set_state(m, MIRROR_LOOKING);
        submit(m, look_run_job, look_done_job);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Mirror *m = userdata;

        (void) source;
        (void) usec;
        if (m->state == MIRROR_SETTLED && !m->stopping)
                look(m);
        return 0;
}

/* A look that is planned for an earlier time stays: a source that never rests cannot put it off for ever. */
static void plan_timer(Mirror *m, uint64_t usec) {
        uint64_t now, planned;
        int enabled = SD_EVENT_OFF;

        if (sd_event_now(m->context->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (!m->timer) {
                (void) sd_event_add_time(m->context->event, &m->timer, CLOCK_MONOTONIC, now + usec, 0, on_timer, m);
                return;
        }
        if (sd_event_source_get_enabled(m->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF &&
            sd_event_source_get_time(m->timer, &planned) >= 0 && planned <= now + usec)
                return;
        (void) sd_event_source_set_time(m->timer, now + usec);
        (void) sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}

/* --- stage --- */

static void promise(Mirror *m, uint64_t bytes) {
        *m->context->promised += bytes - m->promise;
        m->promise = bytes;
}

static int check_fit(Mirror *m) {
        uint64_t reserve = amount_bytes(m->context->reserve, m->context->ram, 0);
        FitInput input = look_room(&m->look, &m->config, reserve, *m->context->promised);

        return fit_plan(m->look.plan, &input, &m->fit);
}

/* A directory that cannot be removed because a file in it could not: of the file it was told. */
static bool is_side_effect(const Task *task) {
        return task->outcome == TASK_OCCUPIED && task->item->action == PLAN_REMOVE && task->item->mirror->type == ENTRY_DIRECTORY;
}

static void on_report(const Task *task, void *userdata) {
        Mirror *m = userdata;
        _cleanup_(freep) char *text = NULL;

        promise(m, m->promise - MIN(m->promise, task->item->action == PLAN_STAGE ? task->item->source->room : 0));
        m->huge_bytes += task->huge_bytes;
        m->measured_bytes += task->measured_bytes;
        if (task->xattrs_lost && !m->xattrs_told)
                mirrorlog_xattrs_lost(&m->config);
        m->xattrs_told = m->xattrs_told || task->xattrs_lost;
        agreement_note(m->changes, task);
        switch (task->outcome) {
        case TASK_AGREED:
                m->staged = true;
                withheld_drop(&m->withheld, plan_item_path(task->item));
                return;
        case TASK_CANCELLED:
        case TASK_REMOVED:
                return;
        case TASK_CHANGED:
                m->dirty = true;
                break;
        case TASK_CORRUPT:
        case TASK_GARBLED:
        case TASK_DIFFERS:
        case TASK_NO_ROOM:
        case TASK_OCCUPIED:
        case TASK_FAILED:
                break;
        }
        if (is_side_effect(task))
                return;
        text = tell_task(&m->config, task);
        if (!withheld_is_told(&m->withheld, plan_item_path(task->item), text) && m->n_told++ < LINES_MAX)
                mirrorlog_withheld(&m->config, task, text);
        if (task->item->source)
                (void) withheld_put(&m->withheld, task, text ? text : "Out of memory");
}

/* The plan is over: the base moves on, and what was seen of the source is what the next look compares with. */
static void merge_changes(Mirror *m) {
        Plan **plan = m->removal ? &m->removal : &m->look.plan;

        if (m->n_told > LINES_MAX)
                mirrorlog_more(&m->config, m->n_told - LINES_MAX);
        m->n_told = 0;
        agreement_merge(m->attachment.base, m->look.source, plan, &m->changes);
        if (m->look.source) {
                m->source = manifest_free(m->source);
                m->source = TAKE_PTR(m->look.source);
        }
        look_done(&m->look);
}

/* --- save the manifest, and be complete --- */

static void save_run(Job *job) {
        Mirror *m = (Mirror *) job;

        m->journalfd = close_fd(m->journalfd);
        m->result = manifest_save(m->attachment.base, m->context->statefd, m->config.name, m->config.source, m->config.target);
}

static void become_ready(Mirror *m) {
        m->ready = true;
        mirrorlog_ready(&m->config, m->attachment.base, m->withheld.n == 0 && m->n_left_out == 0);
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

/* Whether what was withheld ends the mirror: only in the first staging, and only if the configuration says so. */
static bool is_fatal(const Mirror *m) {
        if (m->complete)
                return false;
        for (size_t i = 0; i < m->withheld.n; i++)
                if (m->withheld.files[i].outcome == TASK_NO_ROOM ? m->config.on_no_room == NO_ROOM_FAIL
                                                                  : m->config.on_corrupt == CORRUPT_FAIL)
                        return true;
        return false;
}

static void on_staged(void *userdata) {
        Mirror *m = userdata;
        bool changed = m->changes->n_entries > 0;

        m->stage = stage_free(m->stage);
        promise(m, 0);
        merge_changes(m);
        if (m->stopping)
                wind_down(m);
        else if (is_fatal(m))
                fail(m, strdup(m->withheld.files[0].text));
        else if (changed || !m->complete)
                submit(m, save_run, save_done);
        else
                settled(m);
}

static int start_stage(Mirror *m, const Plan *plan, void (*finished)(void *userdata)) {
        StageCallbacks callbacks = { .report = on_report, .finished = finished, .userdata = m };
        int r;

        m->tasks = (TaskContext){
                .sourcefd = m->attachment.sourcefd, .source_path = m->config.source, .staging = &m->attachment.staging,
                .chunk_size = m->config.chunk_size, .cancel = &m->cancel, .progress = &m->progress, .steps = &m->steps,
                .journalfd = m->journalfd,
        };
        r = manifest_new(&m->changes);
        if (r == 0)
                r = stage_new(&m->stage, m->context->pool, plan, &m->tasks, &callbacks);
        if (r < 0)
                return r;
        stage_start(m->stage);
        return 0;
}

static void tell_shortage_once(Mirror *m, bool fits) {
        _cleanup_(freep) char *text = fits ? NULL : tell_shortage(&m->config, m->look.plan, &m->fit, false);

        m->n_left_out = m->look.plan->n_left_out;
        if (text && !string_equal(text, m->problem))
                mirrorlog_shortage(&m->config, text);
        set_problem(m, TAKE_PTR(text));
}

static size_t count_held(const Plan *plan) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_items; i++)
                n += plan->items[i].action == PLAN_SAVE || plan->items[i].action == PLAN_CONFLICT;
        return n;
}

void mirror_proceed(Mirror *m) {
        int r;

        assert(m->state == MIRROR_PLANNED);
        r = check_fit(m);
        if (r == FIT_NO_ROOM && m->config.on_no_room == NO_ROOM_FAIL && !m->complete) {
                fail(m, tell_shortage(&m->config, m->look.plan, &m->fit, true));
                return;
        }
        if (r < 0) {
                fail(m, NULL);
                return;
        }
        tell_shortage_once(m, r == 0);
        m->n_held = count_held(m->look.plan);
        promise(m, m->fit.need_bytes);
        atomic_store(&m->progress, 0);
        if (start_stage(m, m->look.plan, on_staged) < 0) {
                fail(m, NULL);
                return;
        }
        set_state(m, MIRROR_STAGING);
}

/* --- the end --- */

static void detach_run(Job *job) {
        Mirror *m = (Mirror *) job;
        ScanOptions options = { .root = m->config.target, .mirror = true, .progress = &m->steps };
        Manifest *base = m->attachment.base;
        Manifest *left = NULL;
        bool empty;

        m->result = 0;
        m->journalfd = close_fd(m->journalfd);
        if (!m->attached) {
                (void) attachment_close(&m->attachment, &m->config, false); /* nothing was to go */
                return;
        }
        empty = scan_tree(m->attachment.mount.fd, &options, &left) == 0 && left->n_entries == 0;
        m->kept = m->removed && !empty;
        free(m->refusal);
        m->refusal = m->kept && left ? strdup(left->entries[left->n_entries - 1].path) : NULL;
        left = manifest_free(left);
        if (m->removed)
                base->generation = (Generation){};
        if (m->staged || m->removed)
                m->result = manifest_save(base, m->context->statefd, m->config.name, m->config.source, m->config.target);
        m->unmounted = attachment_close(&m->attachment, &m->config, empty);
}

static void detach_done(Job *job) {
        Mirror *m = (Mirror *) job;

        if (m->result < 0)
                mirrorlog_not_saved(&m->config, m->result);
        if (m->unmounted < 0)
                mirrorlog_not_unmounted(&m->config, m->unmounted);
        else if (m->removed)
                mirrorlog_removed(&m->config, m->kept ? (m->refusal ? m->refusal : "?") : NULL);
        m->failing = m->failing || m->kept;
        set_state(m, m->failing ? MIRROR_FAILED : MIRROR_GONE);
}

static void detach(Mirror *m) {
        submit(m, detach_run, detach_done);
}

static void on_removed(void *userdata) {
        Mirror *m = userdata;

        m->stage = stage_free(m->stage);
        merge_changes(m);
        detach(m);
}

/* What was not put there in this run, after a start that did not come so far, is left for the next one. */
static bool shall_remove(const Mirror *m) {
        if (!m->attached || !m->config.remove_on_stop)
                return false;
        return m->complete || m->staged || !m->failing;
}

/* Called when no job of ours is out. */
static void wind_down(Mirror *m) {
        if (m->timer)
                (void) sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
        if (m->watched)
                (void) watch_remove(m->context->watch, m->number);
        m->watched = false;
        promise(m, 0);
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
        if (start_stage(m, m->removal, on_removed) < 0)
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

/* From the end of the list, so that directories come after what is in them. */
static void take_away_all(Mirror *m, const Manifest *list) {
        for (size_t i = list->n_entries; i > 0; i--)
                if (!(list->entries[i - 1].flags & ENTRY_RECORD))
                        (void) staging_take_away(&m->attachment.staging, list->entries[i - 1].path, &list->entries[i - 1]);
}

void mirror_abandon(Mirror *m) {
        char *text = NULL;

        if (asprintf(&text, "The source '%s' does not answer: the daemon ends without waiting for it", m->config.source) < 0)
                text = NULL;
        mirrorlog_failed(&m->config, text);
        set_problem(m, text);
        if (m->attached && m->config.remove_on_stop) {
                if (m->changes)
                        take_away_all(m, m->changes);
                take_away_all(m, m->attachment.base);
                staging_close(&m->attachment.staging, true);
                (void) mount_close(&m->attachment.mount, m->config.target, true);
        }
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
        r = mirror_config_copy(config, &m->config);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Mirror *mirror_free(Mirror *m) {
        if (!m)
                return NULL;
        (void) sd_event_source_unref(m->timer);
        m->stage = stage_free(m->stage);
        look_done(&m->look);
        m->removal = plan_free(m->removal);
        m->changes = manifest_free(m->changes);
        m->source = manifest_free(m->source);
        (void) attachment_close(&m->attachment, &m->config, false); /* nothing is to go */
        m->journalfd = close_fd(m->journalfd);
        withheld_done(&m->withheld);
        told_done(&m->told);
        free(m->problem);
        free(m->refusal);
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
        if (report->flags & WATCH_EXHAUSTED && !m->exhausted) {
                m->exhausted = true;
                mirrorlog_unwatched(&m->config, 0);
        }
        if (report->flags & (WATCH_DIRTY | WATCH_RESYNC | WATCH_LOST))
                m->dirty = true;
        if (report->flags & (WATCH_ARMED | WATCH_EXHAUSTED | WATCH_LOST) && !m->armed) {
                m->armed = true;
                look(m);
        } else if (m->dirty && m->state == MIRROR_SETTLED && !m->lost)
                plan_timer(m, until_next_look(m));
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
                plan_timer(m, 0);
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
        const Manifest *base = m->state == MIRROR_STARTING || m->state == MIRROR_GONE || m->state == MIRROR_FAILED ? NULL
                               : m->attachment.base;
        MirrorStatus status = {
                .name = m->config.name, .state = m->state, .ready = m->ready,
                .done_bytes = atomic_load(&m->progress), .seen = atomic_load(&m->steps),
                .n_withheld = m->withheld.n, .withheld = m->withheld.n > 0 ? m->withheld.files[0].text : NULL,
                .n_left_out = m->n_left_out, .n_held = m->n_held, .problem = m->problem, .huge_bytes = m->huge_bytes,
                .measured_bytes = m->measured_bytes, .polling = is_polling(m),
        };

        status.life = status.done_bytes + status.seen;
        if (m->state == MIRROR_STAGING && m->look.plan)
                status.todo_bytes = m->look.plan->stage_bytes;
        if (m->stage)
                status.path = stage_current_path(m->stage);
        if (base) {
                status.files = manifest_files(base);
                status.bytes = manifest_bytes(base);
        }
        return status;
}
