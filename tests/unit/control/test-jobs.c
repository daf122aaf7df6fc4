/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Jobs: how many there may be, which end how, what clients see of them and for how long. */

#include "control/jobs.h"
#include "ground.h"
#include "bus-pair.h"
#include "live.h"
#include "live-files.h"

#include <sys/epoll.h>

enum { RUNNING_MAX = 64, KEPT = 16 };

static ControlJobs *jobs;
static Mirrors mirrors;
static unsigned n_collected;

/* Jobs of the live mirror, @n times. */
static void start_jobs(size_t n) {
        static Mirror *list[2];

        list[0] = list[1] = live_mirror;
        mirrors = (Mirrors){ .mirrors = list, .n = n };
        n_collected = 0;
        assert_int_equal(control_jobs_new(&jobs, &mirrors), 0);
}

static int end_jobs(void **state) {
        jobs = control_jobs_free(jobs);
        return teardown(state);
}

static int end_reloads(void **state) {
        (void) state;
        jobs = control_jobs_free(jobs);
        return 0;
}

#define ON_MIRROR(name) cmocka_unit_test_setup_teardown(name, setup, end_jobs)
#define OF_RELOADS(name) cmocka_unit_test_teardown(name, end_reloads)

static void on_ended(const ControlJob *job, void *userdata) {
        n_collected++;
        if (userdata)
                *(const ControlJob **) userdata = job;
}

static unsigned update(ControlState state, const char *failure) {
        return control_jobs_update(jobs, &state, failure);
}

static const ControlJob *reload(unsigned number) {
        const ControlJob *job = NULL;

        assert_int_equal(control_jobs_reload(jobs, number, &job), 0);
        return job;
}

static const ControlJob *operate(OperationKind kind, const ParsedName *names, size_t n) {
        _cleanup_(freep) char *refusal = NULL;
        const ControlJob *job = NULL;

        if (control_jobs_operate(jobs, kind, names, n, "test", &job, &refusal) != 0)
                fail_msg("refused: %s", refusal);
        return job;
}

static void assert_refused(OperationKind kind, const ParsedName *names, size_t n, const char *sentence) {
        _cleanup_(freep) char *refusal = NULL;
        const ControlJob *job = NULL;

        assert_int_equal(control_jobs_operate(jobs, kind, names, n, "test", &job, &refusal), CONTROL_JOB_REFUSED);
        assert_null(job);
        assert_string_equal(refusal, sentence);
        assert_int_equal(control_jobs_running(jobs), 0);
}

static bool is_over(void *userdata) {
        (void) update((ControlState){}, NULL);
        return !string_equal(control_job_result(userdata), "running");
}

/* Waits for the end: "done" or "failed", with a sentence in the report that has @part. */
static void assert_ends(const ControlJob *job, const char *result, const char *part) {
        bool found = false;

        live_wait(is_over, (void *) job, "the end of the job");
        for (char *const *text = control_job_report(job); text && *text; text++)
                found = found || strstr(*text, part);
        if (!found || !string_equal(control_job_result(job), result))
                fail_msg("%s: %s", control_job_result(job), control_job_report(job) ? *control_job_report(job) : "no report");
}

/* ---- reloads ---- */

static void a_job_is_running_until_its_reload_is_over(void **state) {
        const ControlJob *first, *second;

        (void) state;
        start_jobs(0);
        first = reload(3);
        second = reload(4);
        assert_int_equal(control_job_id(first), 1);
        assert_string_equal(control_job_path(second), "/io/shmstaged/job/2");
        assert_int_equal(update((ControlState){ .reloads = 2 }, NULL), 2);
        assert_string_equal(control_job_result(first), "running");
        assert_int_equal(update((ControlState){ .reloads = 3 }, NULL), 1);
        assert_string_equal(control_job_result(first), "done");
        assert_string_equal(control_job_result(second), "running");
}

static void a_reload_fails_with_the_errors_of_the_configuration(void **state) {
        char *errors[] = { (char *) "one", (char *) "two", NULL };
        const ControlJob *job;

        (void) state;
        start_jobs(0);
        job = reload(1);
        (void) update((ControlState){ .reloads = 1, .reload_errors = errors }, "a mirror failed");
        assert_string_equal(control_job_result(job), "failed");
        assert_string_equal(control_job_report(job)[0], "one");
        assert_string_equal(control_job_report(job)[1], "two");
}

static void a_reload_fails_with_a_mirror(void **state) {
        const ControlJob *job;

        (void) state;
        start_jobs(0);
        job = reload(1);
        (void) update((ControlState){ .reloads = 1 }, "a mirror failed");
        assert_string_equal(control_job_result(job), "failed");
        assert_string_equal(control_job_report(job)[0], "a mirror failed");
}

static void a_reload_fails_when_the_daemon_stops_before_it(void **state) {
        const ControlJob *job;

        (void) state;
        start_jobs(0);
        job = reload(1);
        (void) update((ControlState){ .stopping = true }, NULL);
        assert_string_equal(control_job_result(job), "failed");
        assert_string_equal(control_job_report(job)[0], "The daemon is stopping");
}

