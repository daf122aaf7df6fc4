/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files cut into chunks: every byte of data is in exactly one, and holes are in none. */

#include "ground.h"
#include "stage/chunks.h"

#include "os/pagecache.h"

static const uint64_t CHUNK = MIB;

static int make_file(const char *path, uint64_t size) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t) size), 0);
        return fd;
}

static void put_at(int fd, uint64_t offset, size_t length) {
        uint8_t *data = malloc(length);

        assert_non_null(data);
        fill_bytes(data, length, offset);
        assert_int_equal(pwrite(fd, data, length, (off_t) offset), length);
        free(data);
}

static void whole_files_are_cut_evenly(void **state) {
        static const uint64_t sizes[] = { 0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB, 5 * MIB + 12345 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                int fd = make_file("file", sizes[i]);
                uint64_t end = 0;
                Chunks chunks;

                assert_int_equal(chunks_init(&chunks, fd, sizes[i], round_up(sizes[i], 4096), CHUNK), 0);
                assert_int_equal(chunks.n, (sizes[i] + CHUNK - 1) / CHUNK);
                assert_false(chunks.sparse);
                for (size_t k = 0; k < chunks.n; k++) {
                        assert_int_equal(chunks.items[k].offset, end);
                        assert_true(chunks.items[k].length > 0 && chunks.items[k].length <= CHUNK);
                        assert_false(chunks.items[k].copied);
                        end += chunks.items[k].length;
                }
                assert_int_equal(end, sizes[i]);
                chunks_done(&chunks);
                (void) close(fd);
        }
}

static void holes_are_in_no_chunk(void **state) {
        int fd = make_file("file", 10 * MIB);
        Chunks chunks;

        (void) state;
        put_at(fd, 1536 * KIB, MIB); /* across a multiple of the chunk size */
        put_at(fd, 8 * MIB, 4096);
        assert_int_equal(chunks_init(&chunks, fd, 10 * MIB, MIB + 4096, CHUNK), 0);
        assert_true(chunks.sparse);
        assert_int_equal(chunks.n, 3);
        assert_int_equal(chunks.items[0].offset, 1536 * KIB);
        assert_int_equal(chunks.items[0].length, 512 * KIB); /* cut where 2 MiB pages are not */
        assert_int_equal(chunks.items[1].offset, 2 * MIB);
        assert_int_equal(chunks.items[1].length, 512 * KIB);
        assert_int_equal(chunks.items[2].offset, 8 * MIB);
        assert_int_equal(chunks.items[2].length, 4096);
        chunks_done(&chunks);
        (void) close(fd);
}

static void a_file_that_is_all_hole_has_none(void **state) {
        int fd = make_file("file", 10 * MIB);
        Chunks chunks;

        (void) state;
        assert_int_equal(chunks_init(&chunks, fd, 10 * MIB, 0, CHUNK), 0);
        assert_int_equal(chunks.n, 0);
        assert_true(chunks.sparse);
        chunks_done(&chunks);
        (void) close(fd);
}

static void random_holes_are_found(void **state) {
        uint64_t seed = random_seed();

        (void) state;
        for (unsigned turn = 0; turn < 50; turn++) {
                int fd = make_file("file", 8 * MIB);
                bool data[2048] = {}, covered[2048] = {};
                Chunks chunks;

                for (unsigned n = random_below(&seed, 20); n > 0; n--) {
                        unsigned page = random_below(&seed, 2048);

                        put_at(fd, page * 4096ULL, 1 + random_below(&seed, 4096));
                        data[page] = true;
                }
                assert_int_equal(chunks_init(&chunks, fd, 8 * MIB, 4096, CHUNK), 0);
                for (size_t k = 0; k < chunks.n; k++)
                        for (uint64_t at = chunks.items[k].offset; at < chunks.items[k].offset + chunks.items[k].length; at += 4096) {
                                assert_false(covered[at / 4096]);
                                covered[at / 4096] = true;
                        }
                assert_memory_equal(data, covered, sizeof(data));
                chunks_done(&chunks);
                (void) close(fd);
        }
}

static void what_was_cached_is_known(void **state) {
        char byte;
        int fd;
        Chunks chunks;

        (void) state;
        make_ext4("disk", 16);
        free(put_pattern("disk/file", 3 * MIB, 1));
        fd = open("disk/file", O_RDWR | O_CLOEXEC);
        assert_int_equal(fsync(fd), 0);
        pagecache_drop(fd, 0, 0);
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* no reading ahead */
        for (off_t at = MIB; at < 2 * (off_t) MIB; at += 4096)
                assert_int_equal(pread(fd, &byte, 1, at), 1);
        assert_int_equal(chunks_init(&chunks, fd, 3 * MIB, 3 * MIB, CHUNK), 0);
        assert_int_equal(chunks.n, 3);
        assert_false(chunks.items[0].was_cached);
        assert_true(chunks.items[1].was_cached);
        assert_false(chunks.items[2].was_cached);
        assert_int_equal(pagecache_bytes(fd, 2 * MIB, MIB), 0); /* mincore() reads nothing */
        chunks_done(&chunks);
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(whole_files_are_cut_evenly),
                ON_GROUND(holes_are_in_no_chunk),
                ON_GROUND(a_file_that_is_all_hole_has_none),
                ON_GROUND(random_holes_are_found),
                ON_GROUND(what_was_cached_is_known),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
