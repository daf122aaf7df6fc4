/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What of a file is in the kernel's page cache, and leaving nothing behind there. */

#include "base/base.h"

/* How many bytes of the range are cached: cachestat(2) (Linux 6.5), else mincore(2). Reads nothing. Where the kernel
 * does not tell, 0. */
uint64_t pagecache_bytes(int fd, uint64_t offset, uint64_t length);

/* Drops the clean pages of the range that nobody has mapped (POSIX_FADV_DONTNEED). */
void pagecache_drop(int fd, uint64_t offset, uint64_t length);
