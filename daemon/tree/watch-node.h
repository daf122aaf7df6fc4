/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One directory that is watched, and all of them: found by parent and name, by watch, by inode; those that wait to
 * be listed. Knows nothing of what is on disk. One thread owns them. */

#include "base/base.h"
#include "tree/inotify.h"

#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct WatchNode WatchNode;

typedef struct WatchTreeRoot {
        const char *path; /* absolute; borrowed */
        const char *skip; /* name at the top that is not looked at, or NULL; borrowed */

        /* The tree's findings; the owner may clear the flags. */
        bool lost;       /* deleted, moved, unmounted or mounted over */
        bool incomplete; /* the kernel has no watch for some directory of it */
        size_t n_fresh;  /* directories that wait for their first, quiet listing: 0 when all is watched */

        WatchNode *top; /* NULL while not planted */
        dev_t device;   /* what was planted first, to know it again */
        ino_t inode;
} WatchTreeRoot;

struct WatchNode {
        /* What the index compares. */
        WatchNode *parent; /* NULL for the top of a root */
        const char *name;

        WatchTreeRoot *root;
        LIST_HEAD(, WatchNode) children;
        LIST_ENTRY(WatchNode) sibling;  /* parent->children */
        TAILQ_ENTRY(WatchNode) waiting; /* WatchNodes.queue */
        bool queued;
        bool fresh;       /* counted in WatchRoot.n_fresh */
        bool aloud;       /* when it is listed */
        unsigned listing; /* of the parent, that saw it last */
        int wd;           /* -1 when the kernel has dropped it */
        dev_t device;
        ino_t inode;
        char storage[];   /* of the name */
};

typedef struct WatchNodes {
        Inotify *inotify; /* borrowed */
        size_t n;           /* that have a watch */
        void *index;        /* tsearch(): parent and name -> node */
        WatchNode **by_wd;
        size_t n_by_wd;
        TAILQ_HEAD(, WatchNode) queue; /* to be listed */
} WatchNodes;

void watch_nodes_init(WatchNodes *nodes, Inotify *inotify);
/* All must have been dropped. */
void watch_nodes_done(WatchNodes *nodes);

/* NULL where there is none. The last looks at all of them. */
WatchNode *watch_node_child(WatchNodes *nodes, WatchNode *parent, const char *name);
WatchNode *watch_node_from_wd(WatchNodes *nodes, int wd);
WatchNode *watch_node_from_inode(WatchNodes *nodes, const struct stat *st);

/* It has a watch, on this very directory. */
bool watch_node_is_at(const WatchNode *node, const struct stat *st);
/* Or is it. */
bool watch_node_is_below(const WatchNode *node, const WatchNode *other);

/* Without a watch yet; the top of @root without @parent. NULL on ENOMEM. */
WatchNode *watch_node_new(WatchNodes *nodes, WatchTreeRoot *root, WatchNode *parent, const char *name);
/* The node and all below it, the leaves first, with their watches. */
void watch_node_drop(WatchNodes *nodes, WatchNode *node);

/* 0 or -ENOMEM. */
int watch_node_set_wd(WatchNodes *nodes, WatchNode *node, int wd);
/* The kernel has dropped its watch. */
void watch_node_forget_wd(WatchNodes *nodes, WatchNode *node);

void watch_node_queue(WatchNodes *nodes, WatchNode *node, bool aloud);
void watch_node_unqueue(WatchNodes *nodes, WatchNode *node);

/* Of a name in the node's directory, or with "" of the directory itself, relative to the root. A new string, NULL on
 * ENOMEM. */
char *watch_node_path(const WatchNode *node, const char *name);
size_t watch_node_path_length(const WatchNode *node, const char *name);
