/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is said about saves, in the journal: what was saved, and why something is not, each reason once. Of one wave
 * so many are told by name, the others are counted: the log does not grow with the number of files. Times are
 * monotonic. */

#include "base/base.h"
#include "config/config.h"
#include "save/item.h"

enum { SAVE_LOG_LINES_MAX = 20 };

typedef struct SaveLog {
        const MirrorConfig *config; /* borrowed */
        size_t n_done, n_conflicts, n_troubles;  /* since the last were told of */
        uint64_t done_usec, trouble_usec;        /* when these waves began */
} SaveLog;

/* It came to its end. What is not told by name is told to those who debug. */
void save_log_done(SaveLog *log, const SaveItem *item, uint64_t now_usec);

/* The last attempt failed, or it cannot be begun: keeps the sentence in .problem, and tells it if it is another one
 * than before. */
void save_log_failures(SaveLog *log, SaveItem *item, uint64_t now_usec);
/* It is broken, or @missing, which it names, is not there. */
void save_log_incomplete(SaveLog *log, SaveItem *item, const char *missing, bool last, uint64_t now_usec);

/* Nothing is left to do: if that wave has lasted for a while, it is over. */
void save_log_remaining(SaveLog *log, uint64_t now_usec);
/* The end of every wave: tells how many were not listed. */
void save_log_end(SaveLog *log);
