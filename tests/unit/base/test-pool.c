/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Letters and workers: nothing is lost, nothing is done twice, and done() is called by whoever dispatches. */

#include "base/pool.h"
#include "ground.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

static bool is_readable(int fd, int timeout_msec) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, timeout_msec) == 1;
}

/* --- mailbox --- */

typedef struct Note {
        Letter letter;
        unsigned sender, number;
} Note;

static void letters_arrive_in_order_and_at_once(void **state) {
        _cleanup_(mailbox_freep) Mailbox *mailbox = NULL;
        Note notes[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
        Letter *letter;

        (void) state;
        assert_int_equal(mailbox_new(&mailbox), 0);
        assert_null(mailbox_take(mailbox));
        assert_false(is_readable(mailbox_get_fd(mailbox), 0));
        for (size_t i = 0; i < 3; i++)
                mailbox_post(mailbox, &notes[i].letter);
        assert_true(is_readable(mailbox_get_fd(mailbox), 0));
        letter = mailbox_take(mailbox);
        for (size_t i = 0; i < 3; i++, letter = letter->next)
                assert_ptr_equal(letter, &notes[i].letter);
        assert_null(letter);
        assert_false(is_readable(mailbox_get_fd(mailbox), 0));
        assert_null(mailbox_take(mailbox));
        mailbox_post(mailbox, &notes[1].letter); /* it rings again after it was emptied */
        assert_true(is_readable(mailbox_get_fd(mailbox), 0));
        assert_ptr_equal(mailbox_take(mailbox), &notes[1].letter);
}

enum { SENDERS = 4, NOTES_EACH = 5000 };

typedef struct Sender {
        pthread_t thread;
        Mailbox *mailbox;
        Note notes[NOTES_EACH];
} Sender;

static void *send_notes(void *userdata) {
        Sender *sender = userdata;

        for (size_t i = 0; i < NOTES_EACH; i++)
                mailbox_post(sender->mailbox, &sender->notes[i].letter);
        return NULL;
}

static void no_letter_is_lost_between_threads(void **state) {
        _cleanup_(mailbox_freep) Mailbox *mailbox = NULL;
        _cleanup_(freep) Sender *senders = calloc(SENDERS, sizeof(Sender));
        unsigned next[SENDERS] = {}, received = 0;

        (void) state;
        assert_int_equal(mailbox_new(&mailbox), 0);
        for (unsigned s = 0; s < SENDERS; s++) {
                senders[s].mailbox = mailbox;
                for (unsigned i = 0; i < NOTES_EACH; i++)
                        senders[s].notes[i] = (Note){ .sender = s, .number = i };
                assert_int_equal(pthread_create(&senders[s].thread, NULL, send_notes, &senders[s]), 0);
        }
        while (received < SENDERS * NOTES_EACH) {
                assert_true(is_readable(mailbox_get_fd(mailbox), 10000)); /* a lost ring would be seen here */
                for (Letter *l = mailbox_take(mailbox); l; l = l->next, received++) {
                        Note *note = (Note *) l;

                        assert_int_equal(note->number, next[note->sender]++);
                }
        }
        for (unsigned s = 0; s < SENDERS; s++)
                assert_int_equal(pthread_join(senders[s].thread, NULL), 0);
        assert_null(mailbox_take(mailbox));
}

/* --- pool --- */

typedef struct Work {
        Job job;
        Pool *pool;
        pthread_t worker, dispatcher;
        sigset_t mask;
        char name[16];
        int nice;
        unsigned order, runs, dones, again;
} Work;

static atomic_uint started;
static atomic_uint together; /* how many run at the same moment */
static atomic_bool gate;     /* closed: jobs wait */
static size_t busy;          /* jobs that were submitted and are not done */

static void run(Job *job) {
        Work *work = (Work *) job;

        work->order = atomic_fetch_add(&started, 1);
        work->worker = pthread_self();
        (void) pthread_sigmask(SIG_SETMASK, NULL, &work->mask);
        (void) pthread_getname_np(pthread_self(), work->name, sizeof(work->name));
        work->nice = getpriority(PRIO_PROCESS, (id_t) gettid());
        work->runs++;
        (void) atomic_fetch_add(&together, 1);
        while (atomic_load(&gate))
                (void) usleep(500);
}

static void done(Job *job) {
        Work *work = (Work *) job;

        work->dispatcher = pthread_self();
        work->dones++;
        busy--;
        if (work->again > 0) {
                work->again--;
                busy++;
                pool_submit(work->pool, &work->job);
        }
}

static Pool *make_pool_nice(unsigned n, int nice) {
        Pool *pool = NULL;

        atomic_store(&started, 0);
        atomic_store(&together, 0);
        atomic_store(&gate, false);
        busy = 0;
        assert_int_equal(nice != 0 ? pool_new_nice(n, nice, &pool) : pool_new(n, &pool), 0);
        assert_int_equal(pool_workers(pool), n);
        return pool;
}

static Pool *make_pool(unsigned n) {
        return make_pool_nice(n, 0);
}

static void drain(Pool *pool) {
        while (busy > 0) {
                assert_true(is_readable(pool_get_fd(pool), 10000));
                pool_dispatch(pool);
        }
}

static void submit(Pool *pool, Work *works, size_t n) {
        for (size_t i = 0; i < n; i++) {
                works[i].job = (Job){ .run = run, .done = done };
                works[i].pool = pool;
                busy++;
                pool_submit(pool, &works[i].job);
        }
}

static void one_worker_does_jobs_in_order(void **state) {
        _cleanup_(pool_freep) Pool *pool = make_pool(1);
        Work works[50] = {};

        (void) state;
        submit(pool, works, ELEMENTSOF(works));
        drain(pool);
        for (unsigned i = 0; i < ELEMENTSOF(works); i++) {
                assert_int_equal(works[i].order, i);
                assert_int_equal(works[i].runs, 1);
                assert_int_equal(works[i].dones, 1);
        }
}

static void jobs_run_elsewhere_and_are_done_here(void **state) {
        _cleanup_(pool_freep) Pool *pool = make_pool(1);
        Work work = {};

        (void) state;
        submit(pool, &work, 1);
        drain(pool);
        assert_false(pthread_equal(work.worker, pthread_self()));
        assert_true(pthread_equal(work.dispatcher, pthread_self()));
        assert_string_equal(work.name, "worker-0");
}

static void a_worker_takes_no_signals(void **state) {
        _cleanup_(pool_freep) Pool *pool = make_pool(1);
        Work work = {};
        sigset_t mine;

        (void) state;
        submit(pool, &work, 1);
        drain(pool);
        assert_int_equal(sigismember(&work.mask, SIGTERM), 1);
        assert_int_equal(sigismember(&work.mask, SIGHUP), 1);
        assert_int_equal(sigismember(&work.mask, SIGUSR1), 1);
        (void) pthread_sigmask(SIG_SETMASK, NULL, &mine);
        assert_int_equal(sigismember(&mine, SIGTERM), 0); /* the caller's mask is as it was */
}

static void the_threads_of_a_nice_pool_give_way_and_no_others(void **state) {
        _cleanup_(pool_freep) Pool *nice = make_pool_nice(2, 19);
        _cleanup_(pool_freep) Pool *plain = NULL;
        int mine = getpriority(PRIO_PROCESS, (id_t) gettid());
        Work works[8] = {}, work = {};

        (void) state;
        submit(nice, works, ELEMENTSOF(works));
        drain(nice);
        for (size_t i = 0; i < ELEMENTSOF(works); i++)
                assert_int_equal(works[i].nice, 19);
        assert_int_equal(getpriority(PRIO_PROCESS, (id_t) gettid()), mine);
        plain = make_pool(1);
        submit(plain, &work, 1);
        drain(plain);
        assert_int_equal(work.nice, mine);
}

static void workers_work_at_the_same_time(void **state) {
        _cleanup_(pool_freep) Pool *pool = make_pool(4);
        Work works[4] = {};

        (void) state;
        atomic_store(&gate, true);
        submit(pool, works, 4);
        for (unsigned i = 0; atomic_load(&together) < 4; i++) {
                assert_true(i < 10000);
                (void) usleep(1000);
        }
        assert_false(is_readable(pool_get_fd(pool), 0));
        atomic_store(&gate, false);
        drain(pool);
}

static void a_job_may_be_submitted_again_when_it_is_done(void **state) {
        _cleanup_(pool_freep) Pool *pool = make_pool(2);
        Work works[3] = { { .again = 100 }, { .again = 7 }, { .again = 0 } };

        (void) state;
        submit(pool, works, 3);
        drain(pool);
        assert_int_equal(works[0].dones, 101);
        assert_int_equal(works[1].dones, 8);
        assert_int_equal(works[2].dones, 1);
        pool_dispatch(pool);
        assert_int_equal(works[0].dones + works[1].dones + works[2].dones, 110);
}

static void every_job_of_many_is_done_once(void **state) {
        enum { MANY = 20000 };
        _cleanup_(pool_freep) Pool *pool = make_pool(4);
        _cleanup_(freep) Work *works = calloc(MANY, sizeof(Work));

        (void) state;
        submit(pool, works, MANY);
        drain(pool);
        for (size_t i = 0; i < MANY; i++) {
                assert_int_equal(works[i].runs, 1);
                assert_int_equal(works[i].dones, 1);
        }
}

static void freeing_waits_for_what_runs(void **state) {
        Pool *pool = make_pool(2);
        Work works[2] = {};

        (void) state;
        atomic_store(&gate, true);
        submit(pool, works, 2);
        while (atomic_load(&together) < 2)
                (void) usleep(500);
        atomic_store(&gate, false);
        assert_null(pool_free(pool));
        assert_int_equal(works[0].runs + works[1].runs, 2);
        assert_null(pool_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(letters_arrive_in_order_and_at_once),
                cmocka_unit_test(no_letter_is_lost_between_threads),
                cmocka_unit_test(one_worker_does_jobs_in_order),
                cmocka_unit_test(jobs_run_elsewhere_and_are_done_here),
                cmocka_unit_test(a_worker_takes_no_signals),
                cmocka_unit_test(the_threads_of_a_nice_pool_give_way_and_no_others),
                cmocka_unit_test(workers_work_at_the_same_time),
                cmocka_unit_test(a_job_may_be_submitted_again_when_it_is_done),
                cmocka_unit_test(every_job_of_many_is_done_once),
                cmocka_unit_test(freeing_waits_for_what_runs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
