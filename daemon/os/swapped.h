/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How much of a tree on a tmpfs is on swap.
 *
 * The kernel counts this neither for a mount nor, without the heap, for a control group (memory.swap.current). But
 * for a tmpfs file that is mapped from end to end, /proc/self/smaps shows how much of the file is swapped out, from
 * a number that the kernel keeps with the inode: it visits no page and reads none back. mincore() does not
 * distinguish swapped pages from those that were never written; cachestat() does, but exists only since Linux 6.5. */

#include "base/base.h"

#include <stdatomic.h>

/* The bytes of all regular files below @rootfd that are on swap. Maps some hundred files at a time, without access to
 * their pages. 0, or a negative errno: -ECANCELED if @cancel (NULL for none) was set. */
int swapped_bytes(int rootfd, const atomic_bool *cancel, uint64_t *ret);
