/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a mirror has to tell about single paths: each thing once, while it is true, and never more than a few lines
 * at a time. */

#include "base/base.h"
#include "config/config.h"
#include "plan/plan.h"

/* What was told before is remembered by name. */
typedef struct LogOnce {
        char **keys; /* sorted */
        size_t n, n_seen;
        char **seen; /* in this round */
        size_t lines, more;
} LogOnce;

void log_once_done(LogOnce *log_once);

/* What is true after a look: what the scan left out, and what is only in the mirror. At warning or notice level what
 * was not true at the look before; what is not true any more is forgotten. */
void log_once_scan(LogOnce *log_once, const MirrorConfig *config, const Manifest *source, const Plan *plan);
