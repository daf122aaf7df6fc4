/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What time it is. */

#include "base/base.h"

#include <time.h>

/* Microseconds of CLOCK_MONOTONIC, CLOCK_REALTIME or another that cannot fail. */
uint64_t clock_usec(clockid_t clock);
