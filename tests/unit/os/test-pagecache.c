/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How many bytes are cached, compared with mincore(2). */

#include "ground.h"
#include "os/pagecache.h"

#include <sys/mman.h>

static int group_setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 32);
        return 0;
}

static size_t resident(int fd, size_t length) {
        unsigned char vector[4096];
        void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
        size_t n = 0;

        assert_true(map != MAP_FAILED && length / 4096 <= sizeof(vector));
        assert_int_equal(mincore(map, length, vector), 0);
        for (size_t i = 0; i < (length + 4095) / 4096; i++)
                n += vector[i] & 1;
        (void) munmap(map, length);
        return n * 4096;
}

static int make_cold(const char *path, size_t length) {
        int fd;

        free(put_pattern(path, length, 1));
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fsync(fd), 0);
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        pagecache_drop(fd, 0, 0);
        return fd;
}

static void what_is_dropped_is_gone(void **state) {
        int fd = make_cold("disk/file", 4 * MIB);

        (void) state;
        assert_int_equal(resident(fd, 4 * MIB), 0);
        assert_int_equal(pagecache_bytes(fd, 0, 4 * MIB), 0);
        (void) close(fd);
}

static void what_is_read_is_counted(void **state) {
        int fd = make_cold("disk/file", 4 * MIB);
        char byte;

        (void) state;
        for (off_t at = 0; at < (off_t) MIB; at += 4096)
                assert_int_equal(pread(fd, &byte, 1, at), 1);
        assert_int_equal(resident(fd, 4 * MIB), MIB);
        assert_int_equal(pagecache_bytes(fd, 0, 4 * MIB), MIB);
        assert_int_equal(pagecache_bytes(fd, 0, MIB), MIB);
        assert_int_equal(pagecache_bytes(fd, 512 * KIB, MIB), 512 * KIB);
        assert_int_equal(pagecache_bytes(fd, MIB, MIB), 0);
        assert_int_equal(pagecache_bytes(fd, 0, 100), 100); /* never more than was asked about */
        assert_int_equal(pagecache_bytes(fd, 4097, 1), 1);
        assert_int_equal(pagecache_bytes(fd, 0, 0), 0);
        (void) close(fd);
}

static void only_the_range_is_dropped(void **state) {
        int fd = make_cold("disk/file", 4 * MIB);

        (void) state;
        shell("cat disk/file > /dev/null");
        assert_int_equal(pagecache_bytes(fd, 0, 4 * MIB), 4 * MIB);
        pagecache_drop(fd, MIB, 2 * MIB);
        assert_int_equal(pagecache_bytes(fd, 0, MIB), MIB);
        assert_int_equal(pagecache_bytes(fd, MIB, 2 * MIB), 0);
        assert_int_equal(pagecache_bytes(fd, 3 * MIB, MIB), MIB);
        (void) close(fd);
}

static void counting_reads_nothing(void **state) {
        int fd = make_cold("disk/file", 4 * MIB);

        (void) state;
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(pagecache_bytes(fd, 0, 4 * MIB), 0);
        (void) close(fd);
}

static void what_has_no_pages_has_none_cached(void **state) {
        int fds[2];

        (void) state;
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(pagecache_bytes(fds[0], 0, MIB), 0);
        (void) close(fds[0]);
        (void) close(fds[1]);
        assert_int_equal(pagecache_bytes(-1, 0, MIB), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_dropped_is_gone),
                cmocka_unit_test(what_is_read_is_counted),
                cmocka_unit_test(only_the_range_is_dropped),
                cmocka_unit_test(counting_reads_nothing),
                cmocka_unit_test(what_has_no_pages_has_none_cached),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, group_setup, ground_teardown);
}
