/* SPDX-License-Identifier: GPL-2.0-or-later */

/* MetricsFile=: that it is written once at a time, wherever it is to be by then. */

#include "base/text.h"
#include "ground.h"
#include "on-pool.h"
#include "report/metrics-file.h"

#include <stdatomic.h>

/* Another job of the one worker: while it waits, what was submitted after it is out. */
typedef struct Hold {
        Job job;
        atomic_bool released;
} Hold;

typedef struct Rig {
        MetricsFile file;
        Hold hold;
        unsigned n_rendered;
} Rig;

static char *render(void *userdata) {
        return text_format("version %u\n", ++((Rig *) userdata)->n_rendered);
}

static void ended(void *userdata) {
        (void) userdata;
}

static void wait_for_release(Job *job) {
        while (!atomic_load(&((Hold *) job)->released))
                (void) usleep(1000);
}

static void forget(Job *job) {
        (void) job;
}

static int setup(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        (void) ground_setup(state);
        *state = rig;
        rig->file = (MetricsFile){ .render = render, .ended = ended, .userdata = rig };
        assert_true(sd_event_new(&rig->file.event) >= 0);
        assert_int_equal(pool_new(1, &rig->file.pool), 0);
        add_pool(rig->file.event, rig->file.pool);
        rig->hold.job = (Job){ .run = wait_for_release, .done = forget };
        return 0;
}

static int teardown(void **state) {
        Rig *rig = *state;

        metrics_file_done(&rig->file);
        (void) pool_free(rig->file.pool);
        (void) sd_event_unref(rig->file.event);
        free(rig);
        return ground_teardown(state);
}

static void set_path(Rig *rig, const char *name) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", ground_base, name);
        assert_int_equal(metrics_file_set_path(&rig->file, path), 0);
}

static void run_for(Rig *rig, uint64_t usec) {
        uint64_t end = clock_usec(CLOCK_MONOTONIC) + usec;

        while (clock_usec(CLOCK_MONOTONIC) < end)
                assert_true(sd_event_run(rig->file.event, 10000) >= 0);
}

static void finish(Rig *rig) {
        while (rig->file.running)
                assert_true(sd_event_run(rig->file.event, UINT64_MAX) >= 0);
}

static void assert_says(const char *name, const char *text) {
        assert_content(name, text, strlen(text));
}

static void what_changes_is_written_after_a_pause(void **state) {
        Rig *rig = *state;

        set_path(rig, "a");
        finish(rig);
        assert_says("a", "version 1\n");
        metrics_file_touch(&rig->file);
        assert_false(rig->file.running);
        rig->file.due_usec = clock_now(rig->file.event) + USEC_PER_SEC / 20;
        metrics_file_touch(&rig->file);
        run_for(rig, USEC_PER_SEC / 2);
        finish(rig);
        assert_says("a", "version 2\n");
}

/* The pause of the old path ends while the job that writes to the new one is out. */
static void a_file_that_moves_is_not_written_twice_at_a_time(void **state) {
        Rig *rig = *state;

        set_path(rig, "a");
        finish(rig);
        rig->file.due_usec = clock_now(rig->file.event) + USEC_PER_SEC / 20;
        metrics_file_touch(&rig->file);
        pool_submit(rig->file.pool, &rig->hold.job);
        set_path(rig, "b");
        assert_true(rig->file.running);
        run_for(rig, USEC_PER_SEC / 2);
        assert_true(rig->file.running);
        assert_int_equal(rig->n_rendered, 2);
        atomic_store(&rig->hold.released, true);
        finish(rig);
        assert_says("b", "version 2\n");
        assert_false(is_there("a"));
        assert_true(rig->file.due_usec > clock_now(rig->file.event)); /* after a pause again */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(what_changes_is_written_after_a_pause, setup, teardown),
                cmocka_unit_test_setup_teardown(a_file_that_moves_is_not_written_twice_at_a_time, setup, teardown),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
