/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The door to the two trees: owner, permission bits, mtime and user xattrs. Nothing else is ever set: no set-id bits,
 * file capabilities, labels or ACLs. See os/tree-access.h, which also has the outcomes. 0 or a negative errno, unless a
 * function says otherwise. */

#include "os/tree-access.h"

typedef struct TreeAttributes {
        uint32_t uid, gid; /* UINT32_MAX: as it is */
        uint16_t mode;     /* permission bits */
        int64_t mtime_nsec;
        bool lenient;      /* EPERM is no error: the filesystem keeps no owners or modes, or the process may not */
} TreeAttributes;

/* Copies user xattrs between open files. Those that the other filesystem does not take are left out, and *ret_lost is
 * set to true. */
int tree_attributes_copy_xattrs(int fromfd, int tofd, bool *ret_lost);

/* Sets owner, mode and mtime of an open file of ours. */
int tree_attributes_set(int fd, const TreeAttributes *attributes);

/* Sets owner and mode of a directory of ours, and owner and mtime of a symbolic link of ours (if lenient, as far as the
 * filesystem does it). */
int tree_attributes_set_directory(TreeName at, const TreeAttributes *attributes);
int tree_attributes_set_link(TreeName at, const TreeAttributes *attributes);

/* Sets owner, mode and mtime of the regular file or directory at @path if it is @expected; with @durable also syncs it.
 * *ret is its state then. TREE_OCCUPIED; -ENOENT if nothing is there. */
int tree_attributes_set_expected(int dirfd, const char *path, const FileIdentity *expected,
                                 const TreeAttributes *attributes, bool durable, struct stat *ret);
