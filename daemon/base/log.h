/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One sentence per event: to the journal with its fields if stderr leads there, else to stderr as a line.
 *
 * Code that only carries something out returns its errors and logs nothing above debug level; the code that decides
 * what a failure means logs it, once. Any thread may call; a line is written whole. Paths in the text go through
 * text_path(). */

#include "base/base.h"

#include <syslog.h>

typedef enum LogTarget {
        LOG_TARGET_AUTO,    /* the journal if stderr is connected to it, else the console */
        LOG_TARGET_CONSOLE,
        LOG_TARGET_JOURNAL,
} LogTarget;

/* The fields of an entry. All may be NULL or 0, and are then left out; strings are borrowed for the call. */
typedef struct LogFields {
        const char *message_id; /* 32 hex digits, see messages.h */
        const char *mirror;     /* field SHMSTAGED_MIRROR= */
        const char *source, *target; /* of the mirror: fields SHMSTAGED_SOURCE=, SHMSTAGED_TARGET= */
        const char *path;       /* field SHMSTAGED_PATH=, raw bytes, relative to both of them */
        const char *reason;     /* field SHMSTAGED_REASON=: a word for programs, such as "no-room" */
        const char *expected, *found; /* fields SHMSTAGED_EXPECTED=, SHMSTAGED_FOUND=: digests, hexadecimal */
        const char *kept;       /* field SHMSTAGED_KEPT=: where another version was kept, relative to the source */
        uint64_t bytes;         /* field SHMSTAGED_BYTES= */
        uint64_t count;         /* field SHMSTAGED_COUNT= */
        int error;              /* errno value, positive: field ERRNO= */
} LogFields;

/* Call it before there are other threads. Messages below @max_priority (a greater number) are dropped. */
void log_setup(LogTarget target, int max_priority);

/* @before is called before each line on the console, so that a progress bar can be cleared. NULL for none. */
void log_set_before_line(void (*before)(void));

void log_event(int priority, const LogFields *fields, const char *format, ...) _printf_(3, 4);

#define log_error(...) log_event(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_event(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_event(LOG_DEBUG, NULL, __VA_ARGS__)

/* Bounds how many similar messages are logged: the first @max of a burst, and then their number. Begins as
 * { .max = N }. */
typedef struct LogLimit {
        size_t max, n;
} LogLimit;

/* True if one more message may be logged; if not, it is counted as suppressed. */
bool log_limit_pass(LogLimit *limit);

/* Ends the burst, and returns how many messages were suppressed in it. */
size_t log_limit_end(LogLimit *limit);
