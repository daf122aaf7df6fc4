/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Worker threads. See base/pool.h. */

#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

struct Pool {
        pthread_mutex_t lock;
        pthread_cond_t wake; /* there is a job, or .stop is set */
        Letter *first;       /* of the queue of jobs; under lock */
        Letter *last;        /* under lock */
        bool stop;           /* under lock */
        Mailbox *done;       /* locks itself */
        int nice;            /* of the threads; 0: as that of their creator */

        unsigned n_threads;  /* loop thread */
        pthread_t threads[];
};

static Job *take_job(Pool *pool) {
        Letter *letter;

        (void) pthread_mutex_lock(&pool->lock);
        while (!pool->first && !pool->stop)
                (void) pthread_cond_wait(&pool->wake, &pool->lock);
        letter = pool->first;
        if (letter) {
                pool->first = letter->next;
                if (!pool->first)
                        pool->last = NULL;
        }
        (void) pthread_mutex_unlock(&pool->lock);
        return (Job *) letter; /* the letter is its first member */
}

static void *worker(void *userdata) {
        Pool *pool = userdata;
        Job *job;

        if (pool->nice != 0)
                (void) setpriority(PRIO_PROCESS, (id_t) gettid(), pool->nice); /* on Linux, of this thread alone */
        while ((job = take_job(pool))) {
                job->run(job);
                mailbox_post(pool->done, &job->letter);
        }
        return NULL;
}

static int start_threads(Pool *pool, unsigned n_workers) {
        sigset_t all, saved;
        int r = 0;

        /* Signals are for the loop. A thread inherits the mask that its creator has at that moment. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &saved);
        while (r == 0 && pool->n_threads < n_workers) {
                r = pthread_create(&pool->threads[pool->n_threads], NULL, worker, pool);
                if (r == 0) {
                        char name[16];

                        (void) snprintf(name, sizeof(name), "worker-%u", pool->n_threads);
                        (void) pthread_setname_np(pool->threads[pool->n_threads], name);
                        pool->n_threads++;
                }
        }
        (void) pthread_sigmask(SIG_SETMASK, &saved, NULL);
        return -r;
}

int pool_new(unsigned n_workers, Pool **ret) {
        return pool_new_nice(n_workers, 0, ret);
}

int pool_new_nice(unsigned n_workers, int nice, Pool **ret) {
        _cleanup_(pool_freep) Pool *pool = NULL;
        int r;

        assert(n_workers > 0);
        pool = calloc(1, sizeof(*pool) + n_workers * sizeof(pthread_t));
        if (!pool)
                return -ENOMEM;
        pool->nice = nice;
        (void) pthread_mutex_init(&pool->lock, NULL);
        (void) pthread_cond_init(&pool->wake, NULL);
        r = mailbox_new(&pool->done);
        if (r < 0)
                return r;
        r = start_threads(pool, n_workers);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(pool);
        return 0;
}

Pool *pool_free(Pool *pool) {
        if (!pool)
                return NULL;
        (void) pthread_mutex_lock(&pool->lock);
        pool->stop = true;
        (void) pthread_cond_broadcast(&pool->wake);
        (void) pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < pool->n_threads; i++)
                (void) pthread_join(pool->threads[i], NULL);
        if (pool->done)
                pool->done = mailbox_free(pool->done);
        (void) pthread_cond_destroy(&pool->wake);
        (void) pthread_mutex_destroy(&pool->lock);
        free(pool);
        return NULL;
}

unsigned pool_choose_workers(unsigned configured) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        if (configured > 0)
                return configured;
        /* More than processors: a worker mostly waits for a disk or a server, and several reads at a time suit it. */
        return (unsigned) MIN(MAX(2 * processors, 8), 32);
}

unsigned pool_workers(Pool *pool) {
        return pool->n_threads;
}

void pool_submit(Pool *pool, Job *job) {
        job->letter.next = NULL;
        (void) pthread_mutex_lock(&pool->lock);
        if (pool->last)
                pool->last->next = &job->letter;
        else
                pool->first = &job->letter;
        pool->last = &job->letter;
        (void) pthread_cond_signal(&pool->wake);
        (void) pthread_mutex_unlock(&pool->lock);
}

int pool_get_fd(Pool *pool) {
        return mailbox_get_fd(pool->done);
}

void pool_dispatch(Pool *pool) {
        Letter *letter = mailbox_take(pool->done);

        while (letter) {
                Job *job = (Job *) letter;

                letter = letter->next; /* done() may submit the same job again */

                job->done(job);
        }
}
