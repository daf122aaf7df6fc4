/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The directories that are watched, kept in step with the disk. See tree/watch-tree.h. */

#include "tree/watch-tree.h"

#include "os/fs.h"

#include <fcntl.h>
#include <limits.h>

enum { OPEN_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

/* Which directories are listed aloud after a look at a name. */
typedef enum Aloud {
        ALOUD_NEW = 1 << 0,   /* one that was not known */
        ALOUD_KNOWN = 1 << 1, /* one that was: it may have been away and changed there */
} Aloud;

void watch_tree_init(WatchTree *tree, Inotify *inotify, const atomic_bool *stop,
                    void (*changed)(WatchTreeRoot *root, const char *path)) {
        *tree = (WatchTree){ .inotify = inotify, .stop = stop, .changed = changed };
        watch_nodes_init(&tree->nodes, inotify);
}

void watch_tree_done(WatchTree *tree) {
        watch_nodes_done(&tree->nodes);
}

/* Remembers when a call failed for want of something, not because of what is on disk: then nothing can be
 * concluded from the failure. */
static int note(WatchTree *tree, int error) {
        if (error == EMFILE || error == ENFILE || error == ENOMEM)
                tree->confused = true;
        return -error;
}

static int root_open(WatchTree *tree, WatchTreeRoot *root, int flags) {
        _cleanup_(close_fdp) int fd = open(root->path, flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0) {
                int r = note(tree, errno);

                root->lost = !tree->confused;
                return r;
        }
        if (fstat(fd, &st) < 0 || (root->inode != 0 && (root->inode != st.st_ino || root->device != st.st_dev))) {
                root->lost = true;
                return -ESTALE;
        }
        root->inode = st.st_ino;
        root->device = st.st_dev;
        return TAKE_FD(fd);
}

/* Opens the node's directory by its path, if that still leads there. If not, some directory above was changed after
 * what led here, so an event about it is still to come, and this node will be looked at again, or dropped. */
static int node_open(WatchTree *tree, const WatchNode *node) {
        _cleanup_(close_fdp) int top = root_open(tree, node->root, O_PATH), fd = -1;
        _cleanup_(freep) char *path = watch_node_path(node, "");
        struct stat st;

        if (top < 0)
                return top;
        if (!path)
                return note(tree, ENOMEM);
        fd = fs_open_beneath(top, *path ? path : ".", OPEN_FLAGS, 0);
        if (fd < 0)
                return note(tree, -fd);
        if (fstat(fd, &st) < 0 || !watch_node_is_at(node, &st))
                return -ESTALE;
        return TAKE_FD(fd);
}

static bool same_mount(int a, int b) {
        struct statx x, y;

        return statx(a, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) < 0 ||
               statx(b, "", AT_EMPTY_PATH, STATX_MNT_ID, &y) < 0 || x.stx_mnt_id == y.stx_mnt_id;
}

/* Makes room for the open directory below @parent (NULL: a root), whose inode has a watch already. If that watch's
 * node is not in place any more, the directory was renamed, and seen here before the event was: the old node goes. If
 * it is in place, the directory was renamed back from here, and the events are to come; unless two paths do lead to one
 * directory (a bind mount, a root inside another): the kernel has only one watch to give, so the second counts as
 * unwatchable. False if there is no room, or @parent went too. */
static bool make_room(WatchTree *tree, WatchTreeRoot *root, WatchNode *parent, int dirfd, const struct stat *st,
                      bool *ret_gone) {
        WatchNode *rival = watch_node_from_inode(&tree->nodes, st);
        _cleanup_(close_fdp) int fd = -1;

        if (!rival) {
                tree->confused = true;
                return false;
        }
        fd = node_open(tree, rival);
        if (fd >= 0) {
                root->incomplete |= rival->root != root || !same_mount(fd, dirfd);
                return false;
        }
        if (!rival->parent) {
                rival->root->lost = true;
                return false;
        }
        *ret_gone = watch_node_is_below(parent, rival);
        watch_node_queue(&tree->nodes, rival->parent, true);
        watch_node_drop(&tree->nodes, rival);
        return !*ret_gone;
}

/* Watches the open directory under this name. False if @parent is no more. A directory that cannot be watched is left
 * out; where that matters to more than itself, the flags say so. */
static bool place(WatchTree *tree, WatchTreeRoot *root, WatchNode *parent, const char *name, int fd,
                  const struct stat *st, bool aloud) {
        bool gone = false;
        WatchNode *node;
        int wd, r;

        if (parent && watch_node_path_length(parent, name) >= PATH_MAX)
                return true; /* nobody could open it by its path */
        r = inotify_watch(tree->inotify, fd, &wd);
        if (r == INOTIFY_TAKEN) {
                if (!make_room(tree, root, parent, fd, st, &gone))
                        return !gone;
                r = inotify_watch(tree->inotify, fd, &wd);
        }
        if (r == INOTIFY_FULL)
                root->incomplete = true;
        if (r == INOTIFY_TAKEN)
                tree->confused = true;
        if (r != 0) {
                (void) note(tree, -r);
                return true;
        }
        node = watch_node_new(&tree->nodes, root, parent, name);
        if (!node || watch_node_set_wd(&tree->nodes, node, wd) < 0) {
                (void) note(tree, ENOMEM);
                return true; /* beginning again drops the watch too */
        }
        node->inode = st->st_ino;
        node->device = st->st_dev;
        node->fresh = !aloud;
        root->n_fresh += node->fresh;
        watch_node_queue(&tree->nodes, node, aloud);
        return true;
}

/* Compares a name in the node's open directory with the tree. False if the node is no more. */
static bool survey_at(WatchTree *tree, WatchNode *node, int dirfd, const char *name, unsigned aloud) {
        _cleanup_(close_fdp) int fd = openat(dirfd, name, OPEN_FLAGS);
        WatchNode *child = watch_node_child(&tree->nodes, node, name);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                (void) note(tree, errno);
                if (child)
                        watch_node_drop(&tree->nodes, child);
                return true;
        }
        if (child && watch_node_is_at(child, &st)) {
                if (aloud & ALOUD_KNOWN)
                        watch_node_queue(&tree->nodes, child, true);
                return true;
        }
        if (child)
                watch_node_drop(&tree->nodes, child);
        if (st.st_dev != node->root->device)
                return true;
        return place(tree, node->root, node, name, fd, &st, aloud & ALOUD_NEW);
}

