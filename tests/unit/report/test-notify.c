/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a service manager hears, on a real notification socket: each thing once, and more time only for what moves. */

#include "ground.h"
#include "report/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

static int manager_fd;
static Notify notify;

static int setup(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) ground_setup(state);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", ground_base);
        manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(manager_fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
        notify_init(&notify);
        notify.terminal = false; /* wherever the tests are run from */
        return 0;
}

static int teardown(void **state) {
        notify_done(&notify);
        (void) close(manager_fd);
        (void) unsetenv("NOTIFY_SOCKET");
        return ground_teardown(state);
}

/* The next message, "" if there is none. */
static const char *heard(void) {
        static char message[4096];
        ssize_t n = recv(manager_fd, message, sizeof(message) - 1, 0);

        message[n > 0 ? n : 0] = '\0';
        return message;
}

static void tick(MirrorStatus *m, bool waited) {
        notify_status(&notify, m, 1, waited);
}

static void a_status_is_said_when_it_changes(void **state) {
        MirrorStatus m = { .state = MIRROR_SCANNING, .seen = 5 };

        (void) state;
        tick(&m, false);
        assert_string_equal(heard(), "STATUS=Scanning: 5 entries");
        tick(&m, false);
        assert_string_equal(heard(), "");
        m.seen = 6;
        tick(&m, false);
        assert_string_equal(heard(), "STATUS=Scanning: 6 entries");
        assert_string_equal(heard(), "");
}

static void more_time_is_requested_only_while_there_is_progress(void **state) {
        MirrorStatus m = { .state = MIRROR_SCANNING };

        (void) state;
        tick(&m, true);
        assert_string_equal(heard(), "STATUS=Scanning: 0 entries"); /* no progress yet */
        m.life = 1;
        tick(&m, true);
        assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=30000000");
        tick(&m, true);
        assert_string_equal(heard(), "");
        m.life = 2;
        tick(&m, false); /* no timeout runs */
        assert_string_equal(heard(), "");
        m.life = 3;
        tick(&m, true);
        assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=30000000");
}

static void more_of_it_is_requested_while_something_is_only_in_ram(void **state) {
        MirrorStatus m = { .state = MIRROR_SAVING, .n_unsaved = 1, .unsaved_bytes = 5 };

        (void) state;
        tick(&m, true);
        assert_string_equal(heard(), "STATUS=Saving before the stop: 1 remaining (5B)");
        m.life = 1;
        tick(&m, true);
        assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=120000000");
        tick(&m, true);
        assert_string_equal(heard(), "");
}

static void a_stall_is_noticed_and_ends_with_the_next_move(void **state) {
        MirrorStatus m = { .state = MIRROR_SCANNING, .life = 1 };

        (void) state;
        tick(&m, false);
        assert_true(notify_stalled_usec(&notify) < USEC_PER_SEC);
        notify.progress_usec -= 7 * USEC_PER_SEC; /* as if so much time had passed */
        (void) heard();
        tick(&m, false);
        assert_non_null(strstr(heard(), "no progress for 7."));
        m.life = 2;
        tick(&m, false);
        assert_string_equal(heard(), "STATUS=Scanning: 0 entries");
}

static void the_rate_is_that_of_the_mirrors(void **state) {
        MirrorStatus m = { .state = MIRROR_STAGING, .todo_bytes = 100 * MIB, .done_bytes = 10 * MIB };

        (void) state;
        tick(&m, false);
        assert_string_equal(heard(), "STATUS=Staging: 10% (10M of 100M)"); /* too early for a rate */
        assert_int_equal(notify_interval_usec(&notify), USEC_PER_SEC / 5);
        notify.quick_usec -= 10 * USEC_PER_SEC;
        m.done_bytes = 60 * MIB;
        m.rate = 5 * MIB;
        m.life++;
        tick(&m, false);
        assert_non_null(strstr(heard(), "60M of 100M, "));
        assert_non_null(strstr(notify.status, "5M/s, 8.0s left"));
        assert_int_equal(notify_interval_usec(&notify), USEC_PER_SEC);
        m.rate = 0;
        m.done_bytes = m.todo_bytes = 70 * MIB;
        tick(&m, false);
        assert_null(strstr(notify.status, "/s"));
}

static void ready_and_stopping_are_said_as_they_are(void **state) {
        unsigned long long stamp = 0;
        struct timespec now;

        (void) state;
        notify_ready();
        assert_string_equal(heard(), "READY=1");
        notify.quick_usec = 0;
        notify_stopping(&notify);
        assert_string_equal(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000");
        assert_int_equal(notify_interval_usec(&notify), USEC_PER_SEC / 5);
        notify_reloading();
        assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu", &stamp), 1);
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(stamp <= (unsigned long long) now.tv_sec * 1000000 + 999999 && stamp + 10000000 > (unsigned long long) now.tv_sec * 1000000);
}

static void a_failure_is_the_last_word(void **state) {
        MirrorStatus m = { .state = MIRROR_SCANNING };

        (void) state;
        tick(&m, false);
        (void) heard();
        notify_failure(&notify, "The source is gone", ENOENT);
        assert_string_equal(heard(), "STATUS=Failed: The source is gone\nERRNO=2");
        notify_failure(&notify, "Out of memory", 0);
        assert_string_equal(heard(), "STATUS=Failed: Out of memory");
}

static void without_a_service_manager_nothing_happens(void **state) {
        MirrorStatus m = { .state = MIRROR_SCANNING };

        (void) state;
        (void) unsetenv("NOTIFY_SOCKET");
        tick(&m, true);
        notify_ready();
        assert_string_equal(heard(), "");
        assert_string_equal(notify.status, "Scanning: 0 entries");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_status_is_said_when_it_changes),
                CASE(more_time_is_requested_only_while_there_is_progress),
                CASE(more_of_it_is_requested_while_something_is_only_in_ram),
                CASE(a_stall_is_noticed_and_ends_with_the_next_move),
                CASE(the_rate_is_that_of_the_mirrors),
                CASE(ready_and_stopping_are_said_as_they_are),
                CASE(a_failure_is_the_last_word),
                CASE(without_a_service_manager_nothing_happens),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
