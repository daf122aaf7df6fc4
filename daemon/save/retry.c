/* SPDX-License-Identifier: GPL-2.0-or-later */

/* When a save that failed is tried again. See save/retry.h. */

#include "save/retry.h"

/* Each pause is twice the one before: 2 s, 4 s, 8 s and so on. */
#define PAUSE_BASE_USEC (USEC_PER_SEC)
#define PAUSE_MAX_USEC (60 * USEC_PER_SEC)

/* Closing the file brings a scan, and with it the next attempt; the end of a shared mapping brings none. */
#define PAUSE_BUSY_USEC (2 * USEC_PER_SEC)

/* At a stop a failure is retried a few times only, and a file that is being written is waited for about as long as it
 * takes a service to exit. */
#define PAUSE_STOPPING_USEC (USEC_PER_SEC / 2)
enum { STOPPING_ATTEMPTS = 3, STOPPING_ATTEMPTS_BUSY = 20 };

uint64_t retry_pause_usec(SaveOutcome outcome, unsigned attempts, bool stopping) {
        if (stopping)
                return PAUSE_STOPPING_USEC;
        if (outcome == SAVE_BUSY)
                return PAUSE_BUSY_USEC;
        return MIN(PAUSE_BASE_USEC << MIN(attempts, 6U), PAUSE_MAX_USEC);
}

bool retry_is_over(SaveOutcome outcome, unsigned attempts, bool stopping) {
        return stopping && attempts >= (outcome == SAVE_BUSY ? STOPPING_ATTEMPTS_BUSY : STOPPING_ATTEMPTS);
}
