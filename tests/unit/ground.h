/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A place to test on: a tmpfs of its own in a mount namespace of its own, which is the working directory while a
 * test runs, so that tests name files by short relative paths. Whatever a test mounts, a loop device included, ends
 * with its process. */

#include "base/base.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#ifdef assert_uint_in_range /* cmocka 2 has one for each kind of number */
#undef assert_in_range
#define assert_in_range assert_uint_in_range
#endif

/* For main(). Only this process sees what is mounted from here on. */
static inline void ground_enter(void) {
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                fprintf(stderr, "a mount namespace is needed for these tests: %s\n", strerror(errno));
                exit(EXIT_FAILURE);
        }
}

static char ground_base[32];

/* Setup and teardown of a test, or of a group of them. */
static inline int ground_setup(void **state) {
        (void) state;
        strcpy(ground_base, "/tmp/test-XXXXXX");
        assert_non_null(mkdtemp(ground_base));
        assert_int_equal(mount("ground", ground_base, "tmpfs", 0, "size=256m,mode=0755"), 0);
        assert_int_equal(chdir(ground_base), 0);
        (void) umask(022);
        return 0;
}

static inline int ground_teardown(void **state) {
        (void) state;
        assert_int_equal(chdir("/"), 0);
        assert_int_equal(umount2(ground_base, MNT_DETACH), 0);
        assert_int_equal(rmdir(ground_base), 0);
        return 0;
}

#define ON_GROUND(name) cmocka_unit_test_setup_teardown(name, ground_setup, ground_teardown)

/* Runs a shell command, which must succeed. */
static inline void shell(const char *command) {
        int status = system(command);

        if (status != 0)
                fail_msg("'%s' ended with status %d", command, status);
}

/* So that the next read of the file comes from the disk. */
static inline void drop_cache(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_int_equal(fsync(fd), 0);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        (void) close(fd);
}

static inline dev_t device_of(const char *path) {
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_dev;
}

static inline void make_directory(const char *path) {
        assert_int_equal(mkdir(path, 0755), 0);
}

static inline int open_directory(const char *path) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static inline void make_tmpfs(const char *path, const char *options) {
        make_directory(path);
        assert_int_equal(mount("test", path, "tmpfs", 0, options), 0);
}

/* A real disk filesystem, in an image of @megabytes beside @path. */
static inline void make_ext4(const char *path, unsigned megabytes) {
        char command[512];

        make_directory(path);
        (void) snprintf(command, sizeof(command),
                        "truncate -s %uM %s.img && mkfs.ext4 -q -F -O ^has_journal %s.img >/dev/null && mount -o "
                        "loop %s.img %s",
                        megabytes, path, path, path, path);
        shell(command);
}

/* Bytes that differ at every place and with every seed. */
static inline void fill_bytes(uint8_t *data, size_t length, uint64_t seed) {
        uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;

        for (size_t i = 0; i < length; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                data[i] = (uint8_t) x;
        }
}

static inline void put_bytes(const char *path, const void *data, size_t length) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        for (size_t done = 0; done < length;) {
                ssize_t n = write(fd, (const uint8_t *) data + done, length - done);

                assert_true(n > 0);
                done += (size_t) n;
        }
        assert_int_equal(close(fd), 0);
}

static inline void put_text(const char *path, const char *text) {
        put_bytes(path, text, strlen(text));
}

/* Returns the content, which the caller frees. */
static inline uint8_t *put_pattern(const char *path, size_t length, uint64_t seed) {
        uint8_t *data = malloc(length + 1);

        assert_non_null(data);
        fill_bytes(data, length, seed);
        put_bytes(path, data, length);
        return data;
}

static inline struct stat stat_at(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st;
}

static inline bool is_there(const char *path) {
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline void set_mtime(const char *path, int64_t sec, long nsec) {
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = sec, .tv_nsec = nsec } };

        assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static inline void assert_content(const char *path, const void *data, size_t length) {
        int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        uint8_t *found = malloc(length + 2);
        size_t n = 0;
        ssize_t r;

        assert_true(fd >= 0);
        assert_non_null(found);
        while (n < length + 1 && (r = read(fd, found + n, length + 1 - n)) > 0)
                n += (size_t) r;
        (void) close(fd);
        assert_int_equal(n, length);
        assert_memory_equal(found, data, length);
        free(found);
}

/* Small random numbers with a seed that can be printed and given back. */
static inline uint64_t random_next(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static inline unsigned random_below(uint64_t *state, unsigned n) {
        return (unsigned) ((random_next(state) >> 11) % n);
}

/* Of the environment, or of the clock; printed, so that a failure can be had again. */
static inline uint64_t random_seed(void) {
        const char *given = getenv("TEST_SEED");
        uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t) time(NULL) * 2 + 1;

        print_message("TEST_SEED=%llu\n", (unsigned long long) seed);
        return seed ? seed : 1;
}
