/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The directories that are watched, as a tree of nodes: found by parent and name, by watch, by inode; and the queue of
 * those that are to be listed. Nothing here reads the disk. One thread owns them. */

#include "base/base.h"
#include "tree/inotify.h"

#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct WatchNode WatchNode;

typedef struct WatchTreeRoot {
        const char *path; /* absolute; borrowed */
        const char *skip; /* name at the top that is left out, or NULL; borrowed */
        bool traceless;   /* see watch_add() */

        /* What the tree found; the owner may clear the flags. */
        bool lost;        /* deleted, moved, unmounted or mounted over */
        bool incomplete;  /* the kernel has no watch for some directory of it */
        size_t n_initial; /* directories that wait for their initial listing: 0 when all of the root is watched */

        WatchNode *top;   /* NULL while the root is not in the tree */
        dev_t device;     /* of the directory that was first watched at the path */
        ino_t inode;      /* the same; 0 before */
} WatchTreeRoot;

struct WatchNode {
        /* The key of the index. */
        WatchNode *parent; /* NULL for the top of a root */
        const char *name;

        WatchTreeRoot *root;
        LIST_HEAD(, WatchNode) children;
        LIST_ENTRY(WatchNode) sibling;  /* parent->children */
        TAILQ_ENTRY(WatchNode) waiting; /* WatchNodes.queue */
        bool queued;
        bool initial;         /* waits for its initial listing, and is counted in root->n_initial */
        bool report_contents; /* when it is listed, as changed */
        bool unlisted;        /* since it has its watch: what it holds may have been written before */
        unsigned listing;     /* number of the last listing of the parent that had it */
        int wd;               /* the watch; -1 when the kernel has dropped it */
        dev_t device;
        ino_t inode;
        char storage[];       /* of the name */
};

typedef struct WatchNodes {
        Inotify *inotify;   /* borrowed */
        size_t n;           /* nodes that have a watch */
        void *index;        /* tsearch(): parent and name -> node */
        WatchNode **by_wd;
        size_t n_by_wd;
        TAILQ_HEAD(, WatchNode) queue; /* to be listed */
} WatchNodes;

void watch_nodes_init(WatchNodes *nodes, Inotify *inotify);
/* All nodes must have been dropped. */
void watch_nodes_done(WatchNodes *nodes);

/* NULL if there is no such node. The last one searches all of them. */
WatchNode *watch_node_child(WatchNodes *nodes, WatchNode *parent, const char *name);
WatchNode *watch_node_from_wd(WatchNodes *nodes, int wd);
WatchNode *watch_node_from_inode(WatchNodes *nodes, const struct stat *st);

/* True if the node has a watch, on this very directory. */
bool watch_node_is_at(const WatchNode *node, const struct stat *st);
/* True if the node is @other or below it. @node may be NULL. */
bool watch_node_is_below(const WatchNode *node, const WatchNode *other);

/* A node without a watch yet; the top of @root if @parent is NULL. NULL on ENOMEM. */
WatchNode *watch_node_new(WatchNodes *nodes, WatchTreeRoot *root, WatchNode *parent, const char *name);
/* Drops the node and all below it with their watches, the leaves first. */
void watch_node_drop(WatchNodes *nodes, WatchNode *node);

/* 0 or -ENOMEM. */
int watch_node_set_wd(WatchNodes *nodes, WatchNode *node, int wd);
/* The kernel has dropped the watch of the node. */
void watch_node_forget_wd(WatchNodes *nodes, WatchNode *node);

/* Queues the node to be listed. Once it is to report its contents, it stays so until it is listed. */
void watch_node_queue(WatchNodes *nodes, WatchNode *node, bool report_contents);
void watch_node_unqueue(WatchNodes *nodes, WatchNode *node);

/* The path of a name in the node's directory, or with "" of the directory itself, relative to the root. A new string,
 * NULL on ENOMEM. */
char *watch_node_path(const WatchNode *node, const char *name);
size_t watch_node_path_length(const WatchNode *node, const char *name);
