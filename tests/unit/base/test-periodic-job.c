/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Background work that comes up again and again: when it runs, when it does not, and that it is never out twice. */

#include "base/periodic-job.h"
#include "ground.h"
#include "on-pool.h"

#include <pthread.h>

#define PAUSE (5 * USEC_PER_SEC / 1000)
#define LONG (3600 * USEC_PER_SEC)

typedef struct Rig {
        sd_event *event;
        PeriodicJob job;
        pthread_t loop;
        uint64_t again_usec; /* finish() plans the next run; UINT64_MAX: it does not */
        unsigned refusals;   /* so often it cannot run */
        unsigned n_prepared, n_worked, n_finished, n_enough;
        bool worked_elsewhere, finished_here;
        atomic_bool hold;    /* work() waits until it is released, or stopped */
        atomic_bool was_stopped;
} Rig;

static bool prepare(void *userdata) {
        Rig *rig = userdata;

        rig->n_prepared++;
        if (rig->refusals == 0)
                return true;
        rig->refusals--;
        return false;
}

static void work(void *userdata) {
        Rig *rig = userdata;

        rig->n_worked++;
        rig->worked_elsewhere = !pthread_equal(pthread_self(), rig->loop);
        while (atomic_load(&rig->hold) && !atomic_load(&rig->job.stop))
                (void) sched_yield();
        atomic_store(&rig->was_stopped, atomic_load(&rig->job.stop));
}

static void finish(void *userdata) {
        Rig *rig = userdata;

        rig->finished_here = pthread_equal(pthread_self(), rig->loop) && !rig->job.running;
        if (++rig->n_finished == rig->n_enough)
                assert_true(sd_event_exit(rig->event, 0) >= 0);
        else if (rig->again_usec != UINT64_MAX)
                periodic_job_plan(&rig->job, rig->again_usec);
}

static int setup(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        *state = rig;
        rig->loop = pthread_self();
        rig->n_enough = 1;
        rig->again_usec = UINT64_MAX;
        assert_true(sd_event_new(&rig->event) >= 0);
        rig->job = (PeriodicJob){ .event = rig->event, .prepare = prepare, .work = work, .finish = finish,
                                  .userdata = rig, .retry_usec = PAUSE, .accuracy_usec = 1 };
        assert_int_equal(pool_new(2, &rig->job.pool), 0);
        add_pool(rig->event, rig->job.pool);
        return 0;
}

static int teardown(void **state) {
        Rig *rig = *state;

        periodic_job_done(&rig->job);
        (void) pool_free(rig->job.pool);
        (void) sd_event_unref(rig->event);
        free(rig);
        return 0;
}

/* Until finish() was called often enough. */
static void loop(Rig *rig) {
        assert_int_equal(sd_event_loop(rig->event), 0);
}

static void on_demand_it_runs_at_once_on_a_worker_and_comes_back_to_the_loop(void **state) {
        Rig *rig = *state;

        assert_true(periodic_job_start(&rig->job));
        assert_true(rig->job.running);
        loop(rig);
        assert_int_equal(rig->n_worked, 1);
        assert_true(rig->worked_elsewhere);
        assert_true(rig->finished_here);
        assert_false(periodic_job_is_planned(&rig->job));
}

static void it_runs_after_the_pause_and_again_when_it_plans_itself(void **state) {
        Rig *rig = *state;
        uint64_t begun = clock_usec(CLOCK_MONOTONIC);

        rig->again_usec = PAUSE;
        rig->n_enough = 4;
        periodic_job_plan(&rig->job, PAUSE);
        assert_true(periodic_job_is_planned(&rig->job));
        assert_false(rig->job.running);
        loop(rig);
        assert_int_equal(rig->n_worked, 4);
        assert_true(clock_usec(CLOCK_MONOTONIC) - begun >= 4 * PAUSE);
}

static void it_is_never_out_twice(void **state) {
        Rig *rig = *state;

        atomic_store(&rig->hold, true);
        assert_true(periodic_job_start(&rig->job));
        assert_false(periodic_job_start(&rig->job));
        assert_int_equal(rig->n_prepared, 1); /* what the worker has is not touched */
        periodic_job_plan(&rig->job, 0);
        assert_true(sd_event_run(rig->event, LONG) > 0); /* the timer, in the middle of it */
        assert_int_equal(rig->n_prepared, 1);
        assert_true(periodic_job_is_planned(&rig->job)); /* it comes up later instead */
        atomic_store(&rig->hold, false);
        rig->n_enough = 2;
        loop(rig);
        assert_int_equal(rig->n_worked, 2);
}

static void a_planned_run_that_cannot_start_is_tried_again(void **state) {
        Rig *rig = *state;

        rig->refusals = 3;
        assert_false(periodic_job_start(&rig->job)); /* on demand it is not */
        assert_false(periodic_job_is_planned(&rig->job));
        periodic_job_plan(&rig->job, 0);
        loop(rig);
        assert_int_equal(rig->n_prepared, 4);
        assert_int_equal(rig->n_worked, 1);
}

static void a_later_plan_replaces_an_earlier_one(void **state) {
        Rig *rig = *state;

        periodic_job_plan(&rig->job, LONG);
        periodic_job_plan(&rig->job, PAUSE);
        loop(rig);
        assert_int_equal(rig->n_worked, 1);
        assert_false(periodic_job_is_planned(&rig->job));
        periodic_job_plan(&rig->job, PAUSE);
        periodic_job_plan(&rig->job, UINT64_MAX);
        assert_false(periodic_job_is_planned(&rig->job));
}

static void who_is_asked_to_stop_sees_it_and_the_next_run_does_not(void **state) {
        Rig *rig = *state;

        atomic_store(&rig->hold, true);
        rig->n_enough = 2;
        assert_true(periodic_job_start(&rig->job));
        periodic_job_stop(&rig->job);
        while (rig->n_finished == 0)
                assert_true(sd_event_run(rig->event, LONG) > 0);
        assert_true(atomic_load(&rig->was_stopped));
        atomic_store(&rig->hold, false);
        assert_true(periodic_job_start(&rig->job));
        loop(rig);
        assert_false(atomic_load(&rig->was_stopped));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(on_demand_it_runs_at_once_on_a_worker_and_comes_back_to_the_loop),
                CASE(it_runs_after_the_pause_and_again_when_it_plans_itself),
                CASE(it_is_never_out_twice),
                CASE(a_planned_run_that_cannot_start_is_tried_again),
                CASE(a_later_plan_replaces_an_earlier_one),
                CASE(who_is_asked_to_stop_sees_it_and_the_next_run_does_not),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
