/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Owner, permission bits, mtime and user xattrs, from one file to another. Nothing else is ever copied: no set-id bits,
 * file capabilities, labels or ACLs. 0 or a negative errno, unless a function says otherwise. */

#include "base/base.h"

/* Copies user xattrs. Those that the other filesystem does not take are left out, and *ret_lost is set to true. */
int attributes_copy_xattrs(int fromfd, int tofd, bool *ret_lost);

/* fchownat() of @name, or with AT_EMPTY_PATH in @flags of @fd. ATTRIBUTES_REFUSED (EPERM): the process may not, or the
 * filesystem keeps no owners. */
enum { ATTRIBUTES_REFUSED = 1 };
int attributes_set_owner(int fd, const char *name, int flags, uint32_t uid, uint32_t gid);

int attributes_set_mtime(int fd, const char *name, int flags, int64_t mtime_nsec);

/* Sets owner (not where @uid or @gid is -1), permission bits and mtime of an open file. That a filesystem keeps no
 * owners or modes is no error. */
int attributes_set(int fd, uint32_t uid, uint32_t gid, uint16_t mode, int64_t mtime_nsec);
