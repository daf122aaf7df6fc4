/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of a task share: task-compare.c reads bytes to find out what is the same. See stage/task.h. */

#include "stage/task.h"

/* Ends the task with a negative errno. */
void task_fail(Task *task, int error, const char *what);

/* The digest that the source is known to have as it is now, or NULL. */
const Digest *task_digest_on_record(const Task *task);

/* True if what is in the mirror may be replaced or removed: it is the object that was put there, with its bytes, and no
 * process can write to it. They are read only if they are in doubt. Else the task has its outcome. */
bool task_may_replace(Task *task);

/* Right before it does go. True if nobody has opened it for writing since task_may_replace(); from now on whoever does
 * has to wait for task_let_go(). Else the task has its outcome. */
bool task_is_undisturbed(Task *task);
void task_let_go(Task *task);

/* True if what is in the mirror is the file that the scan saw, with its size and mtime, or with the mtime that another
 * of its names was given by this plan. */
bool task_is_as_seen(const Task *task, Entry *ret);

/* Syncs the directory of the source that has the name: what is agreed is on the medium. False: the task has failed. */
bool task_sync_directory(Task *task);

/* Compares what may be the same on both sides, reads what nothing vouches for, and sets the outcome. */
void task_compare(Task *task);
