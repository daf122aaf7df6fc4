/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Renames that overwrite nothing, between a private directory and one that other processes change at the same time:
 * renameat2(2), and a substitute for filesystems that do not know its flags (NFS, FUSE). */

#include "base/base.h"

#include <sys/types.h>

/* renameat2(). 0 or a negative errno. */
int rename_with_flags(int fromfd, const char *from, int tofd, const char *to, unsigned flags);

/* True for an errno by which a filesystem refuses the flags. */
bool rename_is_unsupported(int error);

/* True for an errno by which linkat() refuses any such link. */
bool rename_is_link_unsupported(int error);

/* Renames to a name that does not exist: with RENAME_NOREPLACE; if the filesystem does not know it, by a link and an
 * unlink, which is as safe; if it has no links either, after a check that the name is free. 0, RENAME_OCCUPIED if the
 * name exists, or a negative errno. */
enum { RENAME_OCCUPIED = 1 };
int rename_new(int fromfd, const char *from, int tofd, const char *to);

/* The inode of @name, 0 if it does not exist. */
ino_t rename_inode(int dirfd, const char *name);

/* Undoes an exchange of @name in our directory @fd with @last in @parent, which had put the inode @placed at @last. If
 * another process has put a newer file there meanwhile, that one is at @last in the end. 0; or RENAME_ASTRAY: the file
 * that the exchange had taken out cannot be put back, and is now @spare in our directory, where it cannot be mistaken
 * for @name. */
enum { RENAME_ASTRAY = 1 };
int rename_undo(int fd, const char *name, int parent, const char *last, ino_t placed, const char *spare);
