/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Chunks on their three ways from real filesystems into a tmpfs: which way is taken, what arrives, what lies behind the end,
 * what stays in the page cache, and what becomes of a way that ends in the middle. */

#include "ground.h"
#include "os/fs.h"
#include "stage/copy-method.h"
#include "stage/copy.h"
#include "stage/reserve.h"
#include "tree/scan.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { THREADS_MAX = 4 };

/* Takes precedence over that of libc, and does what a kernel may do: a read past the page cache ends early or fails. */
static atomic_size_t longest_read;  /* 0: as long as it will */
static atomic_uint failing_reads;   /* so many, after the others that are let pass */
static atomic_uint passing_reads;
static atomic_int failure;
static atomic_int reads_until;      /* that many, then: */
static void (*meanwhile)(void);

ssize_t pread(int fd, void *buffer, size_t length, off_t offset) {
        size_t longest = atomic_load(&longest_read);

        if (fcntl(fd, F_GETFL) & O_DIRECT) {
                if (atomic_fetch_sub(&reads_until, 1) == 1)
                        meanwhile();
                if (atomic_load(&passing_reads) > 0)
                        (void) atomic_fetch_sub(&passing_reads, 1);
                else if (atomic_load(&failing_reads) > 0) {
                        (void) atomic_fetch_sub(&failing_reads, 1);
                        errno = atomic_load(&failure);
                        return -1;
                }
                if (longest > 0 && longest < length) {
                        _cleanup_(freep) uint8_t *page = aligned_alloc(4096, round_up(longest, 4096));
                        ssize_t n = syscall(SYS_pread64, fd, page, round_up(longest, 4096), offset);

                        n = MIN(n, (ssize_t) longest);
                        if (n > 0)
                                memcpy(buffer, page, (size_t) n);
                        return n;
                }
        }
        return syscall(SYS_pread64, fd, buffer, length, offset);
}

static const CopyMethod methods[] = { COPY_METHOD_AUTO, COPY_METHOD_SENDFILE, COPY_METHOD_DIRECT, COPY_METHOD_BUFFERED };

/* What stays for all tests: a disk, one whose sectors are 4 KiB, a filesystem without direct reads, a mirror with 2 MiB pages
 * and one without. */
static int group_setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 64);
        make_directory("disk4k");
        shell("truncate -s 64M disk4k.img && losetup --sector-size 4096 --show -f disk4k.img > loop4k && mkfs.ext4 -q -F $(cat loop4k) && "
              "mount $(cat loop4k) disk4k && losetup -d $(cat loop4k)"); /* it goes with the mount */
        make_directory("ram");
        assert_int_equal(mount("test", "ram", "ramfs", 0, NULL), 0);
        make_tmpfs("mirror", "size=64m,huge=within_size");
        make_tmpfs("small", "size=64m,huge=never");
        return 0;
}

static int teardown(void **state) {
        (void) state;
        atomic_store(&longest_read, 0);
        atomic_store(&passing_reads, 0);
        atomic_store(&failing_reads, 0);
        shell("rm -rf disk/f* disk4k/f* ram/f*");
        return 0;
}

/* Asks mincore(2) and not our own module. */
static size_t cached_bytes(const char *path, size_t from, size_t length) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t pages = (length + 4095) / 4096, n = 0;
        unsigned char *vector = malloc(pages);
        void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t) from);

        assert_true(map != MAP_FAILED && vector);
        assert_int_equal(mincore(map, length, vector), 0);
        for (size_t i = 0; i < pages; i++)
                n += vector[i] & 1;
        (void) munmap(map, length);
        free(vector);
        (void) close(fd);
        return n * 4096;
}

static void read_into_cache(const char *path, size_t skip_mib, size_t count_mib) {
        char command[256];

        /* without reading ahead over the end */
        (void) snprintf(command, sizeof(command),
                        "blockdev --setra 0 $(findmnt -n -o SOURCE -T %s) && dd if=%s of=/dev/null bs=1M skip=%zu count=%zu status=none",
                        path, path, skip_mib, count_mib);
        shell(command);
}

/* --- one file on its way --- */

typedef struct Ride {
        int sourcefd, mirrorfd;
        uint64_t size;
        Chunks chunks;
        DirectioRefusals refusals;
        CopyMover route;
        atomic_bool cancel;
        atomic_uint_fast64_t progress;
        atomic_size_t next;
        atomic_int r;             /* the first that is not 0 */
        uint64_t offset;          /* of that */
        const char *what;         /* likewise */
        uint8_t *seen;            /* NULL: not used */
        atomic_size_t n_seen;
        uint64_t end_at;          /* seen() fails there */
} Ride;

