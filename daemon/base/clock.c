/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What time it is. See base/clock.h. */

#include "base/clock.h"

uint64_t clock_usec(clockid_t clock) {
        struct timespec now;

        (void) clock_gettime(clock, &now); /* these are always there */
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}
