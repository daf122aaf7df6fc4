/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* So many bytes a second, whoever reads them: shared by all threads that work for one mirror.
 *
 * Bytes are paid for before they are read, on one time line for all: what was granted by any moment is at most what
 * the limit gives in the time since the first request, and BURST more. Unused time is forgotten but for these 50 ms,
 * so that a thread that comes late because its read took long, or because it was not woken in time, loses nothing.
 * The moment at which a request is paid for is computed from where its bytes lie on the time line (CLOCK_MONOTONIC),
 * never from sleeps, so errors do not add up.
 *
 * Any function may be called from any thread, but for ratelimit_free(), which must be the last. */

#include "base/base.h"

#include <stdatomic.h>

typedef struct RateLimit RateLimit;

/* @bytes_per_sec 0: no limit, until one is set. */
int ratelimit_new(uint64_t bytes_per_sec, RateLimit **ret);
RateLimit *ratelimit_free(RateLimit *limit);
DEFINE_CLEANUP(RateLimit, ratelimit_free)

/* Another limit, at once: also whoever sleeps now waits no longer than it says. */
void ratelimit_set(RateLimit *limit, uint64_t bytes_per_sec);

/* True if there is one in force. NULL has none. */
bool ratelimit_is_on(RateLimit *limit);

/* Sleeps until @bytes may be read. 0; or RATELIMIT_CANCELLED: @cancel (may be NULL) was set, which is heard within
 * 50 ms; then the bytes count as not read. A @limit of NULL is none. */
enum { RATELIMIT_CANCELLED = 1 };
int ratelimit_take(RateLimit *limit, uint64_t bytes, const atomic_bool *cancel);

/* How much of @bytes should be taken and read at once, so that reading goes steadily and hears of another limit
 * soon: what the limit gives in 50 ms, in whole 4 KiB, and at least that much. Without a limit all of it. Whoever
 * takes more at once gets it no sooner, but all together, and one thread alone may then stay below the limit,
 * because nothing is paid for while it reads. */
uint64_t ratelimit_piece(RateLimit *limit, uint64_t bytes);