static void ride_start(Ride *ride, CopyMethod method, bool on_record) {
        copy_method_init(&ride->route, method, on_record, ride->sourcefd, ride->mirrorfd, ride->size, &ride->chunks, &ride->refusals);
        ride->route.cancel = &ride->cancel;
        ride->route.progress = &ride->progress;
}

static void ride_open(Ride *ride, const char *path, const char *mirror, uint64_t chunk_size) {
        int dirfd = open_directory(mirror);
        const char *what;
        struct stat st;

        *ride = (Ride){ .sourcefd = open(path, O_RDONLY | O_CLOEXEC) };
        assert_int_equal(fstat(ride->sourcefd, &st), 0);
        ride->size = (uint64_t) st.st_size;
        directio_refusals_init(&ride->refusals);
        assert_int_equal(chunks_init(&ride->chunks, ride->sourcefd, ride->size, (uint64_t) st.st_blocks * 512, chunk_size), 0);
        assert_int_equal(reserve_file(dirfd, ride->size, &ride->chunks, &ride->mirrorfd, &what), 0);
        (void) close(dirfd);
}

/* What is seen is what is in the mirror afterwards, and all of it, if seen() is set. */
static int see(void *userdata, const Chunk *chunk, uint64_t offset, const void *data, size_t length) {
        Ride *ride = userdata;

        assert_true(offset >= chunk->offset && offset + length <= chunk->offset + chunk->length);
        memcpy(ride->seen + offset, data, length);
        (void) atomic_fetch_add(&ride->n_seen, length);
        return ride->end_at == offset ? 77 : 0;
}

static void *ride_along(void *userdata) {
        Ride *ride = userdata;
        CopyWorker worker = { .seen = ride->seen ? see : NULL, .userdata = ride };
        size_t i, size = copy_method_buffer_size(&ride->route);
        char path[64];
        int out;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", ride->mirrorfd);
        worker.outfd = out = open(path, O_WRONLY | O_CLOEXEC);
        worker.buffer = size > 0 ? aligned_alloc(4096, size) : NULL;
        while ((i = atomic_fetch_add(&ride->next, 1)) < ride->chunks.n) {
                CopyMoverError error = { .offset = UINT64_MAX };
                int none = 0, r = copy_method_move(&ride->route, &ride->chunks.items[i], &worker, &error);

                if (r != 0 && atomic_compare_exchange_strong(&ride->r, &none, r)) {
                        ride->offset = error.offset;
                        ride->what = error.what;
                }
        }
        (void) close(out);
        free(worker.buffer);
        return NULL;
}

static void ride_run(Ride *ride, unsigned n_threads) {
        pthread_t threads[THREADS_MAX];

        for (unsigned i = 0; i < n_threads; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, ride_along, ride), 0);
        for (unsigned i = 0; i < n_threads; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void ride_done(Ride *ride) {
        copy_method_done(&ride->route);
        chunks_done(&ride->chunks);
        directio_refusals_done(&ride->refusals);
        ride->sourcefd = close_fd(ride->sourcefd);
        ride->mirrorfd = close_fd(ride->mirrorfd);
}

/* Every byte, and zeros behind the end of the file as far as its last page reaches. */
static void assert_arrived(const Ride *ride, const uint8_t *data) {
        size_t whole = round_up(ride->size, 4096);
        struct stat st;
        uint8_t *map;

        assert_int_equal(ride->r, 0);
        assert_int_equal(fstat(ride->mirrorfd, &st), 0);
        assert_int_equal(st.st_size, ride->size);
        assert_int_equal(ride->progress, ride->size);
        map = mmap(NULL, whole, PROT_READ, MAP_SHARED, ride->mirrorfd, 0);
        assert_true(map != MAP_FAILED);
        assert_memory_equal(map, data, ride->size);
        for (size_t i = ride->size; i < whole; i++)
                assert_int_equal(map[i], 0);
        (void) munmap(map, whole);
}

static void ride(Ride *ret, const char *path, const char *mirror, uint64_t chunk_size, CopyMethod method, unsigned n_threads) {
        ride_open(ret, path, mirror, chunk_size);
        ride_start(ret, method, true);
        ride_run(ret, n_threads);
}

/* --- the bytes --- */

static void assert_all_sizes_arrive(const char *path, const char *mirror, CopyMethod method) {
        static const uint64_t around[] = { 4096, MIB, 2 * MIB, 4 * MIB };
        static const int beside[] = { -4097, -512, -1, 0, 1, 511, 4096 };

        for (size_t i = 0; i < ELEMENTSOF(around); i++)
                for (size_t k = 0; k < ELEMENTSOF(beside); k++) {
                        uint64_t size = around[i] + (uint64_t) (int64_t) beside[k];
                        _cleanup_(freep) uint8_t *data = NULL;
                        Ride r;

                        if ((int64_t) size <= 0)
                                continue;
                        data = put_pattern(path, size, size);
                        if (k % 2 == 0)
                                drop_cache(path);
                        ride(&r, path, mirror, 2 * MIB, method, 1 + (unsigned) k % 3);
                        assert_arrived(&r, data);
                        ride_done(&r);
                }
}

static void files_of_all_sizes_arrive_whole_on_each_way(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                assert_all_sizes_arrive("disk/file", "mirror", methods[i]);
}

static void they_do_from_sectors_of_4_kib_too(void **state) {
        (void) state;
        assert_all_sizes_arrive("disk4k/file", "mirror", COPY_METHOD_DIRECT);
}

static void and_into_pages_of_4_kib(void **state) {
        (void) state;
        assert_all_sizes_arrive("disk/file", "small", COPY_METHOD_DIRECT);
        assert_all_sizes_arrive("disk/file", "small", COPY_METHOD_BUFFERED);
}

static void chunks_of_any_size_make_the_same_file(void **state) {
        static const uint64_t sizes[] = { 64 * KIB, 68 * KIB, 3 * MIB, 4 * MIB, 16 * MIB };
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 9 * MIB + 777, 1);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                        Ride r;

                        drop_cache("disk/file");
                        ride(&r, "disk/file", "mirror", sizes[i], methods[k], THREADS_MAX);
                        assert_arrived(&r, data);
                        ride_done(&r);
                }
}

