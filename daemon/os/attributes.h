/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Owner, mtime and user xattrs, from one file to another. What is not carried is nowhere named: set-id bits,
 * file capabilities, labels, ACLs. */

#include "base/base.h"

/* User xattrs; those that the other filesystem does not take are left out, and *ret_lost is set. */
int attributes_copy_xattrs(int fromfd, int tofd, bool *ret_lost);

/* fchownat() of @name, or with AT_EMPTY_PATH in @flags of @fd. ATTRIBUTES_REFUSED: without the right to, or on
 * a filesystem that keeps no owners. */
enum { ATTRIBUTES_REFUSED = 1 };
int attributes_set_owner(int fd, const char *name, int flags, uint32_t uid, uint32_t gid);

int attributes_set_mtime(int fd, const char *name, int flags, int64_t mtime_nsec);

/* Owner (kept as it is where @uid and @gid are -1), permission bits and mtime of an open file. A filesystem
 * that keeps no owners or modes leaves them as they are. */
int attributes_set(int fd, uint32_t uid, uint32_t gid, uint16_t mode, int64_t mtime_nsec);
