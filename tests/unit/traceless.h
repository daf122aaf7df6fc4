/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Stores through a mapping that change no time: each page is read first, in an access of its own, because a store that
 * faults moves the times. To be included after ground.h. */

#include "os/fs.h"

#include <sys/mman.h>

static inline void store_bytes_traceless(const char *path, const char *bytes, size_t length) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        volatile char *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        struct stat before = stat_at(path), after;

        assert_true(map != MAP_FAILED);
        for (size_t i = 0; i < length; i++)
                if (map[i] != bytes[i])
                        map[i] = bytes[i];
        assert_int_equal(munmap((void *) map, length), 0);
        assert_int_equal(close(fd), 0);
        after = stat_at(path);
        assert_int_equal(fs_nsec(&before.st_mtim), fs_nsec(&after.st_mtim));
        assert_int_equal(fs_nsec(&before.st_ctim), fs_nsec(&after.st_ctim));
}

/* Another text at the beginning of the file. */
static inline void store_traceless(const char *path, const char *text) {
        store_bytes_traceless(path, text, strlen(text));
}

/* Another first byte. */
static inline void damage_traceless(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        char byte;

        assert_int_equal(pread(fd, &byte, 1, 0), 1);
        (void) close(fd);
        byte ^= 1;
        store_bytes_traceless(path, &byte, 1);
}
