/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What of a file is in the kernel's page cache, and leaving nothing behind there. */

#include "base.h"

/* How many bytes of the range are cached: cachestat(2) (Linux 6.5), else mincore(2). Reads nothing. Where the kernel does not
 * tell, 0. */
uint64_t pagecache_bytes(int fd, uint64_t offset, uint64_t length);

/* Drops the clean pages of the range that nobody has mapped (POSIX_FADV_DONTNEED). */
void pagecache_drop(int fd, uint64_t offset, uint64_t length);

/* How many bytes of the mapping at @address, whose pages have been touched, are mapped by pages of 2 MiB: ioctl PAGEMAP_SCAN
 * (Linux 6.7), else /proc/self/smaps. @address and @length are those of one mmap(). */
uint64_t pagecache_huge_bytes(const void *address, size_t length);

/* False where the answer costs a parse of smaps, so that callers may sample. */
bool pagecache_huge_is_cheap(void);
