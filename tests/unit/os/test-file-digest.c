/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The digest of a file that is in place: right, through holes and without leaving traces. */

#include "ground.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "os/pagecache.h"

#include <xxhash.h>

typedef struct Trial {
        FileDigestOptions options;
        atomic_bool cancel;
        atomic_uint_fast64_t progress;
        Digest digest;
} Trial;

static int verify(Trial *t, const char *directory, const char *path) {
        int fd = open_directory(directory), r;

        *t = (Trial){ .cancel = atomic_load(&t->cancel) };
        t->options = (FileDigestOptions){ .cancel = &t->cancel, .progress = &t->progress };
        r = file_digest_at(fd, path, &t->options, &t->digest);
        (void) close(fd);
        return r;
}

static void assert_digest(const Trial *t, const void *data, size_t length) {
        XXH128_canonical_t canonical;

        XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, length));
        assert_memory_equal(t->digest.bytes, canonical.digest, 16);
}

static void the_digest_of_a_file_is_right(void **state) {
        static const size_t sizes[] = { 0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 17 * MIB + 3 };

        (void) state;
        make_directory("sub");
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(freep) uint8_t *data = put_pattern("sub/file", sizes[i], i);
                Trial t = {};

                assert_int_equal(verify(&t, ".", "sub/file"), 0);
                assert_digest(&t, data, sizes[i]);
                assert_int_equal(t.progress, sizes[i]);
        }
}

static void holes_are_digested_and_stay_holes(void **state) {
        _cleanup_(freep) uint8_t *data = calloc(1, 20 * MIB);
        struct stat before, after;
        int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        Trial t = {};

        (void) state;
        fill_bytes(data + 5 * MIB, 8192, 1);
        assert_int_equal(pwrite(fd, data + 5 * MIB, 8192, 5 * MIB), 8192);
        assert_int_equal(ftruncate(fd, 20 * MIB), 0);
        assert_int_equal(fstat(fd, &before), 0);
        assert_int_equal(verify(&t, ".", "file"), 0);
        assert_digest(&t, data, 20 * MIB);
        assert_int_equal(t.progress, 8192);
        assert_int_equal(fstat(fd, &after), 0);
        assert_int_equal(before.st_blocks, after.st_blocks);
        (void) close(fd);
}

static void a_cold_file_is_cold_afterwards(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        Trial t = {};
        int fd;

        (void) state;
        make_ext4("disk", 32);
        data = put_pattern("disk/file", 10 * MIB, 1);
        fd = open("disk/file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fsync(fd), 0);
        pagecache_drop(fd, 0, 0);
        assert_int_equal(verify(&t, "disk", "file"), 0);
        assert_digest(&t, data, 10 * MIB);
        assert_int_equal(pagecache_bytes(fd, 0, 10 * MIB), 0);
        shell("cat disk/file > /dev/null");
        assert_int_equal(verify(&t, "disk", "file"), 0);
        assert_int_equal(pagecache_bytes(fd, 0, 10 * MIB), 10 * MIB);
        (void) close(fd);
}

static void only_files_beneath_are_read(void **state) {
        Trial t = {};

        (void) state;
        make_directory("tree");
        put_text("outside", "x");
        assert_int_equal(symlink("../outside", "tree/link"), 0);
        assert_int_equal(mkfifo("tree/fifo", 0644), 0); /* must not wait for a writer */
        assert_int_equal(verify(&t, "tree", "link"), -ELOOP);
        assert_int_equal(verify(&t, "tree", "../outside"), -EXDEV);
        assert_int_equal(verify(&t, "tree", "absent"), -ENOENT);
        assert_int_equal(verify(&t, "tree", "fifo"), -ESTALE);
        assert_int_equal(verify(&t, ".", "tree"), -ESTALE);
}

static void reading_can_be_cancelled(void **state) {
        Trial t = { .cancel = true };

        (void) state;
        free(put_pattern("file", MIB, 1));
        assert_int_equal(verify(&t, ".", "file"), -ECANCELED);
}

static void a_digest_in_pieces_is_the_same(void **state) {
        static const uint64_t pieces[] = { 40000, 4 * KIB, 3 * MIB + 1, 100 * MIB };
        _cleanup_(freep) uint8_t *data = calloc(1, 20 * MIB);
        int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

        (void) state;
        fill_bytes(data + 5 * MIB, 8192, 1);
        assert_int_equal(pwrite(fd, data + 5 * MIB, 8192, 5 * MIB), 8192);
        assert_int_equal(ftruncate(fd, 20 * MIB), 0);
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                _cleanup_(file_digest_verification_freep) FileDigestVerification *v = NULL;
                FileDigestOptions options = {};
                Trial t = {};
                int r;

                options.progress = &t.progress;
                assert_int_equal(file_digest_verification_new(&v, fd), 0);
                while ((r = file_digest_verification_continue(v, pieces[i], &options, &t.digest)) == FILE_DIGEST_MORE)
                        ;
                assert_int_equal(r, 0);
                assert_digest(&t, data, 20 * MIB);
                assert_int_equal(t.progress, 8192);
        }
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(the_digest_of_a_file_is_right),
                ON_GROUND(holes_are_digested_and_stay_holes),
                ON_GROUND(a_cold_file_is_cold_afterwards),
                ON_GROUND(only_files_beneath_are_read),
                ON_GROUND(reading_can_be_cancelled),
                ON_GROUND(a_digest_in_pieces_is_the_same),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
