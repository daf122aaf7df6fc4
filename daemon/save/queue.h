/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is on its way to the disk, in the order in which it is saved, and who waits for whom. Owns its items. Pure:
 * no jobs, no clock. */

#include "base/base.h"
#include "save/item.h"

typedef struct SaveQueue {
        SaveItem **items;   /* in the order of saving */
        SaveItem **by_path; /* the same */
        size_t n;
        LayoutKind layout;  /* never LAYOUT_AUTO once there are items */
        /* the mirror is about to go: in a plain tree what is broken or lacks something is saved all the same, for it
         * is content too */
        bool stopping;
} SaveQueue;

void save_queue_done(SaveQueue *queue);

/* NULL if it is not there. One that is ITEM_DONE is there until the next replacement. */
SaveItem *save_queue_find(const SaveQueue *queue, const char *path);

/* From now on it has @fresh, which are in path order and may be items that it has already. The others are freed, but
 * for those that a job has. On -ENOMEM nothing has changed. */
int save_queue_replace(SaveQueue *queue, SaveItem **fresh, size_t n);

/* True while something else has to be on disk before: the directory it is in, the first name of a hard link, what it
 * points to; or has to be gone from there: what was in a directory that was deleted. */
bool save_queue_has_to_wait(const SaveQueue *queue, const SaveItem *item);

/* What of that which it names is not there, or will never be on disk because its bytes are wrong; NULL if nothing. */
const char *save_queue_missing(const SaveQueue *queue, const SaveItem *item);

/* True if it is broken, or something that it names is missing. At the end of a plain mirror this does not count. */
bool save_queue_is_incomplete(const SaveQueue *queue, const SaveItem *item);

/* It is never saved as it is: its bytes are wrong, or it is incomplete. */
bool save_queue_is_refused(const SaveQueue *queue, const SaveItem *item);

/* Nothing is left that will come to an end by itself. */
bool save_queue_is_over(const SaveQueue *queue, uint64_t now_usec);

/* When the next one is due, after now; UINT64_MAX if none is. */
uint64_t save_queue_next_usec(const SaveQueue *queue, uint64_t now_usec);

/* Adds what is in the mirror and never to be saved, because it is not what it has to be. */
int save_queue_collect_refused(const SaveQueue *queue, Manifest *refused);

/* A file of the mirror that is never to be saved as it is, because its bytes or what it names is wrong, may be saved
 * all the same, as it is now, if an operator says so. False if there is no such thing at @path. Takes effect when
 * the queue is gone through the next time. */
bool save_queue_can_accept(const SaveQueue *queue, const char *path);
bool save_queue_accept(SaveQueue *queue, const char *path, uint64_t now_usec);

/* Nothing but deletions waits to hold still any longer, and what has failed is tried again. Likewise. */
void save_queue_hurry(SaveQueue *queue, uint64_t now_usec);

typedef struct SaveQueueStatus {
        size_t n_unsaved;        /* files, directories and links, refused ones left out */
        size_t n_running, n_failing, n_refused, n_deletions;
        uint64_t bytes;          /* not yet saved */
        /* when the oldest of these was first seen as it is; monotonic; UINT64_MAX: there is none */
        uint64_t since_usec;
        const char *problem;     /* the sentence about one that fails, else about one that is refused; NULL */
} SaveQueueStatus;
SaveQueueStatus save_queue_status(const SaveQueue *queue);
