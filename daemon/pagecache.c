/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What of a file is in the page cache, and in pages of which size it is mapped. See pagecache.h. */

#include "pagecache.h"

#include "fs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* The headers of Debian 12 are of Linux 6.1: these are the numbers and structures of later kernels' user-space interface. */
enum { NR_CACHESTAT = 451 };

typedef struct CachestatRange {
        uint64_t offset, length;
} CachestatRange;

typedef struct Cachestat {
        uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
} Cachestat;

typedef struct PageRegion {
        uint64_t start, end, categories;
} PageRegion;

typedef struct PagemapScan {
        uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
        uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
} PagemapScan;

#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, PagemapScan)
#define PAGE_CATEGORY_HUGE (UINT64_C(1) << 6)

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
        /* an older kernel, or a filter of system calls that is older than this one */
        return MIN(resident_bytes(fd, start, range.length), length);
}

void pagecache_drop(int fd, uint64_t offset, uint64_t length) {
        (void) posix_fadvise(fd, (off_t) offset, (off_t) length, POSIX_FADV_DONTNEED); /* advice */
}

static int pagemap_fd = -1;
static pthread_once_t pagemap_once = PTHREAD_ONCE_INIT;

static void open_pagemap(void) {
        int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        PagemapScan probe = { .size = sizeof(probe) };

        if (fd >= 0 && ioctl(fd, PAGEMAP_SCAN_REQUEST, &probe) >= 0)
                pagemap_fd = fd; /* for the life of the process */
        else
                (void) close_fd(fd);
}

bool pagecache_huge_is_cheap(void) {
        (void) pthread_once(&pagemap_once, open_pagemap);
        return pagemap_fd >= 0;
}

static uint64_t scan_pagemap(uint64_t start, uint64_t end) {
        uint64_t bytes = 0;

        while (start < end) {
                PageRegion regions[16];
                PagemapScan scan = {
                        .size = sizeof(scan), .start = start, .end = end, .vec = (uintptr_t) regions,
                        .vec_len = ELEMENTSOF(regions), .category_mask = PAGE_CATEGORY_HUGE, .return_mask = PAGE_CATEGORY_HUGE,
                };
                int n = ioctl(pagemap_fd, PAGEMAP_SCAN_REQUEST, &scan);

                if (n < 0)
                        return bytes;
                for (int i = 0; i < n; i++)
                        bytes += regions[i].end - regions[i].start;
                if (scan.walk_end <= start)
                        break;
                start = scan.walk_end;
        }
        return bytes;
}

/* The mapping's own paragraph of smaps begins with its address and has a line "ShmemPmdMapped: N kB". */
static uint64_t scan_smaps(uint64_t address) {
        _cleanup_(freep) char *text = NULL;
        unsigned long long first, last, kilobytes;
        bool ours = false;

        if (fs_read_text(AT_FDCWD, "/proc/self/smaps", 16 * MIB, &text) < 0)
                return 0;
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                if (sscanf(line, "%llx-%llx ", &first, &last) == 2)
                        ours = address >= first && address < last;
                else if (ours && sscanf(line, "ShmemPmdMapped: %llu kB", &kilobytes) == 1)
                        return kilobytes * KIB;
        }
        return 0;
}

uint64_t pagecache_huge_bytes(const void *address, size_t length) {
        uint64_t start = (uintptr_t) address, page = page_size();

        if (pagecache_huge_is_cheap())
                return scan_pagemap(start, start + round_up(length, page));
        return scan_smaps(start);
}
