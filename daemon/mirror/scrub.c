/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The copies in RAM are read again. See mirror/scrub.h. */

#include "mirror/scrub-internal.h"

#include "base/array.h"

/* Changes made to a file before we were given a lease have been reported by then. */
#define VERDICT_USEC (USEC_PER_SEC)
/* Accuracy of the timer: a wake-up may be shared with others. */
#define ACCURACY_USEC (USEC_PER_SEC / 100)
/* A pass that is behind by more does not catch up, or it would read without a pause after it was held up. */
#define BEHIND_USEC (USEC_PER_SEC / 2)
/* Memory that fails does so in many files: so many of one pass are logged by name. */
enum { LINES_MAX = 20 };

static void go_on(Scrub *scrub);

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        go_on(userdata);
        return 0;
}

void scrub_init(Scrub *scrub) {
        scrub->log_limit.max = LINES_MAX;
        scrub->timer = (ClockTimer){
                .event = scrub->event, .handler = on_timer, .userdata = scrub, .accuracy_usec = ACCURACY_USEC
        };
}

static void drop_pass(Scrub *scrub) {
        scrub->pass = scrub_pass_free(scrub->pass);
        scrub_pass_finding_done(&scrub->finding);
        for (size_t i = 0; i < scrub->n_reported; i++)
                scrub_pass_finding_done(&scrub->reported[i]);
        free(scrub->reported);
        scrub->reported = NULL;
        scrub->n_reported = 0;
        scrub_writers_done(&scrub->writers);
}

void scrub_done(Scrub *scrub) {
        assert(!scrub->running);
        clock_timer_done(&scrub->timer);
        drop_pass(scrub);
        scrub->damaged = manifest_free(scrub->damaged);
        scrub->left = manifest_free(scrub->left);
        pathset_done(&scrub->names);
        pathset_done(&scrub->touched);
}

void scrub_stop(Scrub *scrub) {
        clock_timer_done(&scrub->timer);
        scrub->span_usec = 0;
        if (scrub->running) {
                scrub->gave_up = true;
                atomic_store(&scrub->cancel, true);
        } else
                drop_pass(scrub);
}

/* --- reading --- */

static void read_run(Job *job) {
        Scrub *scrub = (Scrub *) job;

        scrub->result = scrub_pass_read(scrub->pass, scrub->mirrorfd, scrub->slice, &scrub->cancel, &scrub->cost,
                                        &scrub->finding, &scrub->changed);
}

static void end_pass(Scrub *scrub) {
        scrub_log_suppressed(scrub);
        scrub->bytes = scrub_pass_bytes(scrub->pass);
        scrub->all_bytes += scrub->bytes;
        scrub_writers_end(&scrub->writers, scrub_pass_take_good(scrub->pass));
        scrub->pass = scrub_pass_free(scrub->pass);
}

/* The bytes of a stretch are read in the time that the rate gives them, counted from when it began: errors do not
 * add up. */
static void pay(Scrub *scrub) {
        uint64_t now = clock_now(scrub->event);

        scrub->stretch_cost += scrub->cost;
        scrub->next_usec =
                scrub->stretch_usec + (uint64_t) ((double) scrub->stretch_cost * USEC_PER_SEC / (double) scrub->rate);
        if (scrub->next_usec + BEHIND_USEC < now) {
                scrub->stretch_usec = scrub->next_usec = now;
                scrub->stretch_cost = 0;
        }
}

void scrub_job_ended(Scrub *scrub) {
        if (scrub->gave_up)
                drop_pass(scrub);
        scrub->gave_up = false;
        go_on(scrub);
        scrub->ended(scrub->userdata);
}

static void read_done(Job *job) {
        Scrub *scrub = (Scrub *) job;

        scrub->running = false;
        if (scrub->gave_up) {
                scrub_job_ended(scrub);
                return;
        }
        if (scrub->changed)
                scrub->survey(scrub->userdata);
        pay(scrub);
        if (scrub->result == SCRUB_PASS_FOUND) {
                scrub->n_found++;
                scrub->next_usec = clock_now(scrub->event) + VERDICT_USEC;
        } else if (scrub->result == 0)
                end_pass(scrub);
        else if (scrub->result < 0)
                drop_pass(scrub); /* memory ran out: the next pass finds it */
        go_on(scrub);
        if (!scrub->pass)
                scrub->ended(scrub->userdata);
}