/* No such chunks are made, but a read that ends early leaves such a rest. */
static void a_chunk_that_begins_anywhere_is_no_trouble(void **state) {
        static const uint64_t cuts[] = { 0, 1, 513, 4097, 2 * MIB - 1, 2 * MIB + 512, 3 * MIB + 3, 5 * MIB };
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 5 * MIB, 1);

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                Ride r;

                drop_cache("disk/file");
                ride_open(&r, "disk/file", "mirror", 64 * KIB);
                r.chunks.n = ELEMENTSOF(cuts) - 1;
                for (size_t i = 0; i < r.chunks.n; i++)
                        r.chunks.items[i] = (Chunk){ .offset = cuts[i], .length = cuts[i + 1] - cuts[i] };
                ride_start(&r, methods[k], true);
                ride_run(&r, 1 + (unsigned) k % 3);
                assert_arrived(&r, data);
                ride_done(&r);
        }
}

static void what_the_file_has_grown_by_is_not_seen_behind_its_end(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB + 99, 1);

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                Ride r;

                assert_int_equal(truncate("disk/file", 4 * MIB + 99), 0);
                drop_cache("disk/file");
                ride_open(&r, "disk/file", "mirror", MIB);
                shell("yes | head -c 10000 >> disk/file");
                ride_start(&r, methods[k], true);
                ride_run(&r, 2);
                assert_arrived(&r, data);
                ride_done(&r);
        }
}

static void many_threads_make_one_file(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 8 * MIB + 4097, 1);

        (void) state;
        for (unsigned i = 0; i < 20; i++) {
                Ride r;

                drop_cache("disk/file");
                read_into_cache("disk/file", i % 8, 1);
                ride(&r, "disk/file", "mirror", 64 * KIB, COPY_METHOD_AUTO, THREADS_MAX);
                assert_arrived(&r, data);
                ride_done(&r);
        }
}

/* --- which way --- */

static void assert_way(const Ride *r, const char *way, uint64_t direct) {
        assert_string_equal(copy_method_name(copy_method_used(&r->route)), way);
        assert_int_equal(r->route.direct_bytes, direct);
}

static void what_nothing_is_known_of_is_seen_on_its_way(void **state) {
        static const char *const ways[] = { "direct", "sendfile", "direct", "buffered" };
        static const uint64_t chunk_sizes[] = { MIB, 4 * MIB };
        size_t size = 5 * MIB + 777;
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", size, 1), *seen = calloc(1, size);

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(methods) * ELEMENTSOF(chunk_sizes); k++) {
                CopyMethod method = methods[k / 2];
                Ride r;

                drop_cache("disk/file");
                memset(seen, 0, size);
                ride_open(&r, "disk/file", "mirror", chunk_sizes[k % 2]);
                r.seen = seen;
                r.end_at = UINT64_MAX;
                ride_start(&r, method, false);
                ride_run(&r, 2);
                assert_arrived(&r, data);
                assert_string_equal(copy_method_name(copy_method_used(&r.route)), ways[k / 2]);
                if (method == COPY_METHOD_SENDFILE)
                        assert_int_equal(r.n_seen, 0);
                else {
                        assert_int_equal(r.n_seen, size);
                        assert_memory_equal(seen, data, size);
                }
                ride_done(&r);
        }
}

