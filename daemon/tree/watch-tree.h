/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The directories that are watched, kept in step with the disk.
 *
 * A node is a directory that had this name below its parent and this inode when it was looked at, and has a watch.
 * An event about a name only says "look at that name again": what is on disk then is compared with the node, and the
 * node is made, kept, or dropped with all below it. So a renamed directory is one that went and one that came, no
 * order of events can mislead, and nothing waits for the second half of a rename. A new directory is watched first
 * and listed afterwards, so nothing in it is missed.
 *
 * One thread owns the tree. No directory is reached through a symbolic link or held open between calls, so an
 * unmount is not in the way. */

#include "base/base.h"
#include "tree/inotify.h"
#include "tree/watch-node.h"

#include <stdatomic.h>

typedef struct WatchTree {
        Inotify *inotify;      /* borrowed */
        const atomic_bool *stop; /* borrowed: give up a listing half-way */

        /* Told of each path below a root that may have changed; NULL for one that memory did not suffice to name. */
        void (*changed)(WatchTreeRoot *root, const char *path);

        bool confused;        /* events were lost or the picture cannot be right: begin again with a new notifier */
        WatchNodes nodes;
        unsigned listing;     /* number of the current listing */
} WatchTree;

void watch_tree_init(WatchTree *tree, Inotify *inotify, const atomic_bool *stop,
                    void (*changed)(WatchTreeRoot *root, const char *path));

/* All roots must have been felled. */
void watch_tree_done(WatchTree *tree);

/* Watches the root directory and queues it to be listed quietly: what it holds now is not told as changed. The
 * outcome is in the flags. A root that was planted before must be the same directory still. */
void watch_tree_add_root(WatchTree *tree, WatchTreeRoot *root);
void watch_tree_remove_root(WatchTree *tree, WatchTreeRoot *root);

/* Lists one queued directory and watches those in it. False if there was none. */
bool watch_tree_list_next(WatchTree *tree);

void watch_tree_handle(WatchTree *tree, const struct inotify_event *event);

/* Is the path of a planted root still the directory that is watched? Else it is lost. */
void watch_tree_check(WatchTreeRoot *root);
