/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads past the page cache, from filesystems that can and from such as cannot: what comes, what is written where,
 * and what is remembered. */

#include "ground.h"
#include "os/directio.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#define ROOM (3 * MIB)
enum { GUARD = 0xa5, SECTOR = 4096 };

/* What stays for all tests: a disk, one whose sectors are 4 KiB, one that keeps small files in their inodes, and a
 * filesystem that has no direct reads at all. */
static int group_setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 32);
        make_directory("disk4k");
        shell("truncate -s 32M disk4k.img && losetup --sector-size 4096 --show -f disk4k.img > loop4k && mkfs.ext4 "
              "-q -F $(cat loop4k) && "
              "mount $(cat loop4k) disk4k && losetup -d $(cat loop4k)"); /* it goes with the mount */
        make_directory("inline");
        shell("truncate -s 32M inline.img && mkfs.ext4 -q -F -I 256 -O inline_data inline.img && mount -o loop "
              "inline.img inline");
        make_directory("ram");
        assert_int_equal(mount("test", "ram", "ramfs", 0, NULL), 0);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        shell("rm -rf disk/f* disk4k/f* inline/f* ram/f*");
        return 0;
}

/* Memory as copies use it, with known bytes in it. */
static uint8_t *get_memory(void) {
        uint8_t *memory = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(memory != MAP_FAILED);
        memset(memory, GUARD, ROOM);
        return memory;
}

static void assert_untouched(const uint8_t *memory, size_t from) {
        for (size_t i = from; i < ROOM; i++)
                if (memory[i] != GUARD)
                        fail_msg("byte %zu was written to", i);
}

static int open_file(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

/* --- what comes --- */

static void assert_arrives(const char *path, size_t size) {
        _cleanup_(freep) uint8_t *data = put_pattern(path, size, size + 1);
        _cleanup_(close_fdp) int fd = open_file(path);
        uint8_t *memory = get_memory();
        DirectioFile file;

        assert_true(directio_open(&file, fd, NULL));
        assert_int_equal(directio_read(&file, memory, size, round_up(size, 4096), 0), size);
        assert_memory_equal(memory, data, size);
        assert_untouched(memory, round_up(size, 4096));
        directio_close(&file);
        assert_int_equal(file.fd, -1);
        (void) munmap(memory, ROOM);
}

static void files_of_all_sizes_come_whole(void **state) {
        static const size_t sizes[] = {
                1, 511, 512, 513, 4095, 4096, 4097, 5000, 8191, 8192, 65535, 65537,
                2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 2 * MIB + 4095, 2 * MIB + 4097,
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                assert_arrives("disk/file", sizes[i]);
                assert_arrives("disk4k/file", sizes[i]);
        }
}

static void what_was_not_written_to_the_disk_yet_comes_too(void **state) {
        (void) state;
        for (size_t i = 1; i <= 20; i++)
                assert_arrives("disk/file", i * 4096 + i); /* put_bytes() does not sync */
}

static void behind_the_end_there_is_nothing(void **state) {
        uint8_t *memory = get_memory();
        DirectioFile file;
        int fd;

        (void) state;
        free(put_pattern("disk/file", 8192, 1));
        fd = open_file("disk/file");
        assert_true(directio_open(&file, fd, NULL));
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, 8192), 0);
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, MIB), 0);
        assert_untouched(memory, 0);
        assert_int_equal(truncate("disk/file", 5000), 0); /* while it is open */
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, 0), 4096); /* as far as it is aligned */
        assert_int_equal(directio_read(&file, memory, 4096, ROOM, 4096), 904);
        directio_close(&file);
        (void) close(fd);
        (void) munmap(memory, ROOM);
}

static void no_more_is_returned_than_was_asked_for(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", MIB, 1);
        _cleanup_(close_fdp) int fd = open_file("disk/file");
        uint8_t *memory = get_memory();
        DirectioFile file;

        (void) state;
        assert_true(directio_open(&file, fd, NULL));
        assert_int_equal(directio_read(&file, memory, 5000, ROOM, 4096), 5000);
        assert_memory_equal(memory, data + 4096, 5000);
        directio_close(&file);
        (void) munmap(memory, ROOM);
}

