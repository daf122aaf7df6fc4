/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One snapshot of all mirrors -> Prometheus' text exposition format, version 0.0.4: base units, HELP and TYPE once for
 * each family, and samples with the label mirror=. A value that is not known, or does not apply, has no sample. Pure.
 * docs/monitoring.md lists the families. */

#include "base/base.h"
#include "report/mirror-status.h"

/* A new string, NULL on ENOMEM. */
char *metrics_text(const MirrorStatus *mirrors, size_t n, const char *version);
