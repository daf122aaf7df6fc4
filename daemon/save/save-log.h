/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the journal says about saves: what was saved, and why something is not, each reason once. Of a wave of saves
 * the first few are logged by name and the others counted, so that the log does not grow with the number of files.
 * Times are monotonic. */

#include "base/base.h"
#include "base/log.h"
#include "config/config.h"
#include "save/item.h"

typedef struct SaveLog {
        const MirrorConfig *config;           /* borrowed */
        LogLimit done, conflicts, failures;
        uint64_t done_usec, failures_usec;    /* when these waves began */
} SaveLog;

void save_log_init(SaveLog *log, const MirrorConfig *config);

/* The file was saved, or removed. Beyond the first of a burst, these are logged at debug level. */
void save_log_done(SaveLog *log, const SaveItem *item, uint64_t now_usec);

/* The last attempt failed: keeps the sentence in .problem, and logs it if it is not the same as before. */
void save_log_failure(SaveLog *log, SaveItem *item, uint64_t now_usec);
/* The same of one that cannot be tried: it is broken, or @missing, which it references, is not there. */
void save_log_incomplete(SaveLog *log, SaveItem *item, const char *missing, bool stopping, uint64_t now_usec);

/* Nothing is left to do: if the wave has lasted for a while, it is over. */
void save_log_remaining(SaveLog *log, uint64_t now_usec);
/* Every wave is over: logs how many were suppressed. */
void save_log_end(SaveLog *log);
