/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Copies of real files from an ext4 to a tmpfs: the bytes, the holes, the page cache, and every way in which a source can betray. */

#include "ground.h"
#include "os/fs.h"
#include "stage/copy.h"
#include "tree/scan.h"

#include <pthread.h>
#include <sys/mman.h>
#include <xxhash.h>

enum { HELPERS_MAX = 4 };
#define CHUNK MIB

/* What stays for all tests: the disk, and a mirror with 2 MiB pages. */
static int group_setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 64);
        make_tmpfs("mirror", "size=128m,huge=within_size");
        return 0;
}

static int teardown(void **state) {
        (void) state;
        shell("rm -rf disk/*");
        return 0;
}

typedef struct Trial {
        int sourcefd, mirrorfd;
        Manifest *scan;
        Entry source;
        CopyOptions options;
        atomic_bool cancel;
        atomic_uint_fast64_t progress;
        Copy *copy;
        CopyResult result;
        const char *what;
        uint64_t offset;
        int r;
} Trial;

static void trial_scan(Trial *t, const char *path) {
        ScanOptions options = { .root = "/nowhere" };
        const Entry *found;

        t->scan = manifest_free(t->scan);
        assert_int_equal(scan_tree(t->sourcefd, &options, &t->scan), 0);
        found = manifest_find(t->scan, path);
        if (found)
                t->source = *found;
        else
                fail_msg("there is no '%s'", path);
}

static void trial_init(Trial *t, const char *path, const char *mirror) {
        *t = (Trial){ .what = "nothing", .sourcefd = open_directory("disk"), .mirrorfd = open_directory(mirror) };
        t->options = (CopyOptions){ .chunk_size = CHUNK, .cancel = &t->cancel, .progress = &t->progress };
        trial_scan(t, path);
}

static void trial_open(Trial *t) {
        t->r = copy_new(&t->copy, t->sourcefd, &t->source, t->mirrorfd, &t->options, &t->what);
}

static void *help(void *userdata) {
        copy_work(userdata);
        return NULL;
}

static void trial_work(Trial *t, unsigned n_helpers) {
        pthread_t threads[HELPERS_MAX];

        if (t->r != 0)
                return;
        for (unsigned i = 0; i < n_helpers; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, help, t->copy), 0);
        for (unsigned i = 0; i < n_helpers; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        t->r = copy_finish(t->copy, &t->result, &t->what, &t->offset);
}

static void trial_done(Trial *t) {
        t->copy = copy_free(t->copy);
        t->scan = manifest_free(t->scan);
        t->sourcefd = close_fd(t->sourcefd);
        t->mirrorfd = close_fd(t->mirrorfd);
}

/* Content of the temporary, which has no name. */
static void assert_copied(const Trial *t, const uint8_t *data, size_t length) {
        XXH128_canonical_t canonical;
        uint8_t *found = malloc(length + 1);
        struct stat st;

        assert_int_equal(t->r, 0);
        assert_int_equal(fstat(copy_mirror_fd(t->copy), &st), 0);
        assert_int_equal(st.st_size, length);
        assert_non_null(found);
        assert_int_equal(pread(copy_mirror_fd(t->copy), found, length + 1, 0), length);
        assert_memory_equal(found, data, length);
        free(found);
        XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
        assert_memory_equal(t->result.source.bytes, canonical.digest, 16);
        assert_memory_equal(t->result.mirror.bytes, canonical.digest, 16);
}

static uint64_t room_taken(const char *path) {
        FsRoom room = {};
        int fd = open_directory(path);

        assert_int_equal(fs_room(fd, &room), 0);
        (void) close(fd);
        return room.total - room.free;
}

/* --- the bytes --- */

