/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Calls of Wait(): what answers them, with what, and how many may wait. */

#include "control/wait.h"
#include "ground.h"
#include "bus-pair.h"
#include "live.h"
#include "live-files.h"

#include <sys/epoll.h>

enum { PER_CALLER = 16, ALL = 512 };

#define ERROR "io.shmstaged.Error."

static ControlWaits *waits;
static Mirrors mirrors;
static BusPair pair;
static bool trusted;

/* Every call is one of Wait(). */
static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        (void) userdata;
        return sd_bus_message_is_method_call(call, NULL, "Wait") > 0 ? control_waits_add(waits, call, trusted, error) : 0;
}

/* With the live mirror, @n_mirrors times. */
static void start_waits(size_t n_mirrors) {
        static Mirror *list[2];

        list[0] = list[1] = live_mirror;
        mirrors = (Mirrors){ .mirrors = list, .n = n_mirrors };
        trusted = true;
        assert_int_equal(control_waits_new(&waits, &mirrors), 0);
        bus_pair_init(&pair);
        assert_true(sd_bus_add_filter(pair.server, NULL, on_call, NULL) >= 0);
}

static int end_waits(void **state) {
        (void) state;
        waits = control_waits_free(waits);
        bus_pair_done(&pair);
        return 0;
}

static int end_mirror(void **state) {
        (void) end_waits(state);
        return teardown(state);
}

#define ON_MIRROR(name) cmocka_unit_test_setup_teardown(name, setup, end_mirror)
#define WITHOUT_MIRROR(name) cmocka_unit_test_teardown(name, end_waits)

/* Calls Wait() with up to two names, as a caller of that name on a bus; the reply, if there is one yet, comes to *reply. */
static void wait_as(const char *sender, const char *first, const char *second, sd_bus_message **reply) {
        sd_bus_message *call = NULL;

        assert_true(sd_bus_message_new_method_call(pair.client, &call, NULL, "/io/shmstaged", "io.shmstaged.Manager1", "Wait") >= 0);
        assert_true(!sender || sd_bus_message_set_sender(call, sender) >= 0);
        assert_true(sd_bus_message_open_container(call, 'a', "ay") >= 0);
        assert_true(!first || sd_bus_message_append_array(call, 'y', first, strlen(first)) >= 0);
        assert_true(!second || sd_bus_message_append_array(call, 'y', second, strlen(second)) >= 0);
        assert_true(sd_bus_message_close_container(call) >= 0);
        assert_true(sd_bus_call_async(pair.client, NULL, call, bus_pair_keep_reply, reply, 0) >= 0);
        (void) sd_bus_message_unref(call);
        bus_pair_process(&pair);
}

static void update(ControlState state, const char *failure) {
        while (control_waits_update(waits, &state, failure)) /* it has no time left */
                ;
        bus_pair_process(&pair);
}

/* Frees it. @error: NULL: it is no error. */
static void assert_reply(sd_bus_message *reply, const char *error, const char *part) {
        const sd_bus_error *found;

        assert_non_null(reply);
        found = sd_bus_message_get_error(reply);
        if (!error && found)
                fail_msg("%s: %s", found->name, found->message);
        if (error) {
                assert_non_null(found);
                assert_string_equal(found->name, error);
                if (!strstr(found->message, part))
                        fail_msg("'%s' does not say '%s'", found->message, part);
        }
        (void) sd_bus_message_unref(reply);
}

/* ---- without names ---- */

static void without_names_it_is_answered_when_the_daemon_is_ready(void **state) {
        sd_bus_message *reply = NULL;

        (void) state;
        start_waits(0);
        wait_as(NULL, NULL, NULL, &reply);
        update((ControlState){}, NULL);
        assert_null(reply);
        assert_int_equal(control_waits_count(waits), 1);
        update((ControlState){ .ready = true }, NULL);
        assert_reply(reply, NULL, NULL);
        assert_int_equal(control_waits_count(waits), 0);
}

static void without_names_it_fails_with_a_mirror(void **state) {
        sd_bus_message *reply = NULL;

        (void) state;
        start_waits(0);
        wait_as(NULL, NULL, NULL, &reply);
        update((ControlState){}, "the mirror has failed");
        assert_reply(reply, ERROR "NeverReady", "the mirror has failed");
}

static void a_daemon_that_stops_answers_all(void **state) {
        sd_bus_message *first = NULL, *second = NULL;

        (void) state;
        start_waits(0);
        wait_as(NULL, NULL, NULL, &first);
        wait_as(NULL, "a", NULL, &second);
        update((ControlState){ .ready = true, .stopping = true }, NULL);
        assert_reply(first, ERROR "Stopping", "The daemon is stopping");
        assert_reply(second, ERROR "Stopping", "The daemon is stopping");
}

/* ---- with names ---- */

static void it_is_answered_when_all_names_are_ready(void **state) {
        sd_bus_message *reply = NULL;

        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 20 * MIB);
        live_start("BandwidthLimit=10M\nPriority=a");
        live_wait(live_is_planned, NULL, "a plan");
        start_waits(1);
        wait_as(NULL, "a", "b", &reply);
        assert_true(mirror_fits(live_mirror));
        mirror_proceed(live_mirror);
        wait_state("a", FILE_STAGED);
        update((ControlState){}, NULL);
        assert_null(reply);
        mirror_set_limit(live_mirror, UINT64_MAX);
        live_wait(live_is_settled, NULL, "settled");
        update((ControlState){}, NULL);
        assert_reply(reply, NULL, NULL);
}

