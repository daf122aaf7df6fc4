/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The door to the two trees: names that come and go. See os/tree-rename.h. */

#include "os/tree-rename.h"

#include <fcntl.h>

/* An errno by which a filesystem refuses the flags of renameat2(). */
static bool is_unsupported(int error) {
        return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP;
}

/* One by which linkat() refuses any such link. EPERM: vfat has no hard links, and no filesystem has them for
 * directories. EIO is what rclone says; where it is a real error, what is tried instead meets it again. */
static bool is_link_unsupported(int error) {
        return error == -EPERM || error == -EMLINK || error == -EIO || is_unsupported(error);
}

static int rename_with(TreeName from, TreeName to, unsigned flags) {
        return renameat2(from.dirfd, from.name, to.dirfd, to.name, flags) < 0 ? -errno : 0;
}

static int link_to(TreeName from, TreeName to) {
        return linkat(from.dirfd, from.name, to.dirfd, to.name, 0) < 0 ? -errno : 0;
}

int tree_rename_own(TreeName from, TreeName to) {
        return rename_with(from, to, 0);
}

/* To a name that only we can take. */
static int move_aside(TreeName from, TreeName to) {
        int r = rename_with(from, to, RENAME_NOREPLACE);

        return is_unsupported(r) ? rename_with(from, to, 0) : r;
}

