/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of scrub.h have for each other: scrub.c reads, scrub-verdict.c decides what becomes of a finding. */

#include "mirror/scrub.h"

/* Decides about .finding, whose second is over. It is gone afterwards, but for a copy into conflicts/ that is out. */
void scrub_judge(Scrub *scrub);

/* The lists of damaged files without those that were repaired, or changed since. */
void scrub_note_repaired(Scrub *scrub);

/* A pass is over: logs how many findings were not. */
void scrub_log_suppressed(Scrub *scrub);

/* A job of scrub_judge() came back, and has cleaned up. */
void scrub_job_ended(Scrub *scrub);
