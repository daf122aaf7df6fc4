/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How much of a tree on a tmpfs is on swap.
 *
 * No counter says so for a mount, and the one of a control group (memory.swap.current) has all that the group has,
 * the heap as well. But of a file of a tmpfs that is mapped from end to end the kernel writes into /proc/self/smaps
 * what of the file is swapped out, from a number that it keeps with the inode: no page is looked at, and none is
 * read back. mincore() does not tell swapped pages from those that were never written, and cachestat(), which does,
 * came with Linux 6.5. */

#include "base/base.h"

#include <stdatomic.h>

/* Bytes of all regular files below @rootfd. Maps some hundred files at a time, without access. 0; a negative errno
 * (-ECANCELED). */
int swapped_bytes(int rootfd, const atomic_bool *cancel, uint64_t *ret);