static void who_sees_it_can_refuse_it(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB, 1), *seen = calloc(1, 4 * MIB), *found = malloc(MIB);
        Ride r;

        (void) state;
        ride_open(&r, "disk/file", "mirror", MIB);
        r.seen = seen;
        r.end_at = 2 * MIB;
        ride_start(&r, COPY_METHOD_AUTO, false);
        ride_run(&r, 1);
        assert_int_equal(r.r, 77);
        /* it is not written, what comes before and after is */
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(pread(r.mirrorfd, found, MIB, (off_t) (i * MIB)), MIB);
                assert_int_equal(memcmp(found, data + i * MIB, MIB) == 0, i != 2);
        }
        ride_done(&r);
}

static void what_is_cold_and_not_to_be_read_directly_goes_by_sendfile(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB, 1);
        Ride r;

        (void) state;
        for (unsigned cached = 0; cached < 2; cached++) {
                drop_cache("disk/file");
                if (cached > 0)
                        read_into_cache("disk/file", 0, 4);
                ride_open(&r, "disk/file", "mirror", MIB);
                r.refusals = (DirectioRefusals){ .lock = PTHREAD_MUTEX_INITIALIZER, .devices = { device_of("disk") }, .n = 1 };
                ride_start(&r, COPY_METHOD_AUTO, false);
                ride_run(&r, 2);
                assert_arrived(&r, data);
                assert_way(&r, cached > 0 ? "buffered" : "sendfile", 0);
                ride_done(&r);
        }
}

static void what_is_smaller_than_a_mib_is_read_once_into_a_buffer(void **state) {
        (void) state;
        for (uint64_t size = MIB - 1; size <= MIB; size++) {
                _cleanup_(freep) uint8_t *data = put_pattern("disk/file", size, 1);
                Ride r;

                drop_cache("disk/file");
                ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_DIRECT, 2);
                assert_arrived(&r, data);
                assert_way(&r, size < MIB ? "buffered" : "direct", size < MIB ? 0 : size);
                ride_done(&r);
        }
}

static void what_is_cold_comes_directly_and_stays_cold(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 9 * MIB + 5, 1);

        (void) state;
        for (unsigned threads = 1; threads <= THREADS_MAX; threads++) {
                Ride r;

                drop_cache("disk/file");
                ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_AUTO, threads);
                assert_arrived(&r, data);
                assert_way(&r, "direct", 9 * MIB + 5);
                assert_int_equal(cached_bytes("disk/file", 0, 9 * MIB + 5), 0);
                ride_done(&r);
        }
}

static void what_is_cached_comes_from_there_and_stays(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 8 * MIB, 1);
        Ride r;

        (void) state;
        drop_cache("disk/file");
        read_into_cache("disk/file", 0, 8);
        ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_AUTO, 2);
        assert_arrived(&r, data);
        assert_way(&r, "buffered", 0);
        assert_int_equal(cached_bytes("disk/file", 0, 8 * MIB), 8 * MIB);
        ride_done(&r);
}

static void each_chunk_comes_as_it_fits_it(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 8 * MIB, 1);
        Ride r;

        (void) state;
        drop_cache("disk/file");
        read_into_cache("disk/file", 5, 2);
        assert_int_equal(cached_bytes("disk/file", 0, 8 * MIB), 2 * MIB);
        ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_AUTO, 2);
        assert_arrived(&r, data);
        assert_way(&r, "direct", 6 * MIB);
        assert_int_equal(cached_bytes("disk/file", 5 * MIB, 2 * MIB), 2 * MIB);
        assert_int_equal(cached_bytes("disk/file", 0, 8 * MIB), 2 * MIB);
        ride_done(&r);
}

static void a_method_that_is_configured_ignores_the_cache(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB, 1);
        Ride r;

        (void) state;
        drop_cache("disk/file");
        ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_BUFFERED, 2);
        assert_arrived(&r, data);
        assert_way(&r, "buffered", 0);
        ride_done(&r);
        read_into_cache("disk/file", 0, 4);
        ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_DIRECT, 2);
        assert_arrived(&r, data);
        assert_way(&r, "direct", 4 * MIB);
        ride_done(&r);
}

