/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One directory that somebody asked to have watched, with all below it. See tree/watch-root.h. */

#include "tree/watch-root.h"

WatchedRoot *watchedroot_free(WatchedRoot *root) {
        if (!root)
                return NULL;
        watchdesk_close(root->desk, &root->draft);
        free(root->path);
        free(root->skip);
        free(root);
        return NULL;
}

WatchedRoot *watchedroot_new(const WatchedRoot *from, const char *path, const char *skip) {
        WatchedRoot *root = calloc(1, sizeof(*root));
        size_t n;

        if (!root)
                return NULL;
        *root = *from;
        root->path = strdup(path);
        root->skip = skip ? strdup(skip) : NULL;
        if (!root->path || (skip && !root->skip)) {
                (void) watchedroot_free(root);
                return NULL;
        }
        /* a slash at the end would follow a symbolic link */
        for (n = strlen(root->path); n > 1 && root->path[n - 1] == '/'; n--)
                root->path[n - 1] = '\0';
        root->tree.path = root->path;
        root->tree.skip = root->skip;
        return root;
}

static void tell(WatchedRoot *root, unsigned flags, const char *path) {
        if (watchdesk_tell(root->desk, &root->draft, flags, path))
                atomic_fetch_add(root->resyncs, 1);
}

void watchedroot_changed(WatchRoot *root, const char *path) {
        tell((WatchedRoot *) root, WATCH_DIRTY, path);
}

void watchedroot_plant(WatchedRoot *root) {
        watchtree_plant(root->watchtree, &root->tree);
        root->state = root->state == ROOT_NEW || root->state == ROOT_ARMING ? ROOT_ARMING : ROOT_RESYNCING;
}

void watchedroot_blind(WatchedRoot *root) {
        if (root->state == ROOT_LOST || root->told_incomplete)
                return;
        tell(root, WATCH_RESYNC | WATCH_EXHAUSTED, NULL);
        root->told_incomplete = true;
}

void watchedroot_settle(WatchedRoot *root, bool listening) {
        if (root->state == ROOT_LOST)
                return;
        if (root->tree.lost) {
                watchtree_fell(root->watchtree, &root->tree);
                root->state = ROOT_LOST;
                tell(root, WATCH_LOST, NULL);
                return;
        }
        if (root->tree.incomplete && !root->told_incomplete) {
                root->told_incomplete = true;
                tell(root, WATCH_EXHAUSTED, NULL);
        }
        if (root->tree.n_fresh > 0 || !listening)
                return;
        if (root->state == ROOT_RESYNCING)
                tell(root, WATCH_RESYNC, NULL);
        if (root->state == ROOT_ARMING && !root->tree.incomplete)
                tell(root, WATCH_ARMED, NULL);
        if (root->state != ROOT_NEW)
                root->state = ROOT_ARMED;
}