int tree_rename_new(TreeName from, TreeName to) {
        int r = rename_with(from, to, RENAME_NOREPLACE);
        struct stat st;

        if (is_unsupported(r)) {
                r = link_to(from, to);
                if (r == 0)
                        return tree_access_drop(from);
                if (is_link_unsupported(r))
                        r = fstatat(to.dirfd, to.name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST
                          : errno == ENOENT ? rename_with(from, to, 0) : -errno;
        }
        return r == -EEXIST ? TREE_OCCUPIED : r;
}

int tree_rename_link(TreeName from, TreeName to, const FileIdentity *expected) {
        /* compared before linking too, because a link that is made and removed again moves the ctime, which would look
         * like a change */
        int r = tree_access_check(from, expected);

        if (r != 0)
                return r;
        r = link_to(from, to);
        if (r < 0)
                return is_link_unsupported(r) ? TREE_NO_LINKS : r == -ENOENT ? TREE_ABSENT : r;
        r = tree_access_check_moved(to, expected);
        if (r != 0)
                (void) tree_access_drop(to); /* the file still has its other name */
        return r;
}

bool tree_rename_has_links(TreeName own, TreeName free) {
        int r = link_to(own, free);

        if (r == 0)
                (void) tree_access_drop(free);
        return !is_link_unsupported(r);
}

/* Looks at the name, and takes hold of a regular file that has to stay as it is meanwhile. */
static int look(TreeName place, const FileIdentity *expected, bool idle, TreeHold *hold) {
        return idle && S_ISREG(expected->type) ? tree_access_hold(place, expected, hold)
                                               : tree_access_check(place, expected);
}

/* Looks again, at what is now in our directory. */
static int look_again(TreeName brought, const FileIdentity *expected, const TreeHold *hold) {
        int r = tree_access_check_moved(brought, expected);

        return r != 0 ? r : tree_access_is_claimed(hold) ? TREE_BUSY : 0;
}

static int drop_expected(TreeName at, const FileIdentity *expected) {
        int r;

        if (!S_ISDIR(expected->type))
                return tree_access_drop(at);
        r = tree_access_drop_directory(at);
        return r == -ENOTEMPTY || r == -EEXIST || r == -ENOTDIR ? TREE_OCCUPIED : r;
}

/* --- replacing --- */

static TreeName beside(const TreeReplacement *x, const char *name) {
        return (TreeName){ x->own.dirfd, name };
}

/* The name of .own while the two are exchanged. */
static TreeName between(const TreeReplacement *x) {
        return beside(x, x->exchanged ? x->exchanged : x->own.name);
}

static int sync_both(const TreeReplacement *x) {
        int r = x->durable ? fs_sync_directory(x->place.dirfd) : 0;

        return r < 0 || !x->durable ? r : fs_sync_directory(x->own.dirfd);
}

static int rename_own_to(const TreeReplacement *x, TreeName from, TreeName to) {
        return x->exchanged ? rename_with(from, to, 0) : 0;
}

/* Exchanges again until that brings back what the exchange before it had placed: then no other process has come between
 * the two. False if what is at @held cannot be put back. */
static bool exchange_back(TreeName held, TreeName place, ino_t placed) {
        for (;;) {
                ino_t ino = tree_access_inode(held);
                int r = rename_with(held, place, RENAME_EXCHANGE);

                if (r == 0) {
                        if (tree_access_inode(held) == placed)
                                return true;
                        placed = ino;
                        continue;
                }
                if (r == -ENOENT) /* the name is free by now */
                        r = rename_with(held, place, RENAME_NOREPLACE);
                if (r == 0)
                        return true;
                if (r != -EEXIST)
                        return false;
        }
}

/* If something newer has the name by now, that keeps it, and neither of the other two may get lost. */
static void undo(TreeReplacement *x, ino_t own) {
        TreeName held = between(x);
        ino_t found;

        if (!exchange_back(held, x->place, own)) {
                (void) rename_with(held, beside(x, x->spare), RENAME_NOREPLACE);
                x->left = x->spare;
                return;
        }
        found = tree_access_inode(held);
        if (found == own)
                (void) rename_own_to(x, held, x->own);
        else if (found != 0)
                x->left = held.name;
}

/* What was replaced goes where it belongs. */
static int settle(TreeReplacement *x) {
        int r;

        if (!x->kept.name)
                return drop_expected(between(x), x->expected);
        r = rename_with(between(x), x->kept, 0);
        return r < 0 ? r : x->sync_kept(x->userdata);
}

/* The two have been exchanged. Only when that has been synced may the old one go. */
static int finish_exchange(TreeReplacement *x, ino_t own, const TreeHold *hold) {
        int r = look_again(between(x), x->expected, hold);

        if (r == 0)
                r = sync_both(x);
        if (r == 0)
                r = settle(x);
        if (r != 0 && tree_access_inode(between(x)) != 0)
                undo(x, own);
        return r == TREE_ABSENT ? TREE_OCCUPIED : r;
}

static int exchange(TreeReplacement *x, const TreeHold *hold, bool *ret_unsupported) {
        ino_t own = tree_access_inode(x->own);
        int r = rename_own_to(x, x->own, between(x));

        if (r < 0)
                return r;
        r = rename_with(between(x), x->place, RENAME_EXCHANGE);
        if (r == 0)
                return finish_exchange(x, own, hold);
        (void) rename_own_to(x, between(x), x->own);
        *ret_unsupported = is_unsupported(r);
        return r == -ENOENT ? TREE_ABSENT : r;
}

/* Gives what is replaced its second name; where there are no hard links, it is moved there. */
static int keep_plainly(TreeReplacement *x, bool *ret_moved) {
        int r = link_to(x->place, x->kept);

        if (is_link_unsupported(r)) {
                *ret_moved = true;
                r = rename_with(x->place, x->kept, 0);
        }
        if (r == 0)
                r = tree_access_check_moved(x->kept, x->expected);
        return r != 0 ? r : x->sync_kept(x->userdata);
}

/* Undoes that. If something newer has the name by now, it stays where it is kept. */
static void unkeep_plainly(TreeReplacement *x) {
        if (tree_rename_new(x->kept, x->place) == 0)
                return;
        if (tree_access_inode(x->kept) == tree_access_inode(x->place))
                (void) tree_access_drop(x->kept);
        else
                (void) x->sync_kept(x->userdata);
}

static int rename_over(TreeReplacement *x) {
        int r = x->kept.name ? tree_access_check_moved(x->place, x->expected)
                             : tree_access_check(x->place, x->expected);

        if (r == 0)
                r = rename_with(x->own, x->place, 0);
        if (r == 0)
                (void) tree_access_drop(x->own); /* a rename between two names of one file does nothing */
        return r;
}

/* Where names cannot be exchanged. */
static int replace_plainly(TreeReplacement *x) {
        bool moved = false;
        int r = x->kept.name ? keep_plainly(x, &moved) : 0;

        if (r == 0)
                r = moved ? tree_rename_new(x->own, x->place) : rename_over(x);
        if (r == 0)
                return sync_both(x);
        if (x->kept.name)
                unkeep_plainly(x);
        return r == TREE_ABSENT ? TREE_OCCUPIED : r;
}

int tree_rename_replace(TreeReplacement *x) {
        _cleanup_(tree_access_let_go) TreeHold hold = TREE_HOLD_NONE;
        int r = look(x->place, x->expected, x->idle, &hold);
        bool unsupported = false;

        x->left = NULL;
        if (r == 0)
                r = exchange(x, &hold, &unsupported);
        return unsupported ? replace_plainly(x) : r;
}

/* --- removing --- */

/* Another process had put something else there. */
static int give_back(TreeRemoval *x, int outcome) {
        x->left = tree_rename_new(x->aside, x->place) != 0;
        return outcome == TREE_ABSENT ? TREE_OCCUPIED : outcome;
}

static int take_aside(TreeRemoval *x, const TreeHold *hold) {
        int r = move_aside(x->place, x->aside);

        if (r == -ENOENT) /* of the place, or of the directory of ours */
                return tree_access_inode(x->place) == 0 ? TREE_ABSENT : r;
        if (r < 0)
                return r;
        r = look_again(x->aside, x->expected, hold);
        if (r != 0)
                return give_back(x, r);
        return x->keep ? 0 : drop_expected(x->aside, x->expected);
}

int tree_rename_remove(TreeRemoval *x) {
        _cleanup_(tree_access_let_go) TreeHold hold = TREE_HOLD_NONE;
        int r = look(x->place, x->expected, x->idle, &hold);

        x->left = false;
        if (r != 0)
                return r;
        if (!S_ISDIR(x->expected->type))
                return take_aside(x, &hold);
        r = drop_expected(x->place, x->expected);
        return r == -ENOENT ? TREE_ABSENT : r;
}
