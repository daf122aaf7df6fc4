/* SPDX-License-Identifier: GPL-2.0-or-later */

/* A directory that watch_add() was called for, with all below it. See tree/watch-root.h. */

#include "tree/watch-root.h"

WatchRoot *watch_root_free(WatchRoot *root) {
        if (!root)
                return NULL;
        watch_reports_close(root->reports, &root->draft);
        free(root->path);
        free(root->skip);
        free(root);
        return NULL;
}

WatchRoot *watch_root_new(const WatchRoot *from, const char *path, const char *skip) {
        WatchRoot *root = calloc(1, sizeof(*root));
        size_t n;

        if (!root)
                return NULL;
        *root = *from;
        root->path = strdup(path);
        root->skip = skip ? strdup(skip) : NULL;
        if (!root->path || (skip && !root->skip)) {
                (void) watch_root_free(root);
                return NULL;
        }
        /* with a slash at the end, the kernel would follow a symbolic link */
        for (n = strlen(root->path); n > 1 && root->path[n - 1] == '/'; n--)
                root->path[n - 1] = '\0';
        root->tree.path = root->path;
        root->tree.skip = root->skip;
        return root;
}

static void report_path(WatchRoot *root, unsigned flags, const char *path, bool written) {
        if (watch_reports_add(root->reports, &root->draft, flags, path, written))
                atomic_fetch_add(root->resyncs, 1);
}

static void report(WatchRoot *root, unsigned flags) {
        report_path(root, flags, NULL, false);
}

void watch_root_changed(WatchTreeRoot *root, const char *path, bool written) {
        report_path((WatchRoot *) root, WATCH_DIRTY, path, written);
}

void watch_root_start(WatchRoot *root) {
        watch_tree_add_root(root->watch_tree, &root->tree);
        root->state = root->state == WATCH_ROOT_NEW || root->state == WATCH_ROOT_ARMING ? WATCH_ROOT_ARMING
                                                                                        : WATCH_ROOT_RESYNCING;
}

void watch_root_exhausted(WatchRoot *root) {
        if (root->state == WATCH_ROOT_LOST || root->incomplete_reported)
                return;
        report(root, WATCH_RESYNC | WATCH_EXHAUSTED);
        root->incomplete_reported = true;
}

void watch_root_synced(WatchRoot *root, bool listening) {
        if (root->syncing)
                report(root, listening ? WATCH_SYNCED : WATCH_SYNCED | WATCH_RESYNC);
        root->syncing = false;
}

void watch_root_settle(WatchRoot *root, bool listening) {
        if (root->state == WATCH_ROOT_LOST)
                return;
        if (root->tree.lost) {
                watch_tree_remove_root(root->watch_tree, &root->tree);
                root->state = WATCH_ROOT_LOST;
                report(root, WATCH_LOST);
                return;
        }
        if (root->tree.incomplete && !root->incomplete_reported) {
                root->incomplete_reported = true;
                report(root, WATCH_EXHAUSTED);
        }
        if (root->tree.n_initial > 0 || !listening)
                return;
        if (root->state == WATCH_ROOT_RESYNCING)
                report(root, WATCH_RESYNC);
        if (root->state == WATCH_ROOT_ARMING && !root->tree.incomplete)
                report(root, WATCH_ARMED);
        if (root->state != WATCH_ROOT_NEW)
                root->state = WATCH_ROOT_ARMED;
}
