/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The directories that are watched, kept in step with the disk. See watchtree.h. */

#include "watchtree.h"
#include "fs.h"

#include <fcntl.h>
#include <limits.h>
#include <search.h>

enum { OPEN_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

/* Which directories are listed aloud after a look at a name. */
typedef enum Aloud {
        ALOUD_NEW = 1 << 0,   /* one that was not known */
        ALOUD_KNOWN = 1 << 1, /* one that was: it may have been away and changed there */
} Aloud;

struct WatchNode {
        /* What the index compares. */
        WatchNode *parent; /* NULL for the top of a root */
        const char *name;

        WatchRoot *root;
        LIST_HEAD(, WatchNode) children;
        LIST_ENTRY(WatchNode) sibling;  /* parent->children */
        TAILQ_ENTRY(WatchNode) waiting; /* WatchTree.queue */
        bool queued;
        bool fresh;       /* counted in WatchRoot.n_fresh */
        bool aloud;       /* when it is listed */
        unsigned listing; /* of the parent, that saw it last */
        int wd;           /* -1 when the kernel has dropped it */
        dev_t device;
        ino_t inode;
        char storage[];   /* of the name */
};

void watchtree_init(WatchTree *tree, Notifier *notifier, const atomic_bool *stop,
                    void (*changed)(WatchRoot *root, const char *path)) {
        *tree = (WatchTree){ .notifier = notifier, .stop = stop, .changed = changed };
        TAILQ_INIT(&tree->queue);
}

void watchtree_done(WatchTree *tree) {
        assert(!tree->index && tree->n_directories == 0);
        free(tree->by_wd);
        tree->by_wd = NULL;
}

/* Remembers when a call failed for want of something, not because of what is on disk: then nothing can be
 * concluded from the failure. */
static int note(WatchTree *tree, int error) {
        if (error == EMFILE || error == ENFILE || error == ENOMEM)
                tree->confused = true;
        return -error;
}

static int compare_nodes(const void *a, const void *b) {
        const WatchNode *x = a, *y = b;

        if (x->parent != y->parent)
                return (uintptr_t) x->parent < (uintptr_t) y->parent ? -1 : 1;
        return strcmp(x->name, y->name);
}

static WatchNode *node_child(WatchTree *tree, WatchNode *parent, const char *name) {
        const WatchNode key = { .parent = parent, .name = name };
        WatchNode **found = tfind(&key, &tree->index, compare_nodes);

        return found ? *found : NULL;
}

static WatchNode *node_from_wd(WatchTree *tree, int wd) {
        return wd >= 0 && (size_t) wd < tree->n_by_wd ? tree->by_wd[wd] : NULL;
}

static WatchNode *node_from_inode(WatchTree *tree, const struct stat *st) {
        for (size_t i = 0; i < tree->n_by_wd; i++) {
                WatchNode *node = tree->by_wd[i];

                if (node && node->inode == st->st_ino && node->device == st->st_dev)
                        return node;
        }
        return NULL;
}

static bool node_is_at(const WatchNode *node, const struct stat *st) {
        return node->wd >= 0 && node->inode == st->st_ino && node->device == st->st_dev;
}

static bool node_is_below(const WatchNode *node, const WatchNode *other) {
        while (node && node != other)
                node = node->parent;
        return node;
}

static void node_queue(WatchTree *tree, WatchNode *node, bool aloud) {
        node->aloud |= aloud;
        if (!node->queued)
                TAILQ_INSERT_TAIL(&tree->queue, node, waiting);
        node->queued = true;
}

static void node_unqueue(WatchTree *tree, WatchNode *node) {
        if (node->queued)
                TAILQ_REMOVE(&tree->queue, node, waiting);
        if (node->fresh)
                node->root->n_fresh--;
        node->queued = node->fresh = false;
}

static int node_set_wd(WatchTree *tree, WatchNode *node, int wd) {
        if ((size_t) wd >= tree->n_by_wd) {
                size_t n = MAX(tree->n_by_wd * 2, (size_t) wd + 64);
                WatchNode **grown = reallocarray(tree->by_wd, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                memset(grown + tree->n_by_wd, 0, (n - tree->n_by_wd) * sizeof(*grown));
                tree->by_wd = grown;
                tree->n_by_wd = n;
        }
        tree->by_wd[wd] = node;
        tree->n_directories++;
        node->wd = wd;
        return 0;
}

static void node_forget_wd(WatchTree *tree, WatchNode *node) {
        if (node->wd < 0)
                return;
        tree->by_wd[node->wd] = NULL;
        tree->n_directories--;
        node->wd = -1;
}

static WatchNode *node_new(WatchTree *tree, WatchRoot *root, WatchNode *parent, const char *name) {
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
        else if (tsearch(node, &tree->index, compare_nodes))
                LIST_INSERT_HEAD(&parent->children, node, sibling);
        else {
                free(node);
                return NULL;
        }
        return node;
}

/* A leaf. */
static void node_free(WatchTree *tree, WatchNode *node) {
        if (node->wd >= 0)
                notifier_unwatch(tree->notifier, node->wd);
        node_forget_wd(tree, node);
        node_unqueue(tree, node);
        if (node->parent) {
                (void) tdelete(node, &tree->index, compare_nodes);
                LIST_REMOVE(node, sibling);
        } else
                node->root->top = NULL;
        free(node);
}

/* The node and all below it, the leaves first. */
static void node_drop(WatchTree *tree, WatchNode *node) {
        for (WatchNode *at = node, *next; at; at = next) {
                next = LIST_FIRST(&at->children);
                if (next)
                        continue;
                next = at == node ? NULL : at->parent;
                node_free(tree, at);
        }
}

/* Of a name in the node's directory, or with "" of the directory itself, relative to the root. */
static size_t node_path_length(const WatchNode *node, const char *name) {
        size_t length = strlen(name);

        for (const WatchNode *at = node; at->parent; at = at->parent)
                length += strlen(at->name) + 1;
        return length - (*name == '\0' && length > 0);
}

/* NULL on ENOMEM. */
static char *node_path(const WatchNode *node, const char *name) {
        size_t length = node_path_length(node, name);
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

static int root_open(WatchTree *tree, WatchRoot *root, int flags) {
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
        _cleanup_(freep) char *path = node_path(node, "");
        struct stat st;

        if (top < 0)
                return top;
        if (!path)
                return note(tree, ENOMEM);
        fd = fs_open_beneath(top, *path ? path : ".", OPEN_FLAGS, 0);
        if (fd < 0)
                return note(tree, -fd);
        if (fstat(fd, &st) < 0 || !node_is_at(node, &st))
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
static bool make_room(WatchTree *tree, WatchRoot *root, WatchNode *parent, int dirfd, const struct stat *st,
                      bool *ret_gone) {
        WatchNode *rival = node_from_inode(tree, st);
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
        *ret_gone = node_is_below(parent, rival);
        node_queue(tree, rival->parent, true);
        node_drop(tree, rival);
        return !*ret_gone;
}

/* Watches the open directory under this name. False if @parent is no more. A directory that cannot be watched is left
 * out; where that matters to more than itself, the flags say so. */
static bool place(WatchTree *tree, WatchRoot *root, WatchNode *parent, const char *name, int fd,
                  const struct stat *st, bool aloud) {
        bool gone = false;
        WatchNode *node;
        int wd, r;

        if (parent && node_path_length(parent, name) >= PATH_MAX)
                return true; /* nobody could open it by its path */
        r = notifier_watch(tree->notifier, fd, &wd);
        if (r == NOTIFIER_TAKEN) {
                if (!make_room(tree, root, parent, fd, st, &gone))
                        return !gone;
                r = notifier_watch(tree->notifier, fd, &wd);
        }
        if (r == NOTIFIER_FULL)
                root->incomplete = true;
        if (r == NOTIFIER_TAKEN)
                tree->confused = true;
        if (r != 0) {
                (void) note(tree, -r);
                return true;
        }
        node = node_new(tree, root, parent, name);
        if (!node || node_set_wd(tree, node, wd) < 0) {
                (void) note(tree, ENOMEM);
                return true; /* beginning again drops the watch too */
        }
        node->inode = st->st_ino;
        node->device = st->st_dev;
        node->fresh = !aloud;
        root->n_fresh += node->fresh;
        node_queue(tree, node, aloud);
        return true;
}

/* Compares a name in the node's open directory with the tree. False if the node is no more. */
static bool look_at(WatchTree *tree, WatchNode *node, int dirfd, const char *name, unsigned aloud) {
        _cleanup_(close_fdp) int fd = openat(dirfd, name, OPEN_FLAGS);
        WatchNode *child = node_child(tree, node, name);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0) {
                (void) note(tree, errno);
                if (child)
                        node_drop(tree, child);
                return true;
        }
        if (child && node_is_at(child, &st)) {
                if (aloud & ALOUD_KNOWN)
                        node_queue(tree, child, true);
                return true;
        }
        if (child)
                node_drop(tree, child);
        if (st.st_dev != node->root->device)
                return true;
        return place(tree, node->root, node, name, fd, &st, aloud & ALOUD_NEW);
}

static bool is_wanted(const WatchNode *node, const char *name) {
        return node->parent || !string_equal(name, node->root->skip);
}

static void tell(WatchTree *tree, const WatchNode *node, const char *name) {
        _cleanup_(freep) char *path = node_path(node, name);

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
                        node_drop(tree, child);
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
                if (!look_at(tree, node, dirfd(dir), name, aloud ? ALOUD_NEW | ALOUD_KNOWN : 0))
                        return;
                child = node_child(tree, node, name);
                if (child)
                        child->listing = tree->listing;
        }
        if (errno == 0) /* a directory that cannot be read to its end proves no absence */
                drop_unseen(tree, node);
}

void watchtree_plant(WatchTree *tree, WatchRoot *root) {
        _cleanup_(close_fdp) int fd = root_open(tree, root, O_RDONLY | O_NONBLOCK);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        (void) place(tree, root, NULL, "", fd, &st, false);
        if (!root->top)
                root->incomplete = true;
}

void watchtree_fell(WatchTree *tree, WatchRoot *root) {
        if (root->top)
                node_drop(tree, root->top);
}

bool watchtree_list_next(WatchTree *tree) {
        WatchNode *node = TAILQ_FIRST(&tree->queue);
        _cleanup_(close_fdp) int fd = -1;
        bool aloud;
        DIR *dir;

        if (!node)
                return false;
        aloud = node->aloud;
        node->aloud = false;
        node_unqueue(tree, node);
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
                node_forget_wd(tree, node); /* the kernel has dropped the watch */
                node_drop(tree, node);
        }
}

void watchtree_handle(WatchTree *tree, const struct inotify_event *event) {
        const char *name = notifier_name(event);
        _cleanup_(close_fdp) int fd = -1;
        WatchNode *node;
        unsigned aloud;

        if (event->mask & IN_Q_OVERFLOW) {
                tree->confused = true;
                return;
        }
        node = node_from_wd(tree, event->wd);
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
                (void) look_at(tree, node, fd, name, aloud);
}

void watchtree_check(WatchRoot *root) {
        struct stat st;

        if (root->inode == 0)
                return;
        if (lstat(root->path, &st) < 0 || st.st_ino != root->inode || st.st_dev != root->device)
                root->lost = true;
}