static void each_job_that_has_ended_is_collected_once(void **state) {
        const ControlJob *job, *collected = NULL;

        (void) state;
        start_jobs(0);
        (void) reload(2);
        job = reload(1);
        assert_false(control_jobs_have_changed(jobs));
        (void) update((ControlState){ .reloads = 1 }, NULL);
        assert_true(control_jobs_have_changed(jobs));
        control_jobs_collect(jobs, on_ended, &collected);
        assert_ptr_equal(collected, job);
        assert_false(control_jobs_have_changed(jobs));
        control_jobs_collect(jobs, on_ended, NULL);
        assert_int_equal(n_collected, 1);
}

static void so_many_jobs_may_run_and_no_more(void **state) {
        _cleanup_(freep) char *refusal = NULL;
        const ControlJob *job;

        (void) state;
        start_jobs(0);
        for (unsigned i = 0; i < RUNNING_MAX; i++) {
                assert_false(control_jobs_is_full(jobs));
                (void) reload(1 + i / (RUNNING_MAX / 2));
        }
        assert_true(control_jobs_is_full(jobs));
        assert_int_equal(control_jobs_reload(jobs, 3, &job), CONTROL_JOB_TOO_MANY);
        assert_int_equal(control_jobs_operate(jobs, OPERATION_SYNC, NULL, 0, "test", &job, &refusal), CONTROL_JOB_TOO_MANY);
        assert_int_equal(update((ControlState){ .reloads = 1 }, NULL), RUNNING_MAX / 2);
        assert_int_equal(control_job_id(reload(3)), RUNNING_MAX + 1);
}

/* ---- their objects ---- */

/* The state of a job as a client reads it; NULL if it has no object. */
static const char *read_state(BusPair *pair, unsigned id) {
        static char found[16];
        sd_bus_message *reply = NULL;
        char path[64];
        const char *value = NULL;

        (void) snprintf(path, sizeof(path), CONTROL_JOB_PATH "/%u", id);
        assert_true(sd_bus_call_method_async(pair->client, NULL, NULL, path, "org.freedesktop.DBus.Properties", "Get", bus_pair_keep_reply, &reply, "ss",
                                             "io.shmstaged.Job1", "State") >= 0);
        bus_pair_process(pair);
        assert_non_null(reply);
        if (sd_bus_message_is_method_error(reply, NULL) <= 0)
                assert_true(sd_bus_message_read(reply, "v", "s", &value) > 0);
        (void) snprintf(found, sizeof(found), "%s", value ? value : "");
        (void) sd_bus_message_unref(reply);
        return found[0] ? found : NULL;
}

static void the_last_that_have_ended_keep_their_objects(void **state) {
        BusPair pair;

        (void) state;
        start_jobs(0);
        bus_pair_init(&pair);
        assert_int_equal(control_jobs_register(jobs, pair.server), 0);
        (void) reload(99);
        for (unsigned i = 0; i < KEPT + 4; i++)
                (void) reload(1);
        (void) update((ControlState){ .reloads = 1 }, NULL);
        assert_string_equal(read_state(&pair, 2), "done"); /* until it is collected */
        control_jobs_collect(jobs, on_ended, NULL);
        assert_int_equal(n_collected, KEPT + 4);
        assert_string_equal(read_state(&pair, 1), "running"); /* however old it is */
        assert_null(read_state(&pair, 5));
        assert_string_equal(read_state(&pair, 6), "done");
        assert_string_equal(read_state(&pair, KEPT + 5), "done");
        bus_pair_done(&pair);
}

/* The paths of the jobs whose PropertiesChanged a client gets from control_jobs_emit(). */
static char emitted[256];

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        (void) userdata;
        (void) error;
        if (sd_bus_message_is_signal(message, "org.freedesktop.DBus.Properties", "PropertiesChanged") > 0)
                strcat(emitted, sd_bus_message_get_path(message) + strlen(CONTROL_JOB_PATH));
        return 0;
}

static const char *emit(BusPair *pair) {
        emitted[0] = '\0';
        control_jobs_emit(jobs, pair->server);
        bus_pair_process(pair);
        return emitted;
}

static void signals_are_for_jobs_that_have_changed_or_if_none_has_for_those_that_run(void **state) {
        BusPair pair;

        (void) state;
        start_jobs(0);
        bus_pair_init(&pair);
        assert_int_equal(control_jobs_register(jobs, pair.server), 0);
        assert_true(sd_bus_add_filter(pair.client, NULL, on_signal, NULL) >= 0);
        (void) reload(1);
        (void) reload(2);
        (void) reload(3);
        assert_null(read_state(&pair, 9)); /* it has authenticated */
        (void) update((ControlState){ .reloads = 1 }, NULL);
        assert_string_equal(emit(&pair), "/1");
        control_jobs_collect(jobs, on_ended, NULL);
        assert_string_equal(emit(&pair), "/3/2");
        bus_pair_done(&pair);
}

