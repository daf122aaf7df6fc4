/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the scans of a mirror find at single paths is logged once for as long as it is true, and not with every scan,
 * and only a few lines for each scan. Loop thread only. */

#include "base/pathset.h"
#include "config/config.h"
#include "plan/plan.h"

/* Keys are a letter for the kind of message and the path. Begins as zeros. */
typedef struct LogOnce {
        PathSet keys; /* of what was true at the last scan; sorted */
        PathSet seen; /* of what is true at this one */
} LogOnce;

void log_once_done(LogOnce *log_once);

/* After a scan: logs what it left out of the source and, under WriteBack=no, what was changed in the mirror only, if
 * that was not so at the scan before. A fact that is no longer true is forgotten, and logged when it is true again. */
void log_once_scan(LogOnce *log_once, const MirrorConfig *config, const Manifest *source, const Plan *plan);
