/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The directories that are watched, as a tree of nodes. See tree/watch-node.h. */

#include "tree/watch-node.h"

#include <search.h>

void watch_nodes_init(WatchNodes *nodes, Inotify *inotify) {
        *nodes = (WatchNodes){ .inotify = inotify };
        TAILQ_INIT(&nodes->queue);
}

void watch_nodes_done(WatchNodes *nodes) {
        assert(!nodes->index && nodes->n == 0);
        free(nodes->by_wd);
        nodes->by_wd = NULL;
}

static int compare_nodes(const void *a, const void *b) {
        const WatchNode *x = a, *y = b;

        if (x->parent != y->parent)
                return (uintptr_t) x->parent < (uintptr_t) y->parent ? -1 : 1;
        return strcmp(x->name, y->name);
}

WatchNode *watch_node_child(WatchNodes *nodes, WatchNode *parent, const char *name) {
        const WatchNode key = { .parent = parent, .name = name };
        WatchNode **found = tfind(&key, &nodes->index, compare_nodes);

        return found ? *found : NULL;
}

WatchNode *watch_node_from_wd(WatchNodes *nodes, int wd) {
        return wd >= 0 && (size_t) wd < nodes->n_by_wd ? nodes->by_wd[wd] : NULL;
}

WatchNode *watch_node_from_inode(WatchNodes *nodes, const struct stat *st) {
        for (size_t i = 0; i < nodes->n_by_wd; i++) {
                WatchNode *node = nodes->by_wd[i];

                if (node && node->inode == st->st_ino && node->device == st->st_dev)
                        return node;
        }
        return NULL;
}

bool watch_node_is_at(const WatchNode *node, const struct stat *st) {
        return node->wd >= 0 && node->inode == st->st_ino && node->device == st->st_dev;
}

bool watch_node_is_below(const WatchNode *node, const WatchNode *other) {
        while (node && node != other)
                node = node->parent;
        return node;
}

void watch_node_queue(WatchNodes *nodes, WatchNode *node, bool report_contents) {
        node->report_contents |= report_contents;
        if (!node->queued)
                TAILQ_INSERT_TAIL(&nodes->queue, node, waiting);
        node->queued = true;
}

void watch_node_unqueue(WatchNodes *nodes, WatchNode *node) {
        if (node->queued)
                TAILQ_REMOVE(&nodes->queue, node, waiting);
        if (node->initial)
                node->root->n_initial--;
        node->queued = node->initial = false;
}

int watch_node_set_wd(WatchNodes *nodes, WatchNode *node, int wd) {
        if ((size_t) wd >= nodes->n_by_wd) {
                size_t n = MAX(nodes->n_by_wd * 2, (size_t) wd + 64);
                WatchNode **grown = reallocarray(nodes->by_wd, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                memset(grown + nodes->n_by_wd, 0, (n - nodes->n_by_wd) * sizeof(*grown));
                nodes->by_wd = grown;
                nodes->n_by_wd = n;
        }
        nodes->by_wd[wd] = node;
        nodes->n++;
        node->wd = wd;
        return 0;
}

void watch_node_forget_wd(WatchNodes *nodes, WatchNode *node) {
        if (node->wd < 0)
                return;
        nodes->by_wd[node->wd] = NULL;
        nodes->n--;
        node->wd = -1;
}

WatchNode *watch_node_new(WatchNodes *nodes, WatchTreeRoot *root, WatchNode *parent, const char *name) {
        size_t size = strlen(name) + 1;
        WatchNode *node = calloc(1, sizeof(*node) + size);

        if (!node)
                return NULL;
        node->parent = parent;
        node->name = memcpy(node->storage, name, size);
        node->root = root;
        node->wd = -1;
        LIST_INIT(&node->children);
        if (!parent)
                root->top = node;
        else if (tsearch(node, &nodes->index, compare_nodes))
                LIST_INSERT_HEAD(&parent->children, node, sibling);
        else {
                free(node);
                return NULL;
        }
        return node;
}

static void free_leaf(WatchNodes *nodes, WatchNode *node) {
        if (node->wd >= 0)
                inotify_unwatch(nodes->inotify, node->wd);
        watch_node_forget_wd(nodes, node);
        watch_node_unqueue(nodes, node);
        if (node->parent) {
                (void) tdelete(node, &nodes->index, compare_nodes);
                LIST_REMOVE(node, sibling);
        } else
                node->root->top = NULL;
        free(node);
}

void watch_node_drop(WatchNodes *nodes, WatchNode *node) {
        for (WatchNode *at = node, *next; at; at = next) {
                next = LIST_FIRST(&at->children);
                if (next)
                        continue;
                next = at == node ? NULL : at->parent;
                free_leaf(nodes, at);
        }
}

size_t watch_node_path_length(const WatchNode *node, const char *name) {
        size_t length = strlen(name);

        for (const WatchNode *at = node; at->parent; at = at->parent)
                length += strlen(at->name) + 1;
        return length - (*name == '\0' && length > 0);
}

char *watch_node_path(const WatchNode *node, const char *name) {
        size_t length = watch_node_path_length(node, name);
        char *path = malloc(length + 1), *p;

        if (!path)
                return NULL;
        p = path + length - strlen(name);
        (void) strcpy(p, name);
        for (const WatchNode *at = node; at->parent; at = at->parent) {
                size_t n = strlen(at->name);

                if (p < path + length)
                        *--p = '/';
                p = memcpy(p - n, at->name, n);
        }
        return path;
}