static void files_of_all_sizes_arrive_whole(void **state) {
        static const size_t sizes[] = {
                0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 12345, 20 * CHUNK,
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                for (unsigned helpers = 1; helpers <= HELPERS_MAX; helpers += HELPERS_MAX - 1) {
                        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", sizes[i], i + 1);
                        Trial t;

                        trial_init(&t, "file", "mirror");
                        trial_open(&t);
                        trial_work(&t, helpers);
                        assert_copied(&t, data, sizes[i]);
                        assert_int_equal(t.progress, sizes[i]);
                        trial_done(&t);
                        assert_int_equal(room_taken("mirror"), 0); /* it was never published */
                }
}

static void a_chunk_larger_than_the_file_will_do(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", MIB + 1, 5);
        Trial t;

        (void) state;
        trial_init(&t, "file", "mirror");
        t.options.chunk_size = 64 * MIB;
        trial_open(&t);
        assert_int_equal(copy_useful_workers(t.copy), 1);
        trial_work(&t, 4); /* more than can help do no harm */
        assert_copied(&t, data, MIB + 1);
        trial_done(&t);
}

static void many_helpers_agree_time_and_again(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 3 * MIB + 777, 9);

        (void) state;
        for (unsigned i = 0; i < 30; i++) {
                Trial t;

                trial_init(&t, "file", "mirror");
                t.options.chunk_size = 64 * KIB; /* some fifty chunks, to get in each other's way */
                trial_open(&t);
                trial_work(&t, HELPERS_MAX);
                assert_copied(&t, data, 3 * MIB + 777);
                trial_done(&t);
        }
}

static void reading_again_goes_to_the_disk(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 2 * MIB, 4);
        Trial t;

        (void) state;
        shell("sync");
        trial_init(&t, "file", "mirror");
        t.options.read_again = true;
        trial_open(&t);
        trial_work(&t, 2);
        assert_copied(&t, data, 2 * MIB);
        trial_done(&t);
}

/* --- holes --- */

static void holes_stay_holes_and_read_as_zeros(void **state) {
        static const uint64_t data_at[] = { 5 * MIB + 4096, 17 * MIB, 40 * MIB - 4096 };
        _cleanup_(freep) uint8_t *data = calloc(1, 40 * MIB);
        int fd = open("disk/sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        (void) state;
        assert_non_null(data);
        assert_int_equal(ftruncate(fd, 40 * MIB), 0);
        for (size_t i = 0; i < ELEMENTSOF(data_at); i++) {
                fill_bytes(data + data_at[i], 4096, i + 1);
                assert_int_equal(pwrite(fd, data + data_at[i], 4096, (off_t) data_at[i]), 4096);
        }
        (void) close(fd);
        for (unsigned helpers = 1; helpers <= HELPERS_MAX; helpers += HELPERS_MAX - 1) {
                struct stat st;
                Trial t;

                trial_init(&t, "sparse", "mirror");
                assert_int_equal(t.source.room, 3 * 4096);
                trial_open(&t);
                trial_work(&t, helpers);
                assert_int_equal(fstat(copy_mirror_fd(t.copy), &st), 0);
                assert_int_equal(st.st_blocks * 512, 3 * 4096);
                assert_int_equal(room_taken("mirror"), 3 * 4096); /* what fit_plan() counted on */
                assert_copied(&t, data, 40 * MIB);
                trial_done(&t);
        }
}

static void a_file_of_nothing_but_hole_takes_nothing(void **state) {
        _cleanup_(freep) uint8_t *data = calloc(1, 8 * MIB + 1);
        Trial t;

        (void) state;
        put_text("disk/hole", "");
        assert_int_equal(truncate("disk/hole", 8 * MIB + 1), 0);
        trial_init(&t, "hole", "mirror");
        trial_open(&t);
        trial_work(&t, 1);
        assert_int_equal(room_taken("mirror"), 0);
        assert_copied(&t, data, 8 * MIB + 1);
        trial_done(&t);
}

static void the_digest_of_a_sparse_file_is_that_of_xxh128sum(void **state) {
        char hex[DIGEST_HEX_MAX], command[256];
        int fd = open("disk/sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        Trial t;

        (void) state;
        assert_int_equal(ftruncate(fd, 10 * MIB + 3), 0);
        assert_int_equal(pwrite(fd, "data", 4, 3 * MIB + 5), 4);
        (void) close(fd);
        trial_init(&t, "sparse", "mirror");
        trial_open(&t);
        trial_work(&t, 3);
        assert_int_equal(t.r, 0);
        (void) snprintf(command, sizeof(command), "xxh128sum disk/sparse 2>/dev/null | grep -q '^%s '",
                        digest_to_hex(&t.result.mirror, hex));
        shell(command);
        trial_done(&t);
}

/* --- huge pages --- */

static void pages_of_2_mib_are_seen(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 16 * MIB, 3);
        Trial t;

        (void) state;
        trial_init(&t, "file", "mirror");
        t.options.chunk_size = 16 * MIB;
        trial_open(&t);
        trial_work(&t, 1);
        assert_copied(&t, data, 16 * MIB);
        assert_true(t.result.measured_bytes > 0 && t.result.measured_bytes <= 16 * MIB);
        assert_true(t.result.huge_bytes >= t.result.measured_bytes / 2 && t.result.huge_bytes <= t.result.measured_bytes);
        trial_done(&t);
}

static void pages_of_4_kib_are_not_taken_for_huge_ones(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 16 * MIB, 3);
        Trial t;

        (void) state;
        make_tmpfs("small", "size=32m,huge=never");
        trial_init(&t, "file", "small");
        t.options.chunk_size = 16 * MIB;
        trial_open(&t);
        trial_work(&t, 1);
        assert_copied(&t, data, 16 * MIB);
        assert_true(t.result.measured_bytes > 0);
        assert_int_equal(t.result.huge_bytes, 0);
        trial_done(&t);
        assert_int_equal(umount("small"), 0);
        assert_int_equal(rmdir("small"), 0);
}