static bool is_wanted(const WatchNode *node, const char *name) {
        return node->parent || !string_equal(name, node->root->skip);
}

static void tell(WatchTree *tree, const WatchNode *node, const char *name) {
        _cleanup_(freep) char *path = watch_node_path(node, name);

        tree->changed(node->root, path);
}

static bool entry_is_directory(int dirfd, const struct dirent *entry) {
        struct stat st;

        if (entry->d_type != DT_UNKNOWN)
                return entry->d_type == DT_DIR;
        return fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static void drop_unseen(WatchTree *tree, WatchNode *node) {
        for (WatchNode *child = LIST_FIRST(&node->children), *next; child; child = next) {
                next = LIST_NEXT(child, sibling);
                if (child->listing != tree->listing)
                        watch_node_drop(&tree->nodes, child);
        }
}

/* Takes @dir. */
static void node_list(WatchTree *tree, WatchNode *node, DIR *dir_taken, bool aloud) {
        _cleanup_(closedirp) DIR *dir = dir_taken;
        const struct dirent *entry;
        WatchNode *child;

        tree->listing++;
        for (errno = 0; (entry = readdir(dir)); errno = 0) {
                const char *name = entry->d_name;

                if (string_equal(name, ".") || string_equal(name, "..") || !is_wanted(node, name))
                        continue;
                if (atomic_load(tree->stop) || tree->confused)
                        return;
                if (aloud)
                        tell(tree, node, name);
                if (!entry_is_directory(dirfd(dir), entry))
                        continue;
                if (!survey_at(tree, node, dirfd(dir), name, aloud ? ALOUD_NEW | ALOUD_KNOWN : 0))
                        return;
                child = watch_node_child(&tree->nodes, node, name);
                if (child)
                        child->listing = tree->listing;
        }
        if (errno == 0) /* a directory that cannot be read to its end proves no absence */
                drop_unseen(tree, node);
}

void watch_tree_add_root(WatchTree *tree, WatchTreeRoot *root) {
        _cleanup_(close_fdp) int fd = root_open(tree, root, O_RDONLY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        (void) place(tree, root, NULL, "", fd, &st, false);
        if (!root->top)
                root->incomplete = true;
}

void watch_tree_remove_root(WatchTree *tree, WatchTreeRoot *root) {
        if (root->top)
                watch_node_drop(&tree->nodes, root->top);
}

bool watch_tree_list_next(WatchTree *tree) {
        WatchNode *node = TAILQ_FIRST(&tree->nodes.queue);
        _cleanup_(close_fdp) int fd = -1;
        bool aloud;
        DIR *dir;

        if (!node)
                return false;
        aloud = node->aloud;
        node->aloud = false;
        watch_node_unqueue(&tree->nodes, node);
        fd = node_open(tree, node);
        if (fd < 0)
                return true;
        dir = fdopendir(fd);
        if (!dir) {
                (void) note(tree, errno);
                return true;
        }
        (void) TAKE_FD(fd);
        node_list(tree, node, dir, aloud);
        return true;
}

/* About the watched directory itself. */
static void handle_self(WatchTree *tree, WatchNode *node, uint32_t mask) {
        if ((mask & IN_UNMOUNT) || (!node->parent && (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))))
                node->root->lost = true;
        if (mask & IN_IGNORED) {
                watch_node_forget_wd(&tree->nodes, node); /* the kernel has dropped the watch */
                watch_node_drop(&tree->nodes, node);
        }
}

void watch_tree_handle(WatchTree *tree, const struct inotify_event *event) {
        const char *name = inotify_name(event);
        _cleanup_(close_fdp) int fd = -1;
        WatchNode *node;
        unsigned aloud;

        if (event->mask & IN_Q_OVERFLOW) {
                tree->confused = true;
                return;
        }
        node = watch_node_from_wd(&tree->nodes, event->wd);
        if (!node) /* its watch was dropped meanwhile; what it tells of was looked at after that */
                return;
        if (*name == '\0') {
                handle_self(tree, node, event->mask);
                return;
        }
        if (!is_wanted(node, name))
                return;
        tell(tree, node, name);
        if (!(event->mask & IN_ISDIR))
                return;
        fd = node_open(tree, node);
        aloud = event->mask & (IN_CREATE | IN_MOVED_TO) ? ALOUD_NEW | ALOUD_KNOWN : ALOUD_NEW;
        if (fd >= 0)
                (void) survey_at(tree, node, fd, name, aloud);
}

void watch_tree_check(WatchTreeRoot *root) {
        struct stat st;

        if (root->inode == 0)
                return;
        if (lstat(root->path, &st) < 0 || st.st_ino != root->inode || st.st_dev != root->device)
                root->lost = true;
}