static void nothing_is_written_behind_what_may_be_written_to(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", MIB, 1);
        _cleanup_(close_fdp) int fd = open_file("disk/file");
        uint8_t *memory = get_memory();
        DirectioFile file;

        (void) state;
        assert_true(directio_open(&file, fd, NULL));
        assert_int_equal(directio_read(&file, memory, 9000, 9000, 0), 8192); /* what is left is for the page cache */
        assert_memory_equal(memory, data, 8192);
        assert_untouched(memory, 8192);
        assert_int_equal(directio_read(&file, memory, 4095, 4095, 0), -EOPNOTSUPP);
        assert_untouched(memory, 8192);
        assert_false(atomic_load(&file.refused));
        directio_close(&file);
        (void) munmap(memory, ROOM);
}

static void a_place_that_is_not_aligned_is_no_refusal(void **state) {
        _cleanup_(close_fdp) int fd = -1;
        uint8_t *memory = get_memory();
        DirectioRefusals refusals;
        DirectioFile file;

        (void) state;
        free(put_pattern("disk/file", MIB, 1));
        fd = open_file("disk/file");
        directio_refusals_init(&refusals);
        assert_true(directio_open(&file, fd, &refusals));
        assert_int_equal(directio_read(&file, memory, 4096, ROOM, 1), -EOPNOTSUPP);
        assert_int_equal(directio_read(&file, memory, 4096, ROOM, 512), -EOPNOTSUPP);
        assert_untouched(memory, 0);
        assert_int_equal(directio_read(&file, memory, 4096, ROOM, 4096), 4096);
        assert_int_equal(refusals.n, 0);
        directio_close(&file);
        directio_refusals_done(&refusals);
        (void) munmap(memory, ROOM);
}

static void it_is_the_file_of_the_descriptor_whatever_its_name_leads_to(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 70000, 1);
        _cleanup_(close_fdp) int fd = open_file("disk/file");
        uint8_t *memory = get_memory();
        DirectioFile file;

        (void) state;
        free(put_pattern("disk/filenew", 70000, 2));
        assert_int_equal(rename("disk/filenew", "disk/file"), 0);
        assert_true(directio_open(&file, fd, NULL));
        assert_int_equal(directio_read(&file, memory, 70000, ROOM, 0), 70000);
        assert_memory_equal(memory, data, 70000);
        directio_close(&file);
        (void) munmap(memory, ROOM);
}

static void nothing_of_it_comes_into_the_page_cache(void **state) {
        _cleanup_(close_fdp) int fd = -1;
        uint8_t *memory = get_memory();
        unsigned char vector[MIB / 4096];
        DirectioFile file;
        void *map;

        (void) state;
        free(put_pattern("disk/file", MIB, 1));
        fd = open("disk/file", O_RDWR | O_CLOEXEC);
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        assert_true(directio_open(&file, fd, NULL));
        assert_int_equal(directio_read(&file, memory, MIB, ROOM, 0), MIB);
        map = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
        assert_int_equal(mincore(map, MIB, vector), 0);
        for (size_t i = 0; i < ELEMENTSOF(vector); i++)
                assert_int_equal(vector[i] & 1, 0);
        (void) munmap(map, MIB);
        directio_close(&file);
        (void) munmap(memory, ROOM);
}

/* --- refusals --- */

static void a_filesystem_that_refuses_at_the_opening_is_remembered_and_no_other(void **state) {
        _cleanup_(close_fdp) int ram = -1, disk = -1;
        DirectioRefusals refusals;
        DirectioFile file;

        (void) state;
        free(put_pattern("ram/file", MIB, 1));
        free(put_pattern("disk/file", MIB, 1));
        ram = open_file("ram/file");
        disk = open_file("disk/file");
        directio_refusals_init(&refusals);
        for (unsigned i = 0; i < 3; i++) {
                assert_false(directio_open(&file, ram, &refusals));
                assert_int_equal(file.fd, -1);
                assert_int_equal(refusals.n, 1); /* and only once */
                assert_true(refusals.devices[0] == device_of("ram"));
        }
        assert_true(directio_open(&file, disk, &refusals));
        directio_close(&file);
        directio_refusals_done(&refusals);
}

static void what_is_remembered_is_not_tried_again(void **state) {
        _cleanup_(close_fdp) int fd = -1;
        DirectioRefusals refusals;
        DirectioFile file;

        (void) state;
        free(put_pattern("disk/file", MIB, 1));
        fd = open_file("disk/file");
        directio_refusals_init(&refusals);
        refusals.devices[refusals.n++] = device_of("disk4k");
        refusals.devices[refusals.n++] = device_of("disk"); /* it would be taken */
        assert_false(directio_open(&file, fd, &refusals));
        assert_int_equal(file.fd, -1);
        directio_refusals_done(&refusals);
}