/* --- a source that changes --- */

/* Opens, lets @change do its work, and expects COPY_SOURCE_CHANGED. */
static void assert_change_is_seen(void (*change)(void), bool before_open) {
        Trial t;

        put_text("disk/other", "");
        assert_int_equal(truncate("disk/other", 3 * MIB), 0);
        free(put_pattern("disk/file", 3 * MIB, 1));
        trial_init(&t, "file", "mirror");
        if (before_open)
                change();
        trial_open(&t);
        if (!before_open) {
                assert_int_equal(t.r, 0);
                change();
        }
        trial_work(&t, 2);
        assert_int_equal(t.r, COPY_SOURCE_CHANGED);
        trial_done(&t);
        assert_int_equal(room_taken("mirror"), 0);
        shell("rm -rf disk/*");
}

static void write_into(void) {
        int fd = open("disk/file", O_WRONLY | O_CLOEXEC);

        assert_int_equal(pwrite(fd, "changed", 7, 2 * MIB), 7);
        (void) close(fd);
        set_mtime("disk/file", 1234567890, 0); /* where the clock is too coarse to show a change */
}

static void write_into_and_hide_it(void) {
        struct stat st = stat_at("disk/file");

        (void) usleep(20000); /* the kernel's clock for files ticks in milliseconds */
        write_into();
        set_mtime("disk/file", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void shrink(void) {
        assert_int_equal(truncate("disk/file", MIB + 5), 0);
}

static void shrink_to_nothing(void) {
        assert_int_equal(truncate("disk/file", 0), 0);
}

static void grow(void) {
        assert_int_equal(truncate("disk/file", 4 * MIB), 0);
}

static void replace(void) {
        assert_int_equal(rename("disk/other", "disk/file"), 0);
}

static void replace_by_its_like(void) {
        struct stat st = stat_at("disk/file");

        set_mtime("disk/other", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        replace();
}

static void remove_it(void) {
        assert_int_equal(unlink("disk/file"), 0);
}

static void replace_by_a_link(void) {
        remove_it();
        assert_int_equal(symlink("other", "disk/file"), 0);
}

static void replace_by_a_fifo(void) {
        remove_it();
        assert_int_equal(mkfifo("disk/file", 0644), 0);
}

static void replace_by_a_directory(void) {
        remove_it();
        make_directory("disk/file");
}

static void a_source_that_changes_is_never_taken_for_whole(void **state) {
        static void (*const changes[])(void) = {
                write_into, write_into_and_hide_it, shrink, shrink_to_nothing, grow, replace, replace_by_its_like, remove_it,
                replace_by_a_link, replace_by_a_fifo, replace_by_a_directory,
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                assert_change_is_seen(changes[i], false);
                assert_change_is_seen(changes[i], true);
        }
}

static void a_source_that_leads_elsewhere_is_not_followed(void **state) {
        Trial t;

        (void) state;
        make_directory("disk/sub");
        make_directory("disk/other");
        free(put_pattern("disk/sub/file", 5000, 1));
        trial_init(&t, "sub/file", "mirror");
        shell("mv disk/sub disk/moved && ln -s moved disk/sub");
        trial_open(&t);
        assert_int_equal(t.r, COPY_SOURCE_CHANGED);
        trial_done(&t);
}

/* --- no room, no time --- */

static void what_has_no_room_leaves_nothing_behind(void **state) {
        Trial t;

        (void) state;
        make_tmpfs("tight", "size=4m");
        free(put_pattern("disk/file", 4 * MIB + 1, 1));
        trial_init(&t, "file", "tight");
        trial_open(&t);
        assert_int_equal(t.r, COPY_NO_ROOM);
        trial_done(&t);
        assert_int_equal(room_taken("tight"), 0);
        assert_int_equal(truncate("disk/file", 4 * MIB), 0); /* to the byte */
        trial_init(&t, "file", "tight");
        trial_open(&t);
        trial_work(&t, 1);
        assert_int_equal(t.r, 0);
        assert_int_equal(room_taken("tight"), 4 * MIB);
        trial_done(&t);
        assert_int_equal(room_taken("tight"), 0);
        assert_int_equal(umount("tight"), 0);
        assert_int_equal(rmdir("tight"), 0);
}

static void no_inode_is_no_room(void **state) {
        Trial t;

        (void) state;
        make_tmpfs("tight", "size=4m,nr_inodes=2");
        put_text("tight/last", "");
        free(put_pattern("disk/file", 10, 1));
        trial_init(&t, "file", "tight");
        trial_open(&t);
        assert_int_equal(t.r, COPY_NO_ROOM);
        trial_done(&t);
        assert_int_equal(umount("tight"), 0);
        assert_int_equal(rmdir("tight"), 0);
}

static void a_copy_can_be_cancelled(void **state) {
        Trial t;

        (void) state;
        free(put_pattern("disk/file", 8 * MIB, 1));
        trial_init(&t, "file", "mirror");
        trial_open(&t);
        assert_int_equal(t.r, 0);
        atomic_store(&t.cancel, true);
        trial_work(&t, HELPERS_MAX);
        assert_int_equal(t.r, COPY_CANCELLED);
        assert_true(atomic_load(&t.progress) < 8 * MIB);
        trial_done(&t);
        assert_int_equal(room_taken("mirror"), 0);
}

static void *cancel_soon(void *userdata) {
        Trial *t = userdata;

        while (atomic_load(&t->progress) == 0)
                (void) sched_yield();
        atomic_store(&t->cancel, true);
        return NULL;
}

static void a_copy_can_be_cancelled_while_it_runs(void **state) {
        (void) state;
        free(put_pattern("disk/file", 20 * MIB, 1));
        for (unsigned i = 0; i < 10; i++) {
                pthread_t thread;
                Trial t;

                trial_init(&t, "file", "mirror");
                trial_open(&t);
                assert_int_equal(t.r, 0);
                assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &t), 0);
                trial_work(&t, 3);
                assert_int_equal(pthread_join(thread, NULL), 0);
                assert_true(t.r == COPY_CANCELLED || t.r == 0);
                trial_done(&t);
        }
}

static void a_source_that_cannot_be_opened_is_an_error(void **state) {
        Trial t;

        (void) state;
        free(put_pattern("disk/file", 10, 1));
        trial_init(&t, "file", "mirror");
        (void) close(t.sourcefd);
        t.sourcefd = open("disk/file", O_RDONLY | O_CLOEXEC); /* no directory */
        trial_open(&t);
        assert_int_equal(t.r, COPY_SOURCE_CHANGED);
        (void) close(t.sourcefd);
        t.sourcefd = -1;
        trial_open(&t);
        assert_int_equal(t.r, -EBADF);
        assert_string_equal(t.what, "open");
        trial_done(&t);
}

/* --- the page cache --- */

/* Asks mincore(2) and not our own module. */
static size_t cached_pages(const char *path, uint64_t offset, size_t length) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t pages = (length + 4095) / 4096, n = 0;
        unsigned char *vector = malloc(pages);
        void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t) offset);

        assert_true(map != MAP_FAILED && vector);
        assert_int_equal(mincore(map, length, vector), 0);
        for (size_t i = 0; i < pages; i++)
                n += vector[i] & 1;
        (void) munmap(map, length);
        free(vector);
        (void) close(fd);
        return n;
}