static void into_pages_of_4_kib_it_goes_through_a_buffer(void **state) {
        static const char *const ways[] = { "direct", "sendfile", "direct", "buffered" };
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB, 1);

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                Ride r;

                drop_cache("disk/file");
                ride(&r, "disk/file", "small", MIB, methods[k], 2);
                assert_arrived(&r, data);
                assert_true(r.route.way != COPY_MOVER_MAPPED);
                assert_way(&r, ways[k], strcmp(ways[k], "direct") == 0 ? 4 * MIB : 0);
                ride_done(&r);
        }
}

static uint64_t room_taken(int fd) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return (uint64_t) st.st_blocks * 512;
}

static void a_file_with_holes_keeps_them(void **state) {
        static const char *const ways[] = { "direct", "sendfile", "direct", "buffered" };
        _cleanup_(freep) uint8_t *data = calloc(1, 16 * MIB + 7);

        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                int fd = open("disk/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                Ride r;

                assert_int_equal(ftruncate(fd, 16 * MIB + 7), 0);
                fill_bytes(data + 5 * MIB, 3 * MIB, k + 1);
                assert_int_equal(pwrite(fd, data + 5 * MIB, 3 * MIB, 5 * MIB), 3 * MIB);
                assert_int_equal(fsync(fd), 0);
                (void) close(fd);
                drop_cache("disk/file");
                ride_open(&r, "disk/file", "mirror", MIB);
                ride_start(&r, methods[k], true);
                ride_run(&r, 2);
                assert_way(&r, ways[k], strcmp(ways[k], "direct") == 0 ? 3 * MIB : 0);
                assert_true(room_taken(r.mirrorfd) <= 4 * MIB);
                assert_int_equal(r.progress, 3 * MIB);
                r.progress = r.size; /* of the holes there is nothing to be copied */
                assert_arrived(&r, data);
                ride_done(&r);
        }
}

static void a_limit_does_not_make_direct_reads_others(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB + 9, 1);
        _cleanup_(ratelimit_freep) RateLimit *limit = NULL;
        Ride r;

        (void) state;
        assert_int_equal(ratelimit_new(33333333, &limit), 0);
        drop_cache("disk/file");
        ride_open(&r, "disk/file", "mirror", 4 * MIB);
        ride_start(&r, COPY_METHOD_AUTO, true);
        r.route.limit = limit;
        ride_run(&r, 2);
        assert_arrived(&r, data);
        assert_way(&r, "direct", 4 * MIB + 9);
        ride_done(&r);
}

/* --- a way that ends --- */

static void where_direct_reads_are_refused_from_the_start_buffered_ones_take_over(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("ram/file", 4 * MIB + 9, 1);
        Ride r;

        (void) state;
        ride(&r, "ram/file", "mirror", MIB, COPY_METHOD_DIRECT, 2);
        assert_arrived(&r, data);
        assert_way(&r, "buffered", 0);
        assert_int_equal(r.refusals.n, 1);
        ride_done(&r);
}

/* The mover believes that a part of a sector will do. The disk refuses it. */
static void where_they_are_refused_in_the_middle_the_rest_is_buffered_and_every_byte_is_there(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk4k/file", 8 * MIB + 9, 1);

        (void) state;
        for (unsigned threads = 1; threads <= THREADS_MAX; threads++) {
                Ride r;

                drop_cache("disk4k/file");
                ride_open(&r, "disk4k/file", "mirror", MIB);
                r.chunks.items[6].length += 512;
                r.chunks.items[7].offset += 512;
                r.chunks.items[7].length -= 512;
                ride_start(&r, COPY_METHOD_AUTO, true);
                r.route.direct.alignment = 512;
                ride_run(&r, threads);
                assert_arrived(&r, data);
                assert_true(atomic_load(&r.route.direct.refused));
                if (threads == 1)
                        assert_way(&r, "direct", 6 * MIB);
                assert_int_equal(r.refusals.n, 1);
                copy_method_done(&r.route);
                ride_start(&r, COPY_METHOD_DIRECT, true); /* the next file of this filesystem */
                assert_int_equal(r.route.direct.fd, -1);
                assert_int_equal(r.route.way, COPY_MOVER_MAPPED);
                ride_done(&r);
        }
}

static void reads_that_end_early_are_gone_on_with(void **state) {
        static const size_t longest[] = { 1, 511, 512, 4095, 4096, 4097, 65536, 65537, MIB - 1, MIB + 512 };
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB + 9, 1);

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(longest); i++) {
                Ride r;

                drop_cache("disk/file");
                atomic_store(&longest_read, longest[i]);
                ride(&r, "disk/file", "mirror", 2 * MIB, COPY_METHOD_AUTO, 2);
                atomic_store(&longest_read, 0);
                assert_arrived(&r, data);
                if (longest[i] >= 4096) /* shorter than what is aligned they cannot be gone on with directly */
                        assert_way(&r, "direct", 4 * MIB + 9);
                ride_done(&r);
        }
}

