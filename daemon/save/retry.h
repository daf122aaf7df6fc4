/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* When a save that failed is tried again, and at a stop, when it is given up. Pure. */

#include "base/base.h"
#include "save/outcome.h"

/* How long to wait before the next attempt. @attempts: those that failed in a row. @stopping: the mirror is about to
 * be removed. */
uint64_t retry_pause_usec(SaveOutcome outcome, unsigned attempts, bool stopping);

/* True if there is no further attempt. While the daemon runs there always is. */
bool retry_is_over(SaveOutcome outcome, unsigned attempts, bool stopping);
