/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The files that a mirror lacks because they could not be read or verified, and why. Kept for as long as that is so:
 * for the status, so that it is logged once, and so that a file that has not changed is not tried with every scan.
 * Loop thread only. */

#include "base/base.h"
#include "plan/plan.h"
#include "stage/task.h"

typedef struct WithheldFile {
        char *path;
        char *text;          /* the sentence about it, as logged */
        TaskOutcome outcome;
        int error;           /* of TASK_FAILED, an errno value */
        uint64_t size, ino;  /* of the source when it was tried */
        int64_t mtime_nsec, ctime_nsec;
        bool wanted;         /* within withheld_apply(): the plan wants it staged */
} WithheldFile;

typedef struct Withheld {
        WithheldFile **files; /* in path order; see base/array.h */
        size_t n;
} Withheld;

void withheld_done(Withheld *withheld);

/* Adds or replaces the file of a failed task. 0, or -ENOMEM with the list as it was. */
int withheld_put(Withheld *withheld, const Task *task, const char *text);

/* NULL if it is not withheld. Borrowed until the next change. */
const WithheldFile *withheld_find(const Withheld *withheld, const char *path);

/* True if this was logged before: the same sentence, or the same error, even if at another byte, because the kernel's
 * readahead decides where it meets a bad one. */
bool withheld_is_logged(const Withheld *withheld, const Task *task, const char *text);

/* Forgets a file that is all right now. */
void withheld_drop(Withheld *withheld, const char *path);

/* Marks the items of a plan that would only fail again, and forgets files that the plan no longer wants staged. With
 * @retry files that could not be read are tried again, with @all every file is. */
void withheld_apply(Withheld *withheld, Plan *plan, bool retry, bool all);

/* True if another try may succeed although no file has changed. */
bool withheld_is_retryable(const Withheld *withheld);