static void a_refusal_at_any_read_is_gone_on_with_from_that_byte(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 8 * MIB + 9, 1);
        static const int refusals[] = { EINVAL, EOPNOTSUPP };

        (void) state;
        for (unsigned passing = 0; passing <= 8; passing++) {
                Ride r;

                drop_cache("disk/file");
                atomic_store(&failure, refusals[passing % 2]);
                atomic_store(&passing_reads, passing);
                atomic_store(&failing_reads, 1);
                ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_AUTO, 1);
                assert_arrived(&r, data);
                assert_way(&r, passing > 4 ? "direct" : "buffered", passing * MIB);
                assert_int_equal(r.refusals.n, 1);
                assert_int_equal(failing_reads, 0);
                ride_done(&r);
        }
}

static void a_read_that_a_signal_interrupts_is_made_again(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 4 * MIB, 1);
        Ride r;

        (void) state;
        drop_cache("disk/file");
        atomic_store(&failure, EINTR);
        atomic_store(&passing_reads, 1);
        atomic_store(&failing_reads, 3);
        ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_AUTO, 1);
        assert_arrived(&r, data);
        assert_way(&r, "direct", 4 * MIB);
        assert_int_equal(failing_reads, 0);
        ride_done(&r);
}

static void an_error_in_the_middle_is_reported_with_its_place(void **state) {
        Ride r;

        (void) state;
        free(put_pattern("disk/file", 4 * MIB, 1));
        drop_cache("disk/file");
        atomic_store(&failure, EIO);
        atomic_store(&longest_read, 64 * KIB);
        atomic_store(&passing_reads, 20); /* a chunk has 16 of them */
        atomic_store(&failing_reads, 1);
        ride(&r, "disk/file", "mirror", MIB, COPY_METHOD_AUTO, 1);
        assert_int_equal(r.r, -EIO);
        assert_int_equal(r.offset, MIB + 4 * 64 * KIB);
        assert_string_equal(r.what, COPY_MOVER_READ);
        assert_int_equal(r.refusals.n, 0);
        ride_done(&r);
}

/* Seals refuse the write and the mapping, as a tmpfs would that has gone wrong behind its reservation. */
static void a_copy_that_cannot_be_written_is_not_reported_as_a_failed_read(void **state) {
        (void) state;
        free(put_pattern("disk/file", 4 * MIB, 1));
        for (size_t on_record = 0; on_record < 2; on_record++) {
                Ride r;
                int sealed = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

                assert_int_equal(ftruncate(sealed, 4 * MIB), 0);
                assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
                ride_open(&r, "disk/file", "mirror", MIB);
                ride_start(&r, COPY_METHOD_BUFFERED, on_record > 0);
                assert_int_equal(r.route.way, on_record > 0 ? COPY_MOVER_MAPPED : COPY_MOVER_BUFFER);
                r.route.mirrorfd = sealed;
                r.next = 2;
                ride_run(&r, 1);
                assert_int_equal(r.r, -EPERM);
                assert_int_equal(r.offset, 2 * MIB);
                assert_string_equal(r.what, COPY_MOVER_WRITE);
                (void) close(sealed);
                ride_done(&r);
        }
}

static void a_source_that_has_become_shorter_is_reported(void **state) {
        static const uint64_t left[] = { 0, 1, 4096, MIB - 1, MIB, 3 * MIB + 5, 4 * MIB + 8 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(left); i++)
                for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                        Ride r;

                        free(put_pattern("disk/file", 4 * MIB + 9, 1));
                        drop_cache("disk/file");
                        ride_open(&r, "disk/file", "mirror", MIB);
                        ride_start(&r, methods[k], true);
                        assert_int_equal(truncate("disk/file", (off_t) left[i]), 0);
                        ride_run(&r, 1);
                        assert_int_equal(r.r, COPY_MOVER_SHORT);
                        assert_true(r.progress <= left[i]);
                        ride_done(&r);
                }
}

static void a_cancelled_copy_reads_nothing_more(void **state) {
        (void) state;
        free(put_pattern("disk/file", 4 * MIB, 1));
        for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                Ride r;

                ride_open(&r, "disk/file", "mirror", MIB);
                ride_start(&r, methods[k], true);
                atomic_store(&r.cancel, true);
                ride_run(&r, 2);
                assert_int_equal(r.r, COPY_MOVER_CANCELLED);
                assert_int_equal(r.progress, 0);
                ride_done(&r);
        }
}

