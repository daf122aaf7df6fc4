/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Pages of 2 MiB in the files of a tmpfs. See os/hugepages.h. */

#include "os/hugepages.h"

#include "os/fs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* From linux/fs.h of Linux 6.7; the headers of Debian 12 are those of 6.1. */
typedef struct PageRegion {
        uint64_t start, end, categories;
} PageRegion;

typedef struct PagemapScan {
        uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
        uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
} PagemapScan;

#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, PagemapScan)
#define PAGE_CATEGORY_HUGE (UINT64_C(1) << 6)

/* Linux 6.1; glibc 2.36 does not name it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

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

bool hugepages_are_cheap_to_count(void) {
        (void) pthread_once(&pagemap_once, open_pagemap);
        return pagemap_fd >= 0;
}

static uint64_t scan_pagemap(uint64_t start, uint64_t end) {
        uint64_t bytes = 0;

        while (start < end) {
                PageRegion regions[16];
                PagemapScan scan = {
                        .size = sizeof(scan), .start = start, .end = end, .vec = (uintptr_t) regions,
                        .vec_len = ELEMENTSOF(regions), .category_mask = PAGE_CATEGORY_HUGE,
                        .return_mask = PAGE_CATEGORY_HUGE,
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

/* In smaps, the lines about a mapping begin with its addresses and include "ShmemPmdMapped: N kB". */
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

uint64_t hugepages_bytes(const void *address, size_t length) {
        uint64_t start = (uintptr_t) address, page = (uint64_t) sysconf(_SC_PAGESIZE);

        if (hugepages_are_cheap_to_count())
                return scan_pagemap(start, start + round_up(length, page));
        return scan_smaps(start);
}

bool hugepages_are_given(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && (uint64_t) st.st_blksize >= HUGE_PAGE;
}

bool hugepages_collapse(void *address, size_t length) {
        uint64_t start = round_up((uintptr_t) address, HUGE_PAGE),
                 end = ((uintptr_t) address + length) & ~(HUGE_PAGE - 1);

        /* One page at a time, because the first that fails would end the whole call. */
        for (uint64_t at = start; at < end; at += HUGE_PAGE)
                if (madvise((void *) (uintptr_t) at, HUGE_PAGE, MADV_COLLAPSE) < 0 &&
                    (errno == EINVAL || errno == ENOMEM))
                        return false;
        return true;
}
