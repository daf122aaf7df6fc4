/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The rate of bytes a second, for any number of threads and any size of pieces; and when a wait ends. */

#include "base/ratelimit.h"
#include "ground.h"

#include <pthread.h>
#include <time.h>

static double now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static RateLimit *limit_of(uint64_t bytes_per_sec) {
        RateLimit *limit;

        assert_int_equal(ratelimit_new(bytes_per_sec, &limit), 0);
        return limit;
}

/* What one thread asks for, and how it fared. */
typedef struct Reader {
        pthread_t thread;
        RateLimit *limit;
        const atomic_bool *cancel;
        uint64_t piece, n;
        int result;
        double ended;
} Reader;

static void *read_all(void *userdata) {
        Reader *reader = userdata;

        for (uint64_t i = 0; i < reader->n && reader->result == 0; i++)
                reader->result = ratelimit_take(reader->limit, reader->piece, reader->cancel);
        reader->ended = now();
        return NULL;
}

static void start(Reader *reader) {
        assert_int_equal(pthread_create(&reader->thread, NULL, read_all, reader), 0);
}

/* How long it takes until all of @n_threads have had their @n pieces. */
static double time_of(uint64_t rate, unsigned n_threads, uint64_t n, uint64_t piece) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(rate);
        Reader readers[8] = {};
        double begun = now();

        for (unsigned i = 0; i < n_threads; i++) {
                readers[i] = (Reader){ .limit = limit, .piece = piece, .n = n };
                start(&readers[i]);
        }
        for (unsigned i = 0; i < n_threads; i++) {
                assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
                assert_int_equal(readers[i].result, 0);
        }
        return now() - begun;
}

/* A machine that runs other tests beside may give the processor back late. */
static double patience(void) {
        const char *text = getenv("SHMSTAGED_TEST_PATIENCE");

        return text ? MAX(1, 2 * atof(text)) : 1;
}

/* Never faster than the limit and its burst of 50 ms; slower only by what a busy machine adds at the very end. */
static void assert_within(double took, double wanted) {
        print_message("took %.3f s, wanted %.3f s\n", took, wanted);
        assert_true(took >= wanted * 0.95);
        assert_true(took <= wanted * 1.05 + 0.25 * patience());
}

static void the_rate_is_kept_by_one_thread(void **state) {
        (void) state;
        assert_within(time_of(100 * MIB, 1, 75, 4 * MIB), 3);
}

static void the_rate_is_kept_by_eight_threads_together(void **state) {
        (void) state;
        assert_within(time_of(100 * MIB, 8, 25, MIB), 2);
}

static void tiny_requests_add_up(void **state) {
        (void) state;
        assert_within(time_of(10 * MIB, 1, 20480, KIB), 2);
        assert_within(time_of(1000000, 8, 25000, 10), 2);
}

static void requests_far_beyond_the_limit_wait_their_time(void **state) {
        (void) state;
        assert_within(time_of(GIB, 1, 1, 2 * GIB), 2);
        assert_within(time_of(1000000, 8, 1, 250000), 2);
}

/* What the threads do between the requests costs nothing, as long as the limit is the slowest. A busy machine can
 * wake us later than the limit would have for a while; if it was lost each time, none of the tries comes out in
 * time. */
static void time_spent_reading_is_not_lost(void **state) {
        const struct timespec reading = { .tv_nsec = 20 * 1000 * 1000 };
        double took = 100;

        (void) state;
        for (unsigned i = 0; i < 5 && took > 1.1; i++) {
                _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(100 * MIB);
                double begun = now();

                for (unsigned k = 0; k < 25; k++) {
                        assert_int_equal(ratelimit_take(limit, 4 * MIB, NULL), 0); /* 40 ms */
                        (void) nanosleep(&reading, NULL);
                }
                took = now() - begun;
                print_message("took %.3f s, wanted 1 s, and 1.5 s if reading costs time\n", took);
                assert_true(took >= 0.95);
        }
        assert_true(took <= 1.1);
}

static void unused_time_allows_a_burst_of_50_ms_and_no_more(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(10 * MIB);
        const struct timespec idle = { .tv_nsec = 500 * 1000 * 1000 };
        double begun, took = 1;

        (void) state;
        for (unsigned i = 0; i < 5 && took >= 0.03; i++) { /* a busy machine may take the processor away once */
                (void) nanosleep(&idle, NULL);
                begun = now();
                assert_int_equal(ratelimit_take(limit, 512 * KIB, NULL), 0); /* 50 ms */
                took = now() - begun;
        }
        assert_true(took < 0.03);
        assert_int_equal(ratelimit_take(limit, 5 * MIB, NULL), 0);
        assert_within(now() - begun, 0.5);
}

static void nothing_is_given_in_advance_at_the_beginning(void **state) {
        (void) state;
        assert_within(time_of(10 * MIB, 1, 1, 5 * MIB), 0.5);
}

static void no_limit_never_waits(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(0);
        double begun = now();

        (void) state;
        assert_false(ratelimit_is_on(NULL));
        assert_false(ratelimit_is_on(limit));
        assert_int_equal(ratelimit_take(NULL, UINT64_MAX, NULL), 0);
        assert_int_equal(ratelimit_take(limit, UINT64_MAX, NULL), 0);
        assert_int_equal(ratelimit_piece(NULL, UINT64_MAX), UINT64_MAX);
        assert_int_equal(ratelimit_piece(limit, 12345), 12345);
        assert_true(now() - begun < 0.5);
}