static void a_name_that_will_not_be_ready_is_an_error_with_the_reason(void **state) {
        sd_bus_message *never = NULL, *unknown = NULL;

        (void) state;
        make_directory("source/blobs");
        put_file("source/a.gguf", 10);
        put_file("source/blobs/sha256-1" ZEROS "1", 10);
        live_start("Layout=plain");
        live_settle();
        start_waits(1);
        wait_as(NULL, "a.gguf", "blobs", &never);
        wait_as(NULL, "nothing", NULL, &unknown);
        update((ControlState){}, NULL);
        assert_reply(never, ERROR "NeverReady", "'blobs' will not become ready as things are. 'blobs/sha256-1");
        assert_reply(unknown, ERROR "NeverReady", "'nothing' will not become ready");
}

static void a_name_that_was_not_found_yet_is_waited_for_until_the_first_scan_is_over(void **state) {
        sd_bus_message *reply = NULL;

        (void) state;
        put_file("source/a", 10);
        live_start("");
        start_waits(1);
        wait_as(NULL, "a", NULL, &reply);
        update((ControlState){}, NULL);
        assert_null(reply);
        live_settle();
        update((ControlState){}, NULL);
        assert_reply(reply, NULL, NULL);
}

static void a_name_is_not_refused_before_every_mirror_was_scanned(void **state) {
        sd_bus_message *reply = NULL;

        (void) state;
        put_file("source/a", 10);
        live_start("");
        start_waits(2);
        wait_as(NULL, "a", NULL, &reply);
        update((ControlState){}, NULL);
        assert_null(reply);
        live_settle();
        update((ControlState){}, NULL);
        assert_reply(reply, ERROR "NeverReady", "'a' is in mirror 'm' and in 'm'");
}

/* ---- how many ---- */

static void a_caller_may_have_so_many_and_others_have_theirs(void **state) {
        sd_bus_message *ignored[PER_CALLER] = {}, *refused = NULL, *other = NULL;

        (void) state;
        start_waits(0);
        for (size_t i = 0; i < PER_CALLER; i++)
                wait_as(":1.1", NULL, NULL, &ignored[i]);
        wait_as(":1.1", NULL, NULL, &refused);
        assert_reply(refused, ERROR "TooMany", "Too many");
        wait_as(":1.2", NULL, NULL, &other);
        assert_null(other);
        assert_int_equal(control_waits_count(waits), PER_CALLER + 1);
        assert_int_equal(control_waits_count_of(waits, pair.server), PER_CALLER + 1);
        control_waits_forget(waits, pair.client);
        assert_int_equal(control_waits_count(waits), PER_CALLER + 1);
        control_waits_forget(waits, pair.server);
        assert_int_equal(control_waits_count(waits), 0);
        update((ControlState){ .ready = true }, NULL);
        assert_null(other); /* it is forgotten */
}

static void half_of_the_places_are_kept_for_trusted_callers(void **state) {
        sd_bus_message *ignored[ALL] = {}, *refused = NULL;
        char sender[16];

        (void) state;
        start_waits(0);
        trusted = false;
        for (size_t i = 0; i < ALL / 2; i++) {
                (void) snprintf(sender, sizeof(sender), ":1.%zu", i);
                wait_as(sender, NULL, NULL, &ignored[i]);
        }
        wait_as(":1.1000", NULL, NULL, &refused);
        assert_reply(refused, ERROR "TooMany", "Too many");
        trusted = true;
        wait_as(":1.1000", NULL, NULL, &ignored[ALL / 2]);
        assert_int_equal(control_waits_count(waits), ALL / 2 + 1);
        update((ControlState){ .ready = true }, NULL);
        assert_int_equal(control_waits_count(waits), 0);
        for (size_t i = 0; i <= ALL / 2; i++)
                assert_reply(ignored[i], NULL, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WITHOUT_MIRROR(without_names_it_is_answered_when_the_daemon_is_ready),
                WITHOUT_MIRROR(without_names_it_fails_with_a_mirror),
                WITHOUT_MIRROR(a_daemon_that_stops_answers_all),
                ON_MIRROR(it_is_answered_when_all_names_are_ready),
                ON_MIRROR(a_name_that_will_not_be_ready_is_an_error_with_the_reason),
                ON_MIRROR(a_name_that_was_not_found_yet_is_waited_for_until_the_first_scan_is_over),
                ON_MIRROR(a_name_is_not_refused_before_every_mirror_was_scanned),
                WITHOUT_MIRROR(a_caller_may_have_so_many_and_others_have_theirs),
                WITHOUT_MIRROR(half_of_the_places_are_kept_for_trusted_callers),
        };
        int failures;

        ground_enter();
        live_enter();
        failures = cmocka_run_group_tests(tests, NULL, NULL);
        live_leave();
        return failures;
}
