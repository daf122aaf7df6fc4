/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One snapshot of the state -> Prometheus' text exposition format, version 0.0.4: base units, HELP and TYPE of each
 * family once, one sample for each mirror. What is not known, or does not apply, has no sample. Pure. */

#include "base/base.h"
#include "report/mirror-status.h"

/* A new string, NULL on ENOMEM. */
char *metrics_text(const MirrorStatus *mirrors, size_t n, const char *version);