static void the_end_is_heard_at_once_and_gives_back_what_was_not_read(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(1000);
        const struct timespec while_they_sleep = { .tv_nsec = 200 * 1000 * 1000 };
        atomic_bool cancel = false;
        Reader readers[8];
        double begun;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
                readers[i] = (Reader){ .limit = limit, .cancel = &cancel, .piece = UINT64_MAX, .n = 1 };
                start(&readers[i]);
        }
        (void) nanosleep(&while_they_sleep, NULL);
        begun = now();
        atomic_store(&cancel, true);
        for (size_t i = 0; i < ELEMENTSOF(readers); i++) {
                assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
                assert_int_equal(readers[i].result, RATELIMIT_CANCELLED);
                print_message("heard after %.3f s\n", readers[i].ended - begun);
                assert_true(readers[i].ended - begun < 1); /* without it, after centuries */
        }
        begun = now();
        assert_int_equal(ratelimit_take(limit, 500, NULL), 0);
        assert_true(now() - begun < 2); /* what was not given back would take as long */
}

static void another_limit_is_heard_by_those_who_sleep(void **state) {
        static const uint64_t limits[] = { 0, 100 * MIB };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(1000);
                const struct timespec while_it_sleeps = { .tv_nsec = 100 * 1000 * 1000 };
                Reader reader = { .limit = limit, .piece = 20 * MIB, .n = 1 };
                double begun;

                start(&reader);
                (void) nanosleep(&while_it_sleeps, NULL);
                begun = now();
                ratelimit_set(limit, limits[i]);
                assert_int_equal(pthread_join(reader.thread, NULL), 0);
                assert_within(reader.ended - begun, limits[i] ? 0.2 : 0);
        }
}

static void a_lower_limit_keeps_what_was_paid_for(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(10 * MIB);
        const struct timespec half = { .tv_nsec = 500 * 1000 * 1000 };
        Reader reader = { .limit = limit, .piece = 10 * MIB, .n = 1 };
        double begun = now();

        (void) state;
        start(&reader);
        (void) nanosleep(&half, NULL);
        ratelimit_set(limit, 5 * MIB); /* half is paid for, the other half takes twice as long */
        assert_int_equal(pthread_join(reader.thread, NULL), 0);
        assert_within(reader.ended - begun, 1.5);
}

static void a_limit_that_is_set_late_gives_no_credit_for_the_time_before(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(0);
        const struct timespec before = { .tv_nsec = 300 * 1000 * 1000 };
        double begun;

        (void) state;
        assert_int_equal(ratelimit_take(limit, GIB, NULL), 0);
        (void) nanosleep(&before, NULL);
        ratelimit_set(limit, 10 * MIB);
        assert_true(ratelimit_is_on(limit));
        begun = now();
        assert_int_equal(ratelimit_take(limit, 5 * MIB, NULL), 0);
        assert_within(now() - begun, 0.5);
}

static void a_piece_is_what_the_limit_gives_in_50_ms(void **state) {
        static const struct { uint64_t rate, bytes, piece; } cases[] = {
                { 100 * 1000 * 1000, 4 * MIB, 4 * MIB },
                { 40 * MIB, 4 * MIB, 2 * MIB },
                { 1000 * 1000, 4 * MIB, 48 * KIB },
                { 1000, 4 * MIB, 4 * KIB },
                { 1000, 100, 100 },
                { 1000, 0, 0 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(cases[i].rate);

                assert_int_equal(ratelimit_piece(limit, cases[i].bytes), cases[i].piece);
        }
}

static void nothing_costs_nothing(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = limit_of(1);
        double begun = now();

        (void) state;
        for (unsigned i = 0; i < 100000; i++)
                assert_int_equal(ratelimit_take(limit, 0, NULL), 0);
        assert_true(now() - begun < 0.5);
        assert_null(ratelimit_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_rate_is_kept_by_one_thread),
                cmocka_unit_test(the_rate_is_kept_by_eight_threads_together),
                cmocka_unit_test(tiny_requests_add_up),
                cmocka_unit_test(requests_far_beyond_the_limit_wait_their_time),
                cmocka_unit_test(time_spent_reading_is_not_lost),
                cmocka_unit_test(unused_time_allows_a_burst_of_50_ms_and_no_more),
                cmocka_unit_test(nothing_is_given_in_advance_at_the_beginning),
                cmocka_unit_test(no_limit_never_waits),
                cmocka_unit_test(the_end_is_heard_at_once_and_gives_back_what_was_not_read),
                cmocka_unit_test(another_limit_is_heard_by_those_who_sleep),
                cmocka_unit_test(a_lower_limit_keeps_what_was_paid_for),
                cmocka_unit_test(a_limit_that_is_set_late_gives_no_credit_for_the_time_before),
                cmocka_unit_test(a_piece_is_what_the_limit_gives_in_50_ms),
                cmocka_unit_test(nothing_costs_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