/* With much reading ahead the cache uses large pages, which reach over the ends of chunks. */
static void read_ahead(unsigned kib) {
        char command[128];

        (void) snprintf(command, sizeof(command), "blockdev --setra %u $(losetup -n -O NAME -j disk.img)", kib * 2);
        shell(command);
}

static void a_cold_source_is_cold_afterwards(void **state) {
        static const size_t sizes[] = { 5000, CHUNK, 10 * CHUNK + 777, 20 * CHUNK + 777 };

        (void) state;
        read_ahead(4096);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                for (unsigned helpers = 1; helpers <= HELPERS_MAX; helpers += HELPERS_MAX - 1) {
                        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", sizes[i], 1);
                        Trial t;

                        drop_cache("disk/file");
                        assert_int_equal(cached_pages("disk/file", 0, sizes[i]), 0);
                        trial_init(&t, "file", "mirror");
                        trial_open(&t);
                        trial_work(&t, helpers);
                        assert_copied(&t, data, sizes[i]);
                        assert_int_equal(cached_pages("disk/file", 0, sizes[i]), 0);
                        trial_done(&t);
                }
        read_ahead(128);
}

static void a_cached_source_is_cached_afterwards(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 5 * CHUNK, 1);
        size_t pages = 5 * CHUNK / 4096;
        Trial t;

        (void) state;
        shell("sync; cat disk/file > /dev/null");
        assert_int_equal(cached_pages("disk/file", 0, 5 * CHUNK), pages);
        trial_init(&t, "file", "mirror");
        trial_open(&t);
        trial_work(&t, 2);
        assert_copied(&t, data, 5 * CHUNK);
        assert_int_equal(cached_pages("disk/file", 0, 5 * CHUNK), pages);
        trial_done(&t);
}

