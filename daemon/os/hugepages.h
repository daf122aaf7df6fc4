/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Pages of 2 MiB in the files of a tmpfs: how much of a mapping has them, and more of them where the kernel gave
 * small ones. A file gets them when its room is reserved, if free memory of that size is there at that moment; after
 * that only by being asked for. */

#include "base/base.h"

#define HUGE_PAGE (2 * MIB)

/* True if the filesystem of @fd, a file of its full size, means to give it pages of 2 MiB: st_blksize says so. */
bool hugepages_are_given(int fd);

/* How many bytes of the mapping at @address, whose pages have been touched, are mapped by pages of 2 MiB: ioctl
 * PAGEMAP_SCAN (Linux 6.7), else /proc/self/smaps. @address and @length are those of one mmap(). */
uint64_t hugepages_bytes(const void *address, size_t length);

/* False where the answer costs a parse of smaps, so that callers may sample. */
bool hugepages_are_cheap_to_count(void);

/* Has the kernel copy the small pages of a shared mapping into pages of 2 MiB (MADV_COLLAPSE, Linux 6.1; it copies
 * some GB/s). Those it cannot do at the moment stay as they are. False: not to be tried again, because the kernel or
 * the mount refuses, or no such page is free. */
bool hugepages_collapse(void *address, size_t length);
