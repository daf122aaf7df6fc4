/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How much of a file is in the kernel's page cache, and how to leave nothing there. */

#include "base/base.h"

/* How many bytes of the range are cached: cachestat(2) (Linux 6.5), else mincore(2). Reads nothing of the file. 0 if
 * the kernel does not say. */
uint64_t pagecache_bytes(int fd, uint64_t offset, uint64_t length);

/* Drops those pages of the range that are clean and not mapped (POSIX_FADV_DONTNEED). */
void pagecache_drop(int fd, uint64_t offset, uint64_t length);