/* The end of the image is gone, so the end of the file cannot be read. */
static void an_error_of_the_disk_is_reported_with_its_place(void **state) {
        (void) state;
        for (size_t k = 0; k < ELEMENTSOF(methods); k++) {
                Ride r;

                make_ext4("broken", 16);
                free(put_pattern("broken/file", 8 * MIB, 1));
                shell("sync -f broken");
                drop_cache("broken/file");
                ride_open(&r, "broken/file", "mirror", MIB);
                ride_start(&r, methods[k], true);
                assert_int_equal(truncate("broken.img", 0), 0);
                r.next = 3; /* from there on */
                ride_run(&r, 1);
                assert_int_equal(r.r, -EIO);
                assert_int_equal(r.offset, 3 * MIB);
                assert_int_equal(r.refusals.n, 0);
                ride_done(&r);
                assert_int_equal(umount2("broken", MNT_DETACH), 0);
                shell("rm -r broken broken.img");
        }
}

/* --- in a whole copy of which the digest is on record --- */

typedef struct Whole {
        int sourcefd, mirrorfd;
        Manifest *scan;
        DirectioRefusals refusals;
        atomic_uint_fast64_t progress;
        Copy *copy;
        CopyResult result;
        const char *what;
        uint64_t offset;
        int r;
} Whole;

static void whole_open(Whole *whole) {
        ScanOptions options = { .root = "/nowhere" };
        CopyOptions how = { .chunk_size = MIB, .refusals = &whole->refusals, .on_record = true, .progress = &whole->progress };

        *whole = (Whole){ .sourcefd = open_directory("disk"), .mirrorfd = open_directory("mirror") };
        directio_refusals_init(&whole->refusals);
        assert_int_equal(scan_tree(whole->sourcefd, &options, &whole->scan), 0);
        whole->r = copy_new(&whole->copy, whole->sourcefd, manifest_find(whole->scan, "file"), whole->mirrorfd, &how, &whole->what);
        assert_int_equal(whole->r, 0);
}

static void *whole_work(void *userdata) {
        copy_work(((Whole *) userdata)->copy);
        return NULL;
}

static void whole_finish(Whole *whole, unsigned n_threads) {
        pthread_t threads[THREADS_MAX];

        for (unsigned i = 0; i < n_threads; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, whole_work, whole), 0);
        for (unsigned i = 0; i < n_threads; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        whole->r = copy_finish(whole->copy, &whole->result, &whole->what, &whole->offset);
}

static void whole_done(Whole *whole) {
        whole->copy = copy_free(whole->copy);
        whole->scan = manifest_free(whole->scan);
        directio_refusals_done(&whole->refusals);
        whole->sourcefd = close_fd(whole->sourcefd);
        whole->mirrorfd = close_fd(whole->mirrorfd);
}

static Digest digest_of(const uint8_t *data, size_t length) {
        DigestStream *stream = NULL;
        Digest digest;

        assert_int_equal(digest_stream_new(&stream), 0);
        digest_stream_update(stream, data, length);
        digest = digest_stream_get(stream);
        (void) digest_stream_free(stream);
        return digest;
}

static void the_digest_is_that_of_the_bytes_that_arrived(void **state) {
        (void) state;
        for (unsigned i = 1; i <= THREADS_MAX; i++) {
                _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 12 * MIB + i * 1001, i);
                Digest expected = digest_of(data, 12 * MIB + i * 1001);
                Whole w;

                drop_cache("disk/file");
                whole_open(&w);
                whole_finish(&w, i);
                assert_int_equal(w.r, 0);
                assert_true(digest_equal(&w.result.mirror, &expected));
                assert_int_equal(w.result.method, COPY_METHOD_DIRECT);
                assert_int_equal(w.result.direct_bytes, 12 * MIB + i * 1001);
                assert_int_equal(cached_bytes("disk/file", 0, 12 * MIB), 0);
                whole_done(&w);
        }
}

/* Size and time as they were: only the digest shows it. */
static void other_bytes_have_another_digest(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 5 * MIB, 1);
        Digest on_record = digest_of(data, 5 * MIB);
        Whole w;
        int fd;

        (void) state;
        fd = open("disk/file", O_WRONLY | O_CLOEXEC);
        data[3 * MIB] ^= 1;
        assert_int_equal(pwrite(fd, data + 3 * MIB, 1, 3 * MIB), 1);
        (void) close(fd);
        drop_cache("disk/file");
        whole_open(&w);
        whole_finish(&w, 2);
        assert_int_equal(w.r, 0);
        assert_int_equal(w.result.method, COPY_METHOD_DIRECT);
        assert_false(digest_equal(&w.result.mirror, &on_record));
        whole_done(&w);
}

