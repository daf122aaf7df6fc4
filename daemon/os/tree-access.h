/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The door to the two trees, source and mirror, and to our private directories in them: what opens, creates, and
 * removes what is ours. With os/tree-rename.h (what gets a name or loses it) and os/tree-attributes.h it makes all
 * system calls that change a tree; tests/unit/doors.py sees to it that no other module does. For our own files outside
 * the trees there is a second door, os/own-file.h.
 *
 * What clients may change at the same time is known by a FileIdentity (os/identity.h). A function that is given one
 * compares it first, strictly where it has a ctime; acts; and compares again what its action has brought out, then
 * without the ctime, which the action itself has moved.
 *
 * Functions return 0 (or a descriptor, O_CLOEXEC, that the caller owns), one of the outcomes below if they name it, or
 * a negative errno. Any thread. */

#include "base/base.h"
#include "os/identity.h"

/* A name in an open directory. Borrowed. */
typedef struct TreeName {
        int dirfd;
        const char *name; /* one part of a path, no "/" */
} TreeName;

enum {
        TREE_OCCUPIED = 1, /* something else is there; it is as it was */
        TREE_BUSY,         /* a process has it open or mapped for writing; it is as it was */
        TREE_ABSENT,       /* nothing is there */
        TREE_NO_LINKS,     /* the filesystem has no hard links, or not that many to one file */
};

/* --- looking --- */

/* Compares what is at @at with @expected. IDENTITY_TOUCHED or _DIFFERENT: TREE_OCCUPIED. TREE_ABSENT. */
int tree_access_check(TreeName at, const FileIdentity *expected);

/* The same after an action of ours that has moved the ctime: IDENTITY_TOUCHED is the same file. */
int tree_access_check_moved(TreeName at, const FileIdentity *expected);

/* The inode at @at, 0 if nothing is there. */
ino_t tree_access_inode(TreeName at);

/* --- opening --- */

/* Opens a name for reading (or with O_PATH), not through a symbolic link. */
int tree_access_open(TreeName at, int flags);

/* Opens the regular file or directory at @path for reading if it is @expected, and gives its state. TREE_ABSENT;
 * TREE_OCCUPIED also if the path leads through a symbolic link or something that is no directory. */
int tree_access_open_expected(int dirfd, const char *path, const FileIdentity *expected, int *ret_fd,
                              struct stat *ret);

/* Opens an open file once more, with other flags; for writing only what is ours. */
int tree_access_reopen(int fd, int flags);

/* Opens the root of a tree by its absolute path. */
int tree_access_open_root(const char *path, int flags);

/* True while a process has the file of @fd open for writing, or mapped writable and shared. False where that cannot be
 * found out (without the right to take a lease, some filesystems). */
bool tree_access_is_being_written(int fd);

/* From now on tree_access_is_disturbed() tells whether a process has opened the file for writing since: it need not
 * wait for us. Until the descriptor, which is open for reading, is closed. 0; TREE_BUSY: it is open for writing; or a
 * negative errno: that cannot be found out. The main thread must not block SIGRTMIN + 7, which we handle. */
int tree_access_observe(int fd);
bool tree_access_is_disturbed(int fd);

/* From now on such a process does have to wait, until the descriptor is closed. False: one has opened the file since
 * tree_access_observe(). */
bool tree_access_keep_out(int fd);

/* A file that nothing may write to for as long as it is held: a read lease, for which a process that opens it for
 * writing has to wait. Starts as TREE_HOLD_NONE. */
typedef struct TreeHold {
        int fd;
        bool leased;
} TreeHold;

#define TREE_HOLD_NONE { .fd = -1 }

/* Takes hold of the regular file @expected at @at. TREE_BUSY, TREE_OCCUPIED, TREE_ABSENT. Where leases cannot be had,
 * 0 without one. */
int tree_access_hold(TreeName at, const FileIdentity *expected, TreeHold *ret);
/* True if a process is waiting for it to be let go. */
bool tree_access_is_claimed(const TreeHold *hold);
void tree_access_let_go(TreeHold *hold);

/* --- what is ours --- */

/* A regular file without a name, opened O_RDWR, on the filesystem of the directory; and a name for it. */
int tree_access_create_unnamed(int dirfd);
int tree_access_name_unnamed(int fd, TreeName to);

/* A new regular file, opened O_RDWR; a new directory; a new symbolic link. -EEXIST if the name is taken. */
int tree_access_create_file(TreeName at, mode_t mode);
int tree_access_create_directory(TreeName at, mode_t mode);
int tree_access_create_symlink(TreeName at, const char *target);

/* Removes what only we have put there, in a directory of ours: a file, a link or an empty directory. */
int tree_access_drop(TreeName at);

/* Removes a directory if it is empty, whosever it is: nothing gets lost. */
int tree_access_drop_directory(TreeName at);