/* ---- operations ---- */

static void without_a_mirror_nothing_begins(void **state) {
        (void) state;
        start_jobs(0);
        assert_refused(OPERATION_SYNC, NULL, 0, "No mirror is configured");
}

static void a_job_has_the_sums_and_sentences_of_all_mirrors(void **state) {
        const ParsedName names[] = { { 0, (char *) "a" }, { 1, (char *) "b" } };
        const ControlJob *job;
        BusPair pair;

        (void) state;
        put_file("source/a", 100);
        put_file("source/b", 100);
        live_start("");
        live_settle();
        start_jobs(2);
        bus_pair_init(&pair);
        assert_int_equal(control_jobs_register(jobs, pair.server), 0);
        job = operate(OPERATION_RELEASE, names, 2);
        assert_string_equal(read_state(&pair, 1), "running");
        assert_ends(job, "done", "Freed 4K of RAM by releasing 'a'");
        assert_string_equal(control_job_report(job)[1], "Freed 4K of RAM by releasing 'b'");
        assert_string_equal(read_state(&pair, 1), "done");
        bus_pair_done(&pair);
}

static void a_mirror_that_is_named_and_refuses_makes_the_job_fail(void **state) {
        const ParsedName names[] = { { 0, (char *) "" }, { 1, (char *) "a" } };
        const ControlJob *job;

        (void) state;
        put_file("source/a", 100);
        live_start("");
        live_settle();
        start_jobs(2);
        job = operate(OPERATION_RELEASE, names, 2);
        assert_ends(job, "failed", "Freed 4K of RAM by releasing 'a'");
        assert_string_equal(control_job_report(job)[0], "Mirror 'm' cannot be released as a whole; specify NAMEs");
        assert_int_equal(control_jobs_running(jobs), 0);
}

static bool has_conflict(void *userdata) {
        (void) userdata;
        return status()->n_conflicts == 1;
}

static void without_names_a_mirror_with_nothing_to_do_is_no_failure_if_another_has(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=0\nWatchSource=no");
        live_settle();
        put_file("source/a", 11);
        put_file("mirror/a", 12);
        live_wait(has_conflict, NULL, "a conflict");
        start_jobs(2);
        assert_ends(operate(OPERATION_ACCEPT, NULL, 0), "done", "Accepted 'a'");
        assert_refused(OPERATION_ACCEPT, NULL, 0,
                       "Mirror 'm' has no conflicts and no deletions that were held back; specify NAMEs to accept withheld or rejected files. "
                       "Mirror 'm' has no conflicts and no deletions that were held back; specify NAMEs to accept withheld or rejected files");
}

static void a_mirror_named_as_a_whole_is_meant_whatever_else_is_named_there(void **state) {
        const ParsedName names[] = { { 0, (char *) "a" }, { 0, (char *) "" } };

        (void) state;
        put_file("source/a", 100);
        put_file("source/b", 100);
        live_start("");
        live_settle();
        start_jobs(1);
        assert_ends(operate(OPERATION_VERIFY, names, 2), "done", "2 files");
        assert_ends(operate(OPERATION_VERIFY, names, 1), "done", "1 file ");
}

static void a_job_of_a_mirror_that_was_removed_has_failed(void **state) {
        const ControlJob *job;

        (void) state;
        put_file("source/a", 100);
        live_start("");
        live_settle();
        start_jobs(1);
        job = operate(OPERATION_VERIFY, NULL, 0);
        mirrors.n = 0;
        assert_ends(job, "failed", "The mirror was removed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                OF_RELOADS(a_job_is_running_until_its_reload_is_over),
                OF_RELOADS(a_reload_fails_with_the_errors_of_the_configuration),
                OF_RELOADS(a_reload_fails_with_a_mirror),
                OF_RELOADS(a_reload_fails_when_the_daemon_stops_before_it),
                OF_RELOADS(each_job_that_has_ended_is_collected_once),
                OF_RELOADS(so_many_jobs_may_run_and_no_more),
                OF_RELOADS(the_last_that_have_ended_keep_their_objects),
                OF_RELOADS(signals_are_for_jobs_that_have_changed_or_if_none_has_for_those_that_run),
                OF_RELOADS(without_a_mirror_nothing_begins),
                ON_MIRROR(a_job_has_the_sums_and_sentences_of_all_mirrors),
                ON_MIRROR(a_mirror_that_is_named_and_refuses_makes_the_job_fail),
                ON_MIRROR(without_names_a_mirror_with_nothing_to_do_is_no_failure_if_another_has),
                ON_MIRROR(a_mirror_named_as_a_whole_is_meant_whatever_else_is_named_there),
                ON_MIRROR(a_job_of_a_mirror_that_was_removed_has_failed),
        };
        int failures;

        ground_enter();
        live_enter();
        failures = cmocka_run_group_tests(tests, NULL, NULL);
        live_leave();
        return failures;
}
