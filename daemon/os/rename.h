/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Renames that overwrite nothing, between a directory that only we enter and one that others change at the same
 * time: renameat2(2), and what can be had where a filesystem does not know its flags (NFS, FUSE). */

#include "base/base.h"

#include <sys/types.h>

/* The plain system call. 0 or a negative errno. */
int rename_with_flags(int fromfd, const char *from, int tofd, const char *to, unsigned flags);

/* True of an errno by which a filesystem says that it does not know the flags. */
bool rename_is_unsupported(int error);
/* True of one by which linkat() says that there can be no such link. */
bool rename_is_link_unsupported(int error);

/* To a name that nothing has: by RENAME_NOREPLACE, else by a link and an unlink, which are as safe, else after
 * a look. */
enum { RENAME_OCCUPIED = 1 };
int rename_new(int fromfd, const char *from, int tofd, const char *to);

/* 0 where nothing is. */
ino_t rename_inode(int dirfd, const char *name);

/* Undoes an exchange between @name in our directory @fd and @last in @parent, that had put the inode @placed at
 * @last. Somebody may have put something newer there meanwhile, and that is what must stand there in the end.
 * RENAME_ASTRAY: what had come out can go nowhere; it is in our directory as @spare, so that nobody takes it
 * for what @name stands for. */
enum { RENAME_ASTRAY = 1 };
int rename_undo(int fd, const char *name, int parent, const char *last, ino_t placed, const char *spare);
