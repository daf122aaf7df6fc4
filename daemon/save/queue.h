/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The queue of saves, in the order in which they are carried out, and which waits for which. Owns its items. Pure: no
 * jobs, no clock; save/writeback.h starts what is due, and save/retry.h says when a failure is. */

#include "base/base.h"
#include "save/item.h"

typedef struct SaveQueue {
        SaveItem **items;   /* in the order of saving */
        SaveItem **by_path; /* the same */
        size_t n;
        LayoutKind layout;  /* never LAYOUT_AUTO once there are items */
        /* The mirror is about to be removed. In a plain tree, what is broken or incomplete is saved all the same then,
         * because it is content too. */
        bool stopping;
} SaveQueue;

void save_queue_done(SaveQueue *queue);

/* The item at a path, or NULL. One that is ITEM_DONE stays until the next replacement. */
SaveItem *save_queue_find(const SaveQueue *queue, const char *path);

/* From now on the queue has @fresh, which are in path order and may be items that it has already. The others are freed,
 * except those that a job has. On -ENOMEM nothing has changed. */
int save_queue_replace(SaveQueue *queue, SaveItem **fresh, size_t n);

/* True while something else has to be on disk first: the directory it is in, the first name of a hard link, what it
 * references; or has to be gone first: what was in a directory that was deleted, or replaced by a file. */
bool save_queue_has_to_wait(const SaveQueue *queue, const SaveItem *item);

/* Something that it references and that is not there, or will never be on disk because its bytes are wrong; NULL. */
const char *save_queue_missing(const SaveQueue *queue, const SaveItem *item);

/* True if it is broken, or something that it references is missing. When a plain mirror stops, this does not count. */
bool save_queue_is_incomplete(const SaveQueue *queue, const SaveItem *item);

/* True if it is never saved as it is: its bytes are wrong, or it is incomplete. */
bool save_queue_is_refused(const SaveQueue *queue, const SaveItem *item);

/* True if nothing is left that will be saved without a change from outside. */
bool save_queue_is_over(const SaveQueue *queue, uint64_t now_usec);

/* When the next one is due, after now; UINT64_MAX if none is. */
uint64_t save_queue_next_usec(const SaveQueue *queue, uint64_t now_usec);

/* Adds to @refused what is in the mirror and will never be saved as it is. */
int save_queue_collect_refused(const SaveQueue *queue, Manifest *refused);

/* An operator accepts a file that is refused because its bytes are wrong or something that it references is missing: it
 * is saved as it is now. False if there is no such file at @path. Takes effect at the next pass through the queue. */
bool save_queue_can_accept(const SaveQueue *queue, const char *path);
bool save_queue_accept(SaveQueue *queue, const char *path, uint64_t now_usec);

/* Makes everything due except deletions: nothing has to hold still any longer, and failures are retried. Likewise. */
void save_queue_hurry(SaveQueue *queue, uint64_t now_usec);

/* A deletion that failed on the disk, or NULL. */
const SaveItem *save_queue_find_undeleted(const SaveQueue *queue);

typedef struct SaveQueueStatus {
        size_t n_unsaved;        /* files, directories and links, without the refused ones */
        size_t n_running, n_failing, n_refused, n_deletions;
        uint64_t bytes;          /* not yet saved */
        uint64_t since_usec;     /* when the oldest of these was first seen as it is; monotonic; UINT64_MAX: none */
        const char *problem;     /* the sentence about one that fails, else about one that is refused; NULL */
} SaveQueueStatus;
SaveQueueStatus save_queue_status(const SaveQueue *queue);
