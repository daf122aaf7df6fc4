/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Keeps the tree of watched directories in step with the disk.
 *
 * A node is a directory that had this name below its parent and this inode when it was last checked, and has a watch.
 * An event about a name only means that the name has to be checked again: what is on disk then is compared with the
 * node, and the node is made, kept, or dropped with all below it. A renamed directory is one that went and one that
 * came, so no order of events can mislead, and nothing waits for the second half of a rename. A new directory is
 * watched first and listed afterwards, so nothing in it is missed.
 *
 * One thread owns the tree. It reaches no directory through a symbolic link, and holds none open between calls, so
 * that filesystems can be unmounted. */

#include "base/base.h"
#include "tree/inotify.h"
#include "tree/watch-node.h"

#include <stdatomic.h>

typedef struct WatchTree {
        const atomic_bool *stop; /* borrowed: give up a listing half-way */

        /* Called for each path below a root that may have changed; with NULL for one on ENOMEM. @written: it may be
         * the name of a file that was closed after writing. */
        void (*changed)(WatchTreeRoot *root, const char *path, bool written);

        /* events were lost, or the tree cannot be right: restart inotify and add all roots again */
        bool out_of_sync;
        WatchNodes nodes;
        unsigned listing; /* number of the current listing */
} WatchTree;

/* watch_nodes_done() of .nodes ends it, when all roots have been removed. */
void watch_tree_init(WatchTree *tree, Inotify *inotify, const atomic_bool *stop,
                     void (*changed)(WatchTreeRoot *root, const char *path, bool written));

/* Watches the root directory and queues its initial listing, which does not report what it finds as changed. The
 * outcome is in the flags of the root. A root that was in the tree before must still be the same directory. */
void watch_tree_add_root(WatchTree *tree, WatchTreeRoot *root);
void watch_tree_remove_root(WatchTree *tree, WatchTreeRoot *root);

/* Lists one queued directory and watches the directories in it. False if none was queued. */
bool watch_tree_list_next(WatchTree *tree);

void watch_tree_handle(WatchTree *tree, const struct inotify_event *event);

/* Marks the root as lost if its path does not lead to the watched directory any more. */
void watch_tree_check(WatchTreeRoot *root);