static void read_on(Scrub *scrub) {
        scrub->mirrorfd = scrub->attachment->mount.fd;
        scrub->slice = scrub_pass_slice(scrub->rate);
        scrub->cost = 0;
        scrub->job = (Job){ .run = read_run, .done = read_done };
        scrub->running = true;
        atomic_store(&scrub->cancel, false);
        pool_submit(scrub->pool, &scrub->job);
}

/* One pass in each span, in its second half. */
static void begin_pass(Scrub *scrub) {
        uint64_t now = clock_now(scrub->event);

        scrub->due_usec = MAX(scrub->due_usec + scrub->span_usec, now + scrub->span_usec / 2);
        if (scrub_pass_new(&scrub->pass, scrub->attachment->base) < 0) {
                (void) clock_timer_set(&scrub->timer, scrub->due_usec);
                return;
        }
        scrub->rate = scrub_pass_rate(scrub_pass_bytes(scrub->pass), scrub->span_usec);
        scrub->stretch_usec = now;
        scrub->stretch_cost = 0;
        scrub_writers_begin(&scrub->writers, scrub->is_watched(scrub->userdata));
        read_on(scrub);
}

/* A finding of others has its turn when no other one waits to be judged. */
static void take_report(Scrub *scrub) {
        if (scrub->finding.entry.path || scrub->n_reported == 0)
                return;
        scrub->finding = scrub->reported[--scrub->n_reported];
        scrub->next_usec = MAX(scrub->next_usec, clock_now(scrub->event) + VERDICT_USEC);
}

/* When the next step is due. */
static uint64_t next_step(const Scrub *scrub) {
        return scrub->pass || scrub->finding.entry.path ? scrub->next_usec : scrub->due_usec;
}

/* The next step, if it is time. */
static void go_on(Scrub *scrub) {
        if (scrub->running)
                return;
        take_report(scrub);
        if (scrub->span_usec == 0 && !scrub->finding.entry.path)
                return;
        if (!scrub->may_run(scrub->userdata)) { /* scrub_update() comes when it may */
                if (scrub->pass)
                        scrub_pass_let_go(scrub->pass);
                return;
        }
        if (clock_now(scrub->event) < next_step(scrub)) {
                (void) clock_timer_set(&scrub->timer, next_step(scrub));
                return;
        }
        if (scrub->finding.entry.path) {
                scrub_judge(scrub);
                go_on(scrub);
                return;
        }
        if (scrub->pass)
                read_on(scrub);
        else
                begin_pass(scrub);
}

void scrub_report(Scrub *scrub, ScrubFinding *finding) {
        if (ARRAY_ROOM(scrub->reported, scrub->n_reported) < 0) {
                scrub_pass_finding_done(finding); /* the next pass finds it again */
                return;
        }
        scrub->reported[scrub->n_reported++] = *finding;
        *finding = (ScrubFinding){};
        go_on(scrub);
}

void scrub_note(Scrub *scrub, const WatchReport *report) {
        const PathSet reported = { .items = report->paths, .n = report->n_paths }; /* a view: sorted, each once */
        bool unnamed = report->flags & (WATCH_RESYNC | WATCH_LOST | WATCH_EXHAUSTED);

        if (scrub->span_usec > 0)
                scrub_writers_note(&scrub->writers, report);
        for (size_t i = 0; scrub->damaged && i < scrub->damaged->n_entries; i++)
                if (unnamed || pathset_covers(&reported, scrub->damaged->entries[i].path))
                        (void) pathset_add(&scrub->touched, scrub->damaged->entries[i].path);
        pathset_sort(&scrub->touched);
}

static void take_configuration(Scrub *scrub) {
        uint64_t span = scrub->config->scrub_usec;

        if (span == scrub->span_usec)
                return;
        scrub_stop(scrub);
        scrub->span_usec = span;
        scrub->due_usec = clock_now(scrub->event) + span / 2;
        if (span == 0) {
                scrub->bytes = 0;
                scrub->n_repaired = 0;
        }
}

void scrub_update(Scrub *scrub, LayoutKind layout) {
        scrub->layout = layout;
        scrub_note_repaired(scrub);
        take_configuration(scrub);
        go_on(scrub);
}