static void shrink(void) {
        assert_int_equal(truncate("disk/file", 5 * MIB + 5), 0);
}

static void shrink_to_nothing(void) {
        assert_int_equal(truncate("disk/file", 0), 0);
}

static void shrink_and_grow_again(void) {
        shrink();
        assert_int_equal(truncate("disk/file", 12 * MIB), 0);
}

static void grow(void) {
        shell("yes | head -c 9999 >> disk/file");
}

static void replace(void) {
        free(put_pattern("disk/fnew", 12 * MIB, 2));
        assert_int_equal(rename("disk/fnew", "disk/file"), 0);
}

static void remove_it(void) {
        assert_int_equal(unlink("disk/file"), 0);
}

static void (*const changes[])(void) = { shrink, shrink_to_nothing, shrink_and_grow_again, grow, replace, remove_it };

static void a_source_that_changes_before_the_reads_is_reported(void **state) {
        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                Whole w;

                free(put_pattern("disk/file", 12 * MIB, 1));
                drop_cache("disk/file");
                whole_open(&w);
                (void) usleep(10000); /* the kernel's clock for files ticks in milliseconds */
                changes[i]();
                whole_finish(&w, 2);
                assert_int_equal(w.r, COPY_SOURCE_CHANGED);
                whole_done(&w);
        }
}

/* By another process, as it were, between two reads. */
static void a_source_that_changes_while_it_is_read_directly_is_reported(void **state) {
        static const int moments[] = { 1, 2, 7, 12 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                for (size_t k = 0; k < ELEMENTSOF(moments); k++) {
                        Whole w;

                        free(put_pattern("disk/file", 12 * MIB, 1));
                        drop_cache("disk/file");
                        whole_open(&w);
                        (void) usleep(10000); /* the kernel's clock for files ticks in milliseconds */
                        meanwhile = changes[i];
                        atomic_store(&reads_until, moments[k]);
                        whole_finish(&w, 1 + (unsigned) k % 3);
                        assert_true(atomic_load(&reads_until) <= 0); /* it has happened */
                        assert_int_equal(w.r, COPY_SOURCE_CHANGED);
                        whole_done(&w);
                }
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(files_of_all_sizes_arrive_whole_on_each_way),
                CASE(they_do_from_sectors_of_4_kib_too),
                CASE(and_into_pages_of_4_kib),
                CASE(chunks_of_any_size_make_the_same_file),
                CASE(a_chunk_that_begins_anywhere_is_no_trouble),
                CASE(what_the_file_has_grown_by_is_not_seen_behind_its_end),
                CASE(many_threads_make_one_file),
                CASE(what_nothing_is_known_of_is_seen_on_its_way),
                CASE(who_sees_it_can_refuse_it),
                CASE(what_is_cold_and_not_to_be_read_directly_goes_by_sendfile),
                CASE(what_is_smaller_than_a_mib_is_read_once_into_a_buffer),
                CASE(what_is_cold_comes_directly_and_stays_cold),
                CASE(what_is_cached_comes_from_there_and_stays),
                CASE(each_chunk_comes_as_it_fits_it),
                CASE(a_method_that_is_configured_ignores_the_cache),
                CASE(into_pages_of_4_kib_it_goes_through_a_buffer),
                CASE(a_file_with_holes_keeps_them),
                CASE(a_limit_does_not_make_direct_reads_others),
                CASE(where_direct_reads_are_refused_from_the_start_buffered_ones_take_over),
                CASE(where_they_are_refused_in_the_middle_the_rest_is_buffered_and_every_byte_is_there),
                CASE(reads_that_end_early_are_gone_on_with),
                CASE(a_refusal_at_any_read_is_gone_on_with_from_that_byte),
                CASE(a_read_that_a_signal_interrupts_is_made_again),
                CASE(an_error_in_the_middle_is_reported_with_its_place),
                CASE(a_source_that_has_become_shorter_is_reported),
                CASE(a_copy_that_cannot_be_written_is_not_reported_as_a_failed_read),
                CASE(a_cancelled_copy_reads_nothing_more),
                CASE(an_error_of_the_disk_is_reported_with_its_place),
                CASE(the_digest_is_that_of_the_bytes_that_arrived),
                CASE(other_bytes_have_another_digest),
                CASE(a_source_that_changes_before_the_reads_is_reported),
                CASE(a_source_that_changes_while_it_is_read_directly_is_reported),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, group_setup, ground_teardown);
}
