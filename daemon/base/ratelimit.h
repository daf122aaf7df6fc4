/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A limit of bytes a second, shared by all threads that read for one mirror.
 *
 * A thread asks for bytes before it reads them. All requests lie on one time line: the bytes granted up to any moment
 * are at most those that the limit allows since the first request, and those of 50 ms more. Unused time is forgotten
 * but for these 50 ms, so that a thread that comes late because its read took long, or because it was not woken in
 * time, loses nothing. The moment at which a request is granted is computed from the position of its bytes on the time
 * line (CLOCK_MONOTONIC), never from sleeps, so errors do not add up.
 *
 * Any thread may call any function, but ratelimit_free() must be the last. */

#include "base/base.h"

#include <stdatomic.h>

typedef struct RateLimit RateLimit;

/* With 0 for @bytes_per_sec there is no limit until one is set. */
int ratelimit_new(uint64_t bytes_per_sec, RateLimit **ret);
RateLimit *ratelimit_free(RateLimit *limit);
DEFINE_CLEANUP(RateLimit, ratelimit_free)

/* Changes the limit at once, also for threads that wait now. */
void ratelimit_set(RateLimit *limit, uint64_t bytes_per_sec);

/* True if there is a limit. NULL is none. */
bool ratelimit_is_on(RateLimit *limit);

/* Sleeps until @bytes may be read. 0; or RATELIMIT_CANCELLED: @cancel (may be NULL) was set, which is noticed within
 * 50 ms; then the bytes count as not read. NULL for @limit is none. */
enum { RATELIMIT_CANCELLED = 1 };
int ratelimit_take(RateLimit *limit, uint64_t bytes, const atomic_bool *cancel);

/* How many of @bytes to ask for and read at a time, so that reading is steady and a changed limit is noticed soon: what
 * the limit allows in 50 ms, rounded down to 4 KiB but at least 4 KiB; all of them if there is no limit. A thread that
 * asks for more at a time gets the bytes no sooner, and alone it may stay below the limit, because no time is used
 * while it reads. */
uint64_t ratelimit_piece(RateLimit *limit, uint64_t bytes);
