/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Pages of 2 MiB in the files of a tmpfs: how much of a mapping has them, and how to get more. A file gets them when
 * its room is reserved, if there is free memory of that size at that moment; later the kernel has to be asked for
 * them. */

#include "base/base.h"

#define HUGE_PAGE (2 * MIB)

/* True if st_blksize of @fd, a file of its full size, shows that its filesystem is to give it pages of 2 MiB. */
bool hugepages_are_given(int fd);

/* How many bytes of the mapping at @address, whose pages have been touched, are mapped by pages of 2 MiB: ioctl
 * PAGEMAP_SCAN (Linux 6.7), else /proc/self/smaps. @address and @length are those of one mmap(). */
uint64_t hugepages_bytes(const void *address, size_t length);

/* False where hugepages_bytes() has to parse smaps, so that callers may ask less often. */
bool hugepages_are_cheap_to_count(void);

/* Has the kernel copy the small pages of a shared mapping into pages of 2 MiB (MADV_COLLAPSE, Linux 6.1; some GB/s).
 * Pages that it cannot convert at the moment stay as they are. False: do not try again, because the kernel or the mount
 * refuses, or no such page is free. */
bool hugepages_collapse(void *address, size_t length);