/* This one wants more than it has said. */
static void a_refusal_in_the_middle_holds_for_the_file_and_is_remembered_for_the_filesystem(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk4k/file", MIB, 1);
        _cleanup_(close_fdp) int fd = open_file("disk4k/file"), disk = -1;
        uint8_t *memory = get_memory();
        DirectioFile file, other;
        DirectioRefusals refusals;

        (void) state;
        free(put_pattern("disk/file", MIB, 1));
        disk = open_file("disk/file");
        directio_refusals_init(&refusals);
        assert_true(directio_open(&file, fd, &refusals));
        assert_true(directio_open(&other, disk, &refusals));
        file.alignment = 512;
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, 0), 8192);
        assert_memory_equal(memory, data, 8192);
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, 512), -EOPNOTSUPP); /* EINVAL of the kernel */
        assert_true(atomic_load(&file.refused));
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, 0), -EOPNOTSUPP); /* which would go well */
        assert_int_equal(directio_read(&other, memory, 8192, ROOM, 0), 8192);
        directio_close(&file);
        directio_close(&other);
        assert_false(directio_open(&file, fd, &refusals));
        assert_true(directio_open(&other, disk, &refusals));
        directio_close(&other);
        directio_refusals_done(&refusals);
        (void) munmap(memory, ROOM);
}

static void without_memory_a_refusal_is_one_all_the_same(void **state) {
        _cleanup_(close_fdp) int ram = -1, fd = -1;
        uint8_t *memory = get_memory();
        DirectioFile file;

        (void) state;
        free(put_pattern("ram/file", MIB, 1));
        free(put_pattern("disk4k/file", MIB, 1));
        ram = open_file("ram/file");
        fd = open_file("disk4k/file");
        assert_false(directio_open(&file, ram, NULL));
        assert_true(directio_open(&file, fd, NULL));
        file.alignment = 512;
        assert_int_equal(directio_read(&file, memory, 8192, ROOM, 512), -EOPNOTSUPP);
        assert_true(atomic_load(&file.refused));
        directio_close(&file);
        (void) munmap(memory, ROOM);
}

static void when_the_memory_is_full_the_next_are_tried_each_time(void **state) {
        _cleanup_(close_fdp) int ram = -1;
        DirectioRefusals refusals;
        DirectioFile file;

        (void) state;
        free(put_pattern("ram/file", MIB, 1));
        ram = open_file("ram/file");
        directio_refusals_init(&refusals);
        for (unsigned i = 0; i < ELEMENTSOF(refusals.devices); i++)
                refusals.devices[refusals.n++] = makedev(4095, i);
        for (unsigned i = 0; i < 3; i++) {
                assert_false(directio_open(&file, ram, &refusals));
                assert_int_equal(refusals.n, ELEMENTSOF(refusals.devices));
        }
        directio_refusals_done(&refusals);
}

/* statx() says so of data in an inode; its neighbour's is on blocks. */
static void a_file_that_says_it_cannot_says_nothing_about_its_neighbours(void **state) {
        _cleanup_(close_fdp) int file_fd = -1, neighbour_fd = -1;
        DirectioRefusals refusals;
        DirectioFile file;

        (void) state;
        free(put_pattern("inline/file", 50, 1));
        free(put_pattern("inline/fine", 100000, 1));
        file_fd = open_file("inline/file");
        neighbour_fd = open_file("inline/fine");
        directio_refusals_init(&refusals);
        assert_false(directio_open(&file, file_fd, &refusals));
        assert_int_equal(refusals.n, 0);
        assert_true(directio_open(&file, neighbour_fd, &refusals));
        directio_close(&file);
        directio_refusals_done(&refusals);
}

static void a_sector_of_4_kib_is_the_least_that_is_read(void **state) {
        _cleanup_(close_fdp) int fd = -1;
        DirectioFile file;

        (void) state;
        free(put_pattern("disk4k/file", 1, 1));
        fd = open_file("disk4k/file");
        assert_true(directio_open(&file, fd, NULL));
        assert_true(file.alignment >= SECTOR && file.alignment % SECTOR == 0);
        directio_close(&file);
}

