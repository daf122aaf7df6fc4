/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One directory that is watched, and all of them: found by parent and name, by watch, by inode; those that wait to be listed. Knows nothing of what is on disk.
 * One thread owns them. */

#include "base/base.h"
#include "tree/inotify.h"

#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct WatchNode WatchNode;

typedef struct WatchRoot {
        const char *path; /* absolute; borrowed */
        const char *skip; /* name at the top that is not looked at, or NULL; borrowed */

        /* The tree's findings; the owner may clear the flags. */
        bool lost;       /* deleted, moved, unmounted or mounted over */
        bool incomplete; /* the kernel has no watch for some directory of it */
        size_t n_fresh;  /* directories that wait for their first, quiet listing: 0 when all is watched */

        WatchNode *top; /* NULL while not planted */
        dev_t device;   /* what was planted first, to know it again */
        ino_t inode;
} WatchRoot;

struct WatchNode {
        /* What the index compares. */
        WatchNode *parent; /* NULL for the top of a root */
        const char *name;

        WatchRoot *root;
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
        Notifier *notifier; /* borrowed */
        size_t n;           /* that have a watch */
        void *index;        /* tsearch(): parent and name -> node */
        WatchNode **by_wd;
        size_t n_by_wd;
        TAILQ_HEAD(, WatchNode) queue; /* to be listed */
} WatchNodes;

void watchnodes_init(WatchNodes *nodes, Notifier *notifier);
/* All must have been dropped. */
void watchnodes_done(WatchNodes *nodes);

/* NULL where there is none. The last looks at all of them. */
WatchNode *watchnode_child(WatchNodes *nodes, WatchNode *parent, const char *name);
WatchNode *watchnode_from_wd(WatchNodes *nodes, int wd);
WatchNode *watchnode_from_inode(WatchNodes *nodes, const struct stat *st);

/* It has a watch, on this very directory. */
bool watchnode_is_at(const WatchNode *node, const struct stat *st);
/* Or is it. */
bool watchnode_is_below(const WatchNode *node, const WatchNode *other);

/* Without a watch yet; the top of @root without @parent. NULL on ENOMEM. */
WatchNode *watchnode_new(WatchNodes *nodes, WatchRoot *root, WatchNode *parent, const char *name);
/* The node and all below it, the leaves first, with their watches. */
void watchnode_drop(WatchNodes *nodes, WatchNode *node);

/* 0 or -ENOMEM. */
int watchnode_set_wd(WatchNodes *nodes, WatchNode *node, int wd);
/* The kernel has dropped its watch. */
void watchnode_forget_wd(WatchNodes *nodes, WatchNode *node);

void watchnode_queue(WatchNodes *nodes, WatchNode *node, bool aloud);
void watchnode_unqueue(WatchNodes *nodes, WatchNode *node);

/* Of a name in the node's directory, or with "" of the directory itself, relative to the root. A new string, NULL on ENOMEM. */
char *watchnode_path(const WatchNode *node, const char *name);
size_t watchnode_path_length(const WatchNode *node, const char *name);
