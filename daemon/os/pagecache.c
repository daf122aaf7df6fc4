/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How much of a file is in the page cache. See os/pagecache.h. */

#include "os/pagecache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* From linux/mman.h of Linux 6.5; the headers of Debian 12 are those of 6.1. */
enum { NR_CACHESTAT = 451 };

typedef struct CachestatRange {
        uint64_t offset, length;
} CachestatRange;

typedef struct Cachestat {
        uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
} Cachestat;

static uint64_t page_size(void) {
        return (uint64_t) sysconf(_SC_PAGESIZE);
}

static uint64_t resident_bytes(int fd, uint64_t offset, uint64_t length) {
        uint64_t page = page_size(), n = (length + page - 1) / page, found = 0;
        _cleanup_(freep) unsigned char *vector = malloc((size_t) n);
        void *map;

        if (!vector)
                return 0;
        map = mmap(NULL, (size_t) length, PROT_READ, MAP_SHARED, fd, (off_t) offset);
        if (map == MAP_FAILED)
                return 0;
        if (mincore(map, (size_t) length, vector) == 0)
                for (uint64_t i = 0; i < n; i++)
                        found += vector[i] & 1;
        (void) munmap(map, (size_t) length);
        return found * page;
}

uint64_t pagecache_bytes(int fd, uint64_t offset, uint64_t length) {
        uint64_t page = page_size(), start = offset & ~(page - 1);
        CachestatRange range = { .offset = start, .length = length + (offset - start) };
        Cachestat stat;

        if (length == 0)
                return 0;
        if (syscall(NR_CACHESTAT, fd, &range, &stat, 0) == 0)
                return MIN(stat.cached * page, length);
        /* The kernel is older, or a filter of system calls is. */
        return MIN(resident_bytes(fd, start, range.length), length);
}

void pagecache_drop(int fd, uint64_t offset, uint64_t length) {
        (void) posix_fadvise(fd, (off_t) offset, (off_t) length, POSIX_FADV_DONTNEED); /* advice */
}
