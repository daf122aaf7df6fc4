/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a mirror lacks and why: files that could not be brought into RAM verified. Kept for as long as it is true,
 * for the status, and so that a file that has not changed is not tried at every look. */

#include "base/base.h"
#include "plan/plan.h"
#include "stage/task.h"

typedef struct WithheldFile {
        char *path;
        char *text;          /* the sentence that was told */
        TaskOutcome outcome;
        int error;           /* of TASK_FAILED */
        uint64_t size, ino;  /* of the source when it was tried */
        int64_t mtime_nsec, ctime_nsec;
} WithheldFile;

typedef struct Withheld {
        WithheldFile *files;
        size_t n;
} Withheld;

void withheld_done(Withheld *withheld);

/* Adds or replaces the file of a failed task. */
int withheld_put(Withheld *withheld, const Task *task, const char *text);

/* True if this was told of the file before: the same sentence, or the same error at another byte, because how far
 * the kernel reads ahead decides where it meets a bad one. */
bool withheld_is_logged(const Withheld *withheld, const Task *task, const char *text);

/* Forgets a file that is all right now. */
void withheld_drop(Withheld *withheld, const char *path);

/* Marks the items of a plan that would only fail again, and forgets files that the plan no longer wants staged. With
 * @retry errors of reading are tried again, with @all everything is. */
void withheld_apply(Withheld *withheld, Plan *plan, bool retry, bool all);

/* True if some of it may come right by itself and is worth another try later. */
bool withheld_is_retryable(const Withheld *withheld);
