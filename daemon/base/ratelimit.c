/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A limit of bytes a second, for any number of threads. See base/ratelimit.h.
 *
 * The time line: byte number n of all that were ever asked for is granted at origin_nsec + (n - origin) / rate. The
 * origin moves when the limit changes, so that granted bytes stay granted, and when there was no request for so long
 * that more than BURST would have been saved up. A thread that waits reads the time line again after each SLICE, and
 * so notices a changed limit and a cancellation. */

#include "base/ratelimit.h"

#include "base/clock.h"

#include <pthread.h>

#define BURST (NSEC_PER_SEC / 20)
#define SLICE (NSEC_PER_SEC / 20)
#define FOREVER (INT64_MAX / 4)      /* no sum of two overflows */
#define LARGEST ((uint64_t) 1 << 56) /* no file has as many bytes, and differences of positions keep their sign */

struct RateLimit {
        pthread_mutex_t lock;
        uint64_t rate;       /* bytes a second, 0: no limit. This and all below under lock */
        uint64_t asked;      /* bytes in all; may wrap, only differences count */
        uint64_t origin;     /* of them, so many were granted ... */
        int64_t origin_nsec; /* ... at this time */
};

static int64_t now_nsec(void) {
        return (int64_t) clock_usec(CLOCK_MONOTONIC) * 1000;
}

/* How long @bytes take. Computed from whole seconds and the rest, so that it is exact to a nanosecond for any number
 * of bytes. */
static int64_t nsec_for(const RateLimit *limit, uint64_t bytes) {
        uint64_t seconds = bytes / limit->rate, rest = bytes % limit->rate;

        if (seconds > (uint64_t) (FOREVER / NSEC_PER_SEC) - 1)
                return FOREVER;
        return (int64_t) seconds * NSEC_PER_SEC +
               (int64_t) ((double) rest / (double) limit->rate * (double) NSEC_PER_SEC);
}

/* How many bytes the limit allows in @nsec. */
static uint64_t bytes_in(const RateLimit *limit, int64_t nsec) {
        return (uint64_t) ((double) limit->rate / (double) NSEC_PER_SEC * (double) nsec);
}

/* When byte number @position is granted. */
static int64_t due_nsec(const RateLimit *limit, uint64_t position) {
        return limit->origin_nsec + nsec_for(limit, position - limit->origin);
}

int ratelimit_new(uint64_t bytes_per_sec, RateLimit **ret) {
        RateLimit *limit = calloc(1, sizeof(*limit));

        if (!limit)
                return -ENOMEM;
        (void) pthread_mutex_init(&limit->lock, NULL);
        limit->rate = bytes_per_sec;
        limit->origin_nsec = now_nsec();
        *ret = limit;
        return 0;
}

RateLimit *ratelimit_free(RateLimit *limit) {
        if (!limit)
                return NULL;
        (void) pthread_mutex_destroy(&limit->lock);
        free(limit);
        return NULL;
}

void ratelimit_set(RateLimit *limit, uint64_t bytes_per_sec) {
        (void) pthread_mutex_lock(&limit->lock);
        if (bytes_per_sec != limit->rate) {
                int64_t now = now_nsec();

                /* Up to the bytes that the old limit has granted by now, but not beyond those that were asked for. */
                if (limit->rate == 0 || due_nsec(limit, limit->asked) <= now)
                        limit->origin = limit->asked;
                else
                        limit->origin +=
                                MIN(bytes_in(limit, MAX(now - limit->origin_nsec, 0)), limit->asked - limit->origin);
                limit->origin_nsec = now;
                limit->rate = bytes_per_sec;
        }
        (void) pthread_mutex_unlock(&limit->lock);
}

bool ratelimit_is_on(RateLimit *limit) {
        bool on;

        if (!limit)
                return false;
        (void) pthread_mutex_lock(&limit->lock);
        on = limit->rate > 0;
        (void) pthread_mutex_unlock(&limit->lock);
        return on;
}

/* Puts @bytes on the time line and returns the position of their end. */
static uint64_t ask(RateLimit *limit, uint64_t bytes) {
        int64_t earliest = now_nsec() - BURST;
        uint64_t position;

        (void) pthread_mutex_lock(&limit->lock);
        if (limit->rate > 0 && due_nsec(limit, limit->asked) < earliest) {
                /* No thread waits: all earlier requests were granted long ago. */
                limit->origin = limit->asked;
                limit->origin_nsec = earliest;
        }
        position = limit->asked += bytes;
        (void) pthread_mutex_unlock(&limit->lock);
        return position;
}

/* When to check again; 0 if the bytes up to @position are granted. */
static int64_t wait_until(RateLimit *limit, uint64_t position) {
        int64_t now = now_nsec(), due;

        (void) pthread_mutex_lock(&limit->lock);
        /* A position before the origin was granted before the origin moved. */
        due = limit->rate == 0 || (int64_t) (position - limit->origin) <= 0 ? 0 : due_nsec(limit, position);
        (void) pthread_mutex_unlock(&limit->lock);
        return due <= now ? 0 : MIN(due, now + SLICE);
}

/* The next requests are granted the sooner for it. Bytes before the origin were granted and cannot be given back. */
static void give_back(RateLimit *limit, uint64_t bytes) {
        (void) pthread_mutex_lock(&limit->lock);
        limit->asked -= MIN(bytes, limit->asked - limit->origin);
        (void) pthread_mutex_unlock(&limit->lock);
}

int ratelimit_take(RateLimit *limit, uint64_t bytes, const atomic_bool *cancel) {
        uint64_t position;
        int64_t until;

        if (!limit)
                return 0;
        bytes = MIN(bytes, LARGEST);
        position = ask(limit, bytes);
        while ((until = wait_until(limit, position)) > 0) {
                struct timespec wake = { .tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC };

                if (cancel && atomic_load(cancel)) {
                        give_back(limit, bytes);
                        return RATELIMIT_CANCELLED;
                }
                (void) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL); /* may end early */
        }
        return 0;
}

uint64_t ratelimit_piece(RateLimit *limit, uint64_t bytes) {
        uint64_t piece = bytes;

        if (!limit)
                return bytes;
        (void) pthread_mutex_lock(&limit->lock);
        if (limit->rate > 0)
                piece = MAX(bytes_in(limit, BURST) / (4 * KIB) * (4 * KIB), 4 * KIB);
        (void) pthread_mutex_unlock(&limit->lock);
        return MIN(piece, bytes);
}