static void of_a_source_that_is_half_cached_that_half_stays(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 8 * CHUNK, 1);
        Trial t;

        (void) state;
        drop_cache("disk/file");
        shell("dd if=disk/file of=/dev/null bs=1M skip=6 count=2 status=none");
        trial_init(&t, "file", "mirror");
        trial_open(&t);
        trial_work(&t, 2);
        assert_copied(&t, data, 8 * CHUNK);
        assert_int_equal(cached_pages("disk/file", 6 * CHUNK, 2 * CHUNK), 2 * CHUNK / 4096);
        assert_int_equal(cached_pages("disk/file", 0, 6 * CHUNK), 0);
        trial_done(&t);
}

/* A page of the cache may have been made larger by then, but not by a part of a chunk. */
/* The kernel may want a few pages for others. */
static bool is_about(size_t found, size_t wanted) {
        return found <= wanted && found >= wanted - wanted / 20;
}

static void of_a_chunk_that_is_partly_cached_that_part_stays(void **state) {
        static const unsigned parts[] = { 1, 2, 3 }; /* quarters of the third chunk */
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 8 * CHUNK, 1);

        (void) state;
        read_ahead(0);
        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                size_t length = parts[i] * CHUNK / 4;
                char command[128];
                Trial t;

                drop_cache("disk/file");
                (void) snprintf(command, sizeof(command), "dd if=disk/file of=/dev/null bs=256K skip=8 count=%u status=none", parts[i]);
                shell(command);
                assert_true(is_about(cached_pages("disk/file", 0, 8 * CHUNK), length / 4096));
                trial_init(&t, "file", "mirror");
                trial_open(&t);
                trial_work(&t, 2);
                assert_copied(&t, data, 8 * CHUNK);
                assert_true(is_about(cached_pages("disk/file", 2 * CHUNK, length), length / 4096));
                assert_true(cached_pages("disk/file", 0, 8 * CHUNK) <= length / 4096 + 16);
                trial_done(&t);
        }
        read_ahead(128);
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(files_of_all_sizes_arrive_whole),
                CASE(a_chunk_larger_than_the_file_will_do),
                CASE(many_helpers_agree_time_and_again),
                CASE(reading_again_goes_to_the_disk),
                CASE(holes_stay_holes_and_read_as_zeros),
                CASE(a_file_of_nothing_but_hole_takes_nothing),
                CASE(the_digest_of_a_sparse_file_is_that_of_xxh128sum),
                CASE(pages_of_2_mib_are_seen),
                CASE(pages_of_4_kib_are_not_taken_for_huge_ones),
                CASE(a_source_that_changes_is_never_taken_for_whole),
                CASE(a_source_that_leads_elsewhere_is_not_followed),
                CASE(of_a_chunk_that_is_partly_cached_that_part_stays),
                CASE(what_has_no_room_leaves_nothing_behind),
                CASE(no_inode_is_no_room),
                CASE(a_copy_can_be_cancelled),
                CASE(a_copy_can_be_cancelled_while_it_runs),
                CASE(a_source_that_cannot_be_opened_is_an_error),
                CASE(a_cold_source_is_cold_afterwards),
                CASE(a_cached_source_is_cached_afterwards),
                CASE(of_a_source_that_is_half_cached_that_half_stays),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, group_setup, ground_teardown);
}