/* The blocks behind the end of the image cannot be read, as on a broken disk; the filesystem does have direct reads. */
static void an_error_of_the_disk_is_no_refusal(void **state) {
        _cleanup_(close_fdp) int fd = -1;
        uint8_t *memory = get_memory();
        DirectioRefusals refusals;
        DirectioFile file;
        ssize_t n;

        (void) state;
        make_ext4("broken", 16);
        free(put_pattern("broken/file", 2 * MIB, 1));
        shell("sync -f broken");
        fd = open_file("broken/file");
        directio_refusals_init(&refusals);
        assert_true(directio_open(&file, fd, &refusals));
        assert_int_equal(directio_read(&file, memory, 2 * MIB, ROOM, 0), 2 * MIB);
        assert_int_equal(truncate("broken.img", 0), 0);
        n = directio_read(&file, memory, 2 * MIB, ROOM, 0);
        assert_int_equal(n, -EIO);
        assert_false(atomic_load(&file.refused));
        assert_int_equal(refusals.n, 0);
        directio_close(&file);
        directio_refusals_done(&refusals);
        assert_int_equal(umount2("broken", MNT_DETACH), 0);
        (void) munmap(memory, ROOM);
}

static void a_descriptor_that_is_none_opens_nothing(void **state) {
        DirectioFile file;

        (void) state;
        assert_false(directio_open(&file, -1, NULL));
        assert_int_equal(file.fd, -1);
        directio_close(&file);
}

/* --- threads --- */

typedef struct Reader {
        DirectioFile *file;
        DirectioRefusals *refusals;
        const uint8_t *data;
        uint8_t *memory;
        int ram;
        unsigned number;
} Reader;

enum { READERS = 4, PIECES = 32 };

static void *read_and_meet_refusals(void *userdata) {
        Reader *reader = userdata;

        for (unsigned i = reader->number; i < PIECES; i += READERS) {
                uint64_t at = i * 64 * KIB;
                DirectioFile refused;
                ssize_t n = directio_read(reader->file, reader->memory + at, 64 * KIB, 64 * KIB, at);

                if (n != (ssize_t) (64 * KIB) || memcmp(reader->memory + at, reader->data + at, 64 * KIB) != 0 ||
                    directio_open(&refused, reader->ram, reader->refusals))
                        return reader;
        }
        return NULL;
}

static void any_number_of_threads_may_read_one_file_and_meet_refusals(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", PIECES * 64 * KIB, 1);
        _cleanup_(close_fdp) int fd = open_file("disk/file"), ram = -1;
        uint8_t *memory = get_memory();
        Reader readers[READERS];
        pthread_t threads[READERS];
        DirectioRefusals refusals;
        DirectioFile file;

        (void) state;
        free(put_pattern("ram/file", MIB, 1));
        ram = open_file("ram/file");
        directio_refusals_init(&refusals);
        assert_true(directio_open(&file, fd, &refusals));
        for (unsigned i = 0; i < READERS; i++) {
                readers[i] = (Reader){ &file, &refusals, data, memory, ram, i };
                assert_int_equal(pthread_create(&threads[i], NULL, read_and_meet_refusals, &readers[i]), 0);
        }
        for (unsigned i = 0; i < READERS; i++) {
                void *failed;

                assert_int_equal(pthread_join(threads[i], &failed), 0);
                assert_null(failed);
        }
        assert_int_equal(refusals.n, 1);
        directio_close(&file);
        directio_refusals_done(&refusals);
        (void) munmap(memory, ROOM);
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(files_of_all_sizes_come_whole),
                CASE(what_was_not_written_to_the_disk_yet_comes_too),
                CASE(behind_the_end_there_is_nothing),
                CASE(no_more_is_returned_than_was_asked_for),
                CASE(nothing_is_written_behind_what_may_be_written_to),
                CASE(a_place_that_is_not_aligned_is_no_refusal),
                CASE(it_is_the_file_of_the_descriptor_whatever_its_name_leads_to),
                CASE(nothing_of_it_comes_into_the_page_cache),
                CASE(a_filesystem_that_refuses_at_the_opening_is_remembered_and_no_other),
                CASE(what_is_remembered_is_not_tried_again),
                CASE(a_refusal_in_the_middle_holds_for_the_file_and_is_remembered_for_the_filesystem),
                CASE(without_memory_a_refusal_is_one_all_the_same),
                CASE(when_the_memory_is_full_the_next_are_tried_each_time),
                CASE(a_file_that_says_it_cannot_says_nothing_about_its_neighbours),
                CASE(a_sector_of_4_kib_is_the_least_that_is_read),
                CASE(an_error_of_the_disk_is_no_refusal),
                CASE(a_descriptor_that_is_none_opens_nothing),
                CASE(any_number_of_threads_may_read_one_file_and_meet_refusals),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, group_setup, ground_teardown);
}
