/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Keeps the tree of watched directories in step with the disk. See tree/watch-tree.h. */

#include "tree/watch-tree.h"

#include "os/fs.h"
#include "os/tree-access.h"

#include <fcntl.h>
#include <limits.h>

enum { OPEN_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

/* Of which directories the contents are reported as changed after a name was checked. */
typedef enum ReportContents {
        REPORT_NEW = 1 << 0,   /* of one that was not known */
        REPORT_KNOWN = 1 << 1, /* of one that was known: it may have been moved away, changed there, and moved back */
} ReportContents;

void watch_tree_init(WatchTree *tree, Inotify *inotify, const atomic_bool *stop,
                     void (*changed)(WatchTreeRoot *root, const char *path, bool written)) {
        *tree = (WatchTree){ .stop = stop, .changed = changed };
        watch_nodes_init(&tree->nodes, inotify);
}

/* Takes note of a call that failed for want of descriptors or memory: then the failure says nothing about what is on
 * disk. Returns the negative errno. */
static int note_error(WatchTree *tree, int error) {
        if (error == EMFILE || error == ENFILE || error == ENOMEM)
                tree->out_of_sync = true;
        return -error;
}

static int root_open(WatchTree *tree, WatchTreeRoot *root, int flags) {
        _cleanup_(close_fdp) int fd = tree_access_open_root(root->path, flags | O_NOFOLLOW);
        struct stat st;

        if (fd < 0) {
                int r = note_error(tree, -fd);

                root->lost = !tree->out_of_sync;
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

/* Opens the node's directory by its path, if that still leads there. If not, some directory above was changed since,
 * so an event about that is still to come, and this node will be checked again then, or dropped. */
static int node_open(WatchTree *tree, const WatchNode *node) {
        _cleanup_(close_fdp) int top = root_open(tree, node->root, O_PATH), fd = -1;
        _cleanup_(freep) char *path = watch_node_path(node, "");
        struct stat st;

        if (top < 0)
                return top;
        if (!path)
                return note_error(tree, ENOMEM);
        fd = fs_open_beneath(top, *path ? path : ".", OPEN_FLAGS);
        if (fd < 0)
                return note_error(tree, -fd);
        if (fstat(fd, &st) < 0 || !watch_node_is_at(node, &st))
                return -ESTALE;
        return TAKE_FD(fd);
}

static bool same_mount(int a, int b) {
        struct statx x, y;

        return statx(a, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) < 0 ||
               statx(b, "", AT_EMPTY_PATH, STATX_MNT_ID, &y) < 0 || x.stx_mnt_id == y.stx_mnt_id;
}

/* Drops the node that has the watch of the open directory's inode, if it can be dropped; @parent (NULL: for a root) is
 * where the directory was found now. If that node is not in place any more, the directory was renamed, and found here
 * before the event was read: the old node goes. If it is in place, either the directory was renamed back since, and
 * the events are to come; or two paths lead to one directory (a bind mount, a root inside another), and as the kernel
 * has only one watch for an inode, the second path counts as unwatchable. False if the inode is not free, or @parent
 * went too (*ret_gone). */
static bool free_inode(WatchTree *tree, WatchTreeRoot *root, WatchNode *parent, int dirfd, const struct stat *st,
                       bool *ret_gone) {
        WatchNode *rival = watch_node_from_inode(&tree->nodes, st);
        _cleanup_(close_fdp) int fd = -1;

        if (!rival) {
                tree->out_of_sync = true;
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

/* Watches the open directory under this name, and queues it to be listed. False if @parent was dropped. A directory
 * that cannot be watched is left out; the flags of the root or the tree say so where it matters. */
static bool add_watch(WatchTree *tree, WatchTreeRoot *root, WatchNode *parent, const char *name, int fd,
                      const struct stat *st, bool report_contents) {
        bool gone = false;
        WatchNode *node;
        int wd, r;

        if (parent && watch_node_path_length(parent, name) >= PATH_MAX)
                return true; /* nothing could open it by its path */
        r = inotify_watch(tree->nodes.inotify, fd, &wd);
        if (r == INOTIFY_TAKEN) {
                if (!free_inode(tree, root, parent, fd, st, &gone))
                        return !gone;
                r = inotify_watch(tree->nodes.inotify, fd, &wd);
        }
        if (r == INOTIFY_FULL)
                root->incomplete = true;
        if (r == INOTIFY_TAKEN)
                tree->out_of_sync = true;
        if (r != 0) {
                (void) note_error(tree, -r);
                return true;
        }
        node = watch_node_new(&tree->nodes, root, parent, name);
        if (!node || watch_node_set_wd(&tree->nodes, node, wd) < 0) {
                (void) note_error(tree, ENOMEM);
                return true; /* the restart that follows drops the watch too */
        }
        node->inode = st->st_ino;
        node->device = st->st_dev;
        node->initial = !report_contents;
        node->unlisted = true;
        root->n_initial += node->initial;
        watch_node_queue(&tree->nodes, node, report_contents);
        return true;
}

/* Compares a name in the node's open directory with the tree. False if the node was dropped. */
static bool check_name(WatchTree *tree, WatchNode *node, int dirfd, const char *name, unsigned report_contents) {
        _cleanup_(close_fdp) int fd = tree_access_open((TreeName){ dirfd, name }, OPEN_FLAGS);
        WatchNode *child = watch_node_child(&tree->nodes, node, name);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                (void) note_error(tree, fd < 0 ? -fd : errno);
                if (child)
                        watch_node_drop(&tree->nodes, child);
                return true;
        }
        if (child && watch_node_is_at(child, &st)) {
                if (report_contents & REPORT_KNOWN)
                        watch_node_queue(&tree->nodes, child, true);
                return true;
        }
        if (child)
                watch_node_drop(&tree->nodes, child);
        if (st.st_dev != node->root->device)
                return true;
        return add_watch(tree, node->root, node, name, fd, &st, report_contents & REPORT_NEW);
}

static bool is_wanted(const WatchNode *node, const char *name) {
        return node->parent || !string_equal(name, node->root->skip);
}

static void report_path(WatchTree *tree, const WatchNode *node, const char *name, bool written) {
        _cleanup_(freep) char *path = watch_node_path(node, name);

        tree->changed(node->root, path, written);
}

/* DT_DIR, DT_REG and so on; DT_UNKNOWN: it is gone. */
static unsigned entry_type(int dirfd, const struct dirent *entry) {
        struct stat st;

        if (entry->d_type != DT_UNKNOWN)
                return entry->d_type;
        return fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? IFTODT(st.st_mode) : DT_UNKNOWN;
}

static void drop_unseen(WatchTree *tree, WatchNode *node) {
        for (WatchNode *child = LIST_FIRST(&node->children), *next; child; child = next) {
                next = LIST_NEXT(child, sibling);
                if (child->listing != tree->listing)
                        watch_node_drop(&tree->nodes, child);
        }
}

/* Lists the directory of the node, and closes it. */
static void node_list(WatchTree *tree, WatchNode *node, DIR *dir_owned, bool report_contents) {
        _cleanup_(closedirp) DIR *dir = dir_owned;
        const struct dirent *entry;
        WatchNode *child;

        tree->listing++;
        for (errno = 0; (entry = readdir(dir)); errno = 0) {
                const char *name = entry->d_name;
                unsigned type;

                if (string_equal(name, ".") || string_equal(name, "..") || !is_wanted(node, name))
                        continue;
                if (atomic_load(tree->stop) || tree->out_of_sync)
                        return;
                type = entry_type(dirfd(dir), entry);
                if (report_contents)
                        report_path(tree, node, name, node->root->traceless && node->unlisted && type == DT_REG);
                if (type != DT_DIR)
                        continue;
                if (!check_name(tree, node, dirfd(dir), name, report_contents ? REPORT_NEW | REPORT_KNOWN : 0))
                        return;
                child = watch_node_child(&tree->nodes, node, name);
                if (child)
                        child->listing = tree->listing;
        }
        if (errno != 0) /* only a directory that was read to its end proves that a name is absent */
                return;
        drop_unseen(tree, node);
        node->unlisted = false;
}

void watch_tree_add_root(WatchTree *tree, WatchTreeRoot *root) {
        _cleanup_(close_fdp) int fd = root_open(tree, root, O_RDONLY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        (void) add_watch(tree, root, NULL, "", fd, &st, false);
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
        bool report_contents;
        DIR *dir;

        if (!node)
                return false;
        report_contents = node->report_contents;
        node->report_contents = false;
        watch_node_unqueue(&tree->nodes, node);
        fd = node_open(tree, node);
        if (fd < 0)
                return true;
        dir = fdopendir(fd);
        if (!dir) {
                (void) note_error(tree, errno);
                return true;
        }
        (void) TAKE_FD(fd);
        node_list(tree, node, dir, report_contents);
        return true;
}

/* An event about the watched directory itself. */
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
        unsigned report_contents;

        if (event->mask & IN_Q_OVERFLOW) {
                tree->out_of_sync = true;
                return;
        }
        node = watch_node_from_wd(&tree->nodes, event->wd);
        if (!node) /* the watch was dropped since, and what the event is about was checked after that */
                return;
        if (*name == '\0') {
                handle_self(tree, node, event->mask);
                return;
        }
        if (!is_wanted(node, name))
                return;
        report_path(tree, node, name, event->mask & IN_CLOSE_WRITE);
        if (!(event->mask & IN_ISDIR))
                return;
        fd = node_open(tree, node);
        report_contents = event->mask & (IN_CREATE | IN_MOVED_TO) ? REPORT_NEW | REPORT_KNOWN : REPORT_NEW;
        if (fd >= 0)
                (void) check_name(tree, node, fd, name, report_contents);
}

void watch_tree_check(WatchTreeRoot *root) {
        struct stat st;

        if (root->inode == 0)
                return;
        if (lstat(root->path, &st) < 0 || st.st_ino != root->inode || st.st_dev != root->device)
                root->lost = true;
}
