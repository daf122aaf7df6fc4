/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which bytes are mapped by pages of 2 MiB, compared with the huge= of the tmpfs. */

#include "ground.h"
#include "os/hugepages.h"

#include <sys/mman.h>

static uint64_t huge_bytes_on(const char *options, uint64_t length) {
        uint64_t found;
        uint8_t *map;
        int fd;

        make_tmpfs("tmpfs", options);
        fd = open("tmpfs/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(ftruncate(fd, (off_t) length), 0);
        assert_int_equal(fallocate(fd, 0, 0, (off_t) length), 0);
        map = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
        assert_true(map != MAP_FAILED);
        found = hugepages_bytes(map, length);
        (void) munmap(map, length);
        (void) close(fd);
        assert_int_equal(umount("tmpfs"), 0);
        assert_int_equal(rmdir("tmpfs"), 0);
        return found;
}

static void huge_pages_are_counted_where_there_are_some(void **state) {
        uint64_t found = huge_bytes_on("size=64m,huge=always", 16 * MIB);

        (void) state;
        assert_true(found >= 8 * MIB && found <= 16 * MIB && found % (2 * MIB) == 0);
}

static void small_pages_are_not_counted(void **state) {
        (void) state;
        assert_int_equal(huge_bytes_on("size=64m,huge=never", 16 * MIB), 0);
}

/* A file of small pages on a mount that gives large ones: it grew by small writes, and its room was not reserved. */
static int make_small_pages(size_t length) {
        _cleanup_(freep) uint8_t *page = calloc(1, 4096);
        int fd = open("tmpfs/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        for (size_t at = 0; at < length; at += 4096) {
                memset(page, (int) (at / 4096 % 251), 4096);
                assert_int_equal(pwrite(fd, page, 4096, (off_t) at), 4096);
        }
        return fd;
}

static void small_pages_become_large_ones_with_the_same_bytes(void **state) {
        size_t length = 8 * MIB;
        uint8_t *map;
        int fd;

        (void) state;
        make_tmpfs("tmpfs", "size=64m,huge=advise");
        fd = make_small_pages(length);
        map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        assert_true(map != MAP_FAILED);
        assert_int_equal(hugepages_bytes(map, length), 0);
        assert_true(hugepages_collapse(map, length));
        /* collapsed, but not yet mapped so */
        for (size_t at = 0; at < length; at += 4096)
                assert_int_equal(map[at], at / 4096 % 251);
        assert_int_equal(hugepages_bytes(map, length), length);
        (void) munmap(map, length);
        (void) close(fd);
        assert_int_equal(umount("tmpfs"), 0);
        assert_int_equal(rmdir("tmpfs"), 0);
}

/* Where the pages of the file do not lie in the mapping as pages of 2 MiB would have to. */
static void what_cannot_be_collapsed_stays_and_is_not_tried_again(void **state) {
        size_t length = 4 * MIB;
        uint8_t *room, *map;
        int fd;

        (void) state;
        make_tmpfs("tmpfs", "size=64m,huge=advise");
        fd = make_small_pages(length);
        room = mmap(NULL, 3 * length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(room != MAP_FAILED);
        map = (uint8_t *) round_up((uintptr_t) room, HUGE_PAGE) + 4096;
        assert_true(mmap(map, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) == map);
        assert_false(hugepages_collapse(map, length));
        assert_int_equal(hugepages_bytes(map, length), 0);
        for (size_t at = 0; at < length; at += 4096)
                assert_int_equal(map[at], at / 4096 % 251);
        (void) munmap(room, 3 * length);
        (void) close(fd);
        assert_int_equal(umount("tmpfs"), 0);
        assert_int_equal(rmdir("tmpfs"), 0);
}

static void a_mount_without_large_pages_says_so(void **state) {
        int fd;

        (void) state;
        make_tmpfs("tmpfs", "size=64m,huge=never");
        fd = make_small_pages(4 * MIB);
        assert_false(hugepages_are_given(fd));
        (void) close(fd);
        assert_int_equal(umount("tmpfs"), 0);
        assert_int_equal(rmdir("tmpfs"), 0);
}

static void a_file_of_its_full_size_says_whether_it_is_given_large_pages(void **state) {
        int fd;

        (void) state;
        make_tmpfs("tmpfs", "size=64m,huge=within_size");
        fd = open("tmpfs/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(ftruncate(fd, 8 * MIB), 0);
        assert_true(hugepages_are_given(fd));
        (void) close(fd);
        assert_int_equal(umount("tmpfs"), 0);
        assert_int_equal(rmdir("tmpfs"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(huge_pages_are_counted_where_there_are_some),
                cmocka_unit_test(small_pages_are_not_counted),
                cmocka_unit_test(small_pages_become_large_ones_with_the_same_bytes),
                cmocka_unit_test(what_cannot_be_collapsed_stays_and_is_not_tried_again),
                cmocka_unit_test(a_mount_without_large_pages_says_so),
                cmocka_unit_test(a_file_of_its_full_size_says_whether_it_is_given_large_pages),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, ground_setup, ground_teardown);
}
