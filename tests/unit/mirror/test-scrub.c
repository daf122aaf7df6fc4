/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The parts of Scrub=: what one pass finds and what it leaves alone, how fast it goes, and who can have written to a file. */

#include "ground.h"
#include "mirror/scrub-pass.h"
#include "mirror/scrub-writers.h"
#include "os/file-digest.h"
#include "os/fs.h"

typedef struct Trial {
        Manifest *base;
        int fd;
        ScrubFinding finding;
        bool changed;
        uint64_t cost;
        atomic_bool cancel;
} Trial;

static void begin(Trial *t) {
        *t = (Trial){ .fd = open_directory(".") };
        assert_int_equal(manifest_new(&t->base), 0);
}

static void end(Trial *t) {
        scrub_pass_finding_done(&t->finding);
        t->base = manifest_free(t->base);
        (void) close(t->fd);
}

/* The base learns of a file as it is. */
static void agree(Trial *t, const char *path, EntryType type, unsigned flags) {
        struct stat st = stat_at(path);
        atomic_uint_fast64_t progress = 0;
        FileDigestOptions options = { .progress = &progress };
        Entry entry = { .path = (char *) path, .type = (uint8_t) type, .size = (uint64_t) st.st_size, .mtime_nsec = fs_nsec(&st.st_mtim),
                        .ctime_nsec = fs_nsec(&st.st_ctim), .ino = st.st_ino, .mode = 0644, .flags = (uint8_t) flags };

        assert_int_equal(file_digest_at(t->fd, path, &options, &entry.digest), 0);
        assert_int_equal(manifest_put(t->base, &entry), 0);
        manifest_sort(t->base);
}

static void put_file(Trial *t, const char *path, size_t size) {
        free(put_pattern(path, size, size));
        agree(t, path, ENTRY_FILE, ENTRY_HAS_DIGEST);
}

static void change_digest(Trial *t, const char *path) {
        manifest_find(t->base, path)->digest.bytes[7] ^= 1;
}

static int read_some(Trial *t, ScrubPass *pass, uint64_t max) {
        scrub_pass_finding_done(&t->finding);
        return scrub_pass_read(pass, t->fd, max, &t->cancel, &t->cost, &t->finding, &t->changed);
}

/* One read of everything, up to the first finding. */
static int read_all(Trial *t) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;

        assert_int_equal(scrub_pass_new(&pass, t->base), 0);
        return read_some(t, pass, UINT64_MAX);
}

static void what_is_as_it_was_is_good(void **state) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;
        Manifest *good;
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 3 * MIB + 1);
        put_file(&t, "b", 0);
        assert_int_equal(scrub_pass_new(&pass, t.base), 0);
        assert_int_equal(scrub_pass_bytes(pass), 3 * MIB + 1);
        assert_int_equal(read_some(&t, pass, UINT64_MAX), 0);
        assert_false(t.changed);
        good = scrub_pass_take_good(pass);
        assert_non_null(manifest_find(good, "a"));
        assert_non_null(manifest_find(good, "b"));
        (void) manifest_free(good);
        end(&t);
}

static void other_bytes_behind_the_same_times_are_found(void **state) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;
        Manifest *good;
        Digest real;
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 3 * MIB + 1);
        put_file(&t, "b", 1);
        real = manifest_find(t.base, "a")->digest;
        change_digest(&t, "a");
        assert_int_equal(scrub_pass_new(&pass, t.base), 0);
        assert_int_equal(read_some(&t, pass, UINT64_MAX), SCRUB_PASS_FOUND);
        assert_string_equal(t.finding.entry.path, "a");
        assert_true(digest_equal(&t.finding.found, &real));
        assert_int_equal(t.finding.error, 0);
        assert_false(t.finding.has_links);
        assert_false(t.changed);
        assert_int_equal(read_some(&t, pass, UINT64_MAX), 0); /* and it goes on behind it */
        good = scrub_pass_take_good(pass);
        assert_null(manifest_find(good, "a"));
        assert_non_null(manifest_find(good, "b"));
        (void) manifest_free(good);
        end(&t);
}

static void further_names_are_told(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        assert_int_equal(link("a", "b"), 0);
        agree(&t, "a", ENTRY_FILE, ENTRY_HAS_DIGEST);
        agree(&t, "b", ENTRY_HARDLINK, ENTRY_HAS_DIGEST);
        change_digest(&t, "a");
        change_digest(&t, "b");
        assert_int_equal(read_all(&t), SCRUB_PASS_FOUND);
        assert_true(t.finding.has_links);
        end(&t);
}

static void only_files_with_a_digest_are_read(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        free(put_pattern("file", 100, 1));
        agree(&t, "file", ENTRY_FILE, 0);
        change_digest(&t, "file");
        assert_int_equal(read_all(&t), 0);
        agree(&t, "file", ENTRY_FILE, ENTRY_HAS_DIGEST | ENTRY_RECORD);
        change_digest(&t, "file");
        assert_int_equal(read_all(&t), 0);
        agree(&t, "file", ENTRY_FILE, ENTRY_HAS_DIGEST | ENTRY_LINKED);
        change_digest(&t, "file");
        assert_int_equal(read_all(&t), 0);
        agree(&t, "file", ENTRY_HARDLINK, ENTRY_HAS_DIGEST);
        change_digest(&t, "file");
        assert_int_equal(read_all(&t), 0);
        assert_int_equal(t.cost, 0);
        assert_false(t.changed);
        end(&t);
}

/* Whatever differs is for a look, also if the bytes do. */
static void assert_for_a_look(Trial *t) {
        change_digest(t, "a");
        assert_int_equal(read_all(t), 0);
        assert_true(t->changed);
        end(t);
}

static void another_time_is_for_a_look(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        set_mtime("a", 1000, 1);
        assert_for_a_look(&t);
}

static void another_size_is_for_a_look(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        manifest_find(t.base, "a")->size = 101;
        assert_for_a_look(&t);
}

static void another_inode_is_for_a_look(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        manifest_find(t.base, "a")->ino++;
        assert_for_a_look(&t);
}

static void a_file_that_is_gone_is_for_a_look(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        assert_int_equal(unlink("a"), 0);
        assert_for_a_look(&t);
}

static void what_took_its_place_is_for_a_look(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        assert_int_equal(unlink("a"), 0);
        assert_int_equal(mkfifo("a", 0600), 0);
        assert_for_a_look(&t);
}

static void a_link_is_not_followed(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        assert_int_equal(rename("a", "b"), 0);
        assert_int_equal(symlink("b", "a"), 0);
        assert_for_a_look(&t);
}

static void what_is_open_for_writing_is_not_judged(void **state) {
        Trial t;
        int fd;

        (void) state;
        begin(&t);
        put_file(&t, "a", 100);
        change_digest(&t, "a");
        fd = open("a", O_WRONLY | O_CLOEXEC);
        assert_int_equal(read_all(&t), 0);
        assert_false(t.changed);
        (void) close(fd);
        assert_int_equal(read_all(&t), SCRUB_PASS_FOUND);
        end(&t);
}

static void it_is_read_in_slices(void **state) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;
        unsigned n = 0;
        Trial t;
        int r;

        (void) state;
        begin(&t);
        put_file(&t, "a", 5 * MIB);
        put_file(&t, "b", 5 * MIB);
        change_digest(&t, "b");
        assert_int_equal(scrub_pass_new(&pass, t.base), 0);
        while ((r = read_some(&t, pass, MIB)) == SCRUB_PASS_MORE) {
                n++;
                assert_in_range(t.cost, n * (MIB - 64 * KIB), n * (MIB + 64 * KIB));
        }
        assert_int_equal(r, SCRUB_PASS_FOUND);
        assert_in_range(n, 9, 10);
        assert_int_equal(t.cost, 10 * MIB + 2 * 64 * KIB);
        end(&t);
}

static void small_files_cost_something(void **state) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;
        Trial t;
        unsigned n = 1;

        (void) state;
        begin(&t);
        for (char name[] = "a"; *name <= 'z'; (*name)++)
                put_file(&t, name, 1);
        assert_int_equal(scrub_pass_new(&pass, t.base), 0);
        while (read_some(&t, pass, 128 * KIB) == SCRUB_PASS_MORE)
                n++;
        assert_in_range(n, 13, 26);
        end(&t);
}

static void a_file_that_was_let_go_is_begun_anew(void **state) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;
        Trial t;
        int r;

        (void) state;
        begin(&t);
        put_file(&t, "a", 3 * MIB);
        assert_int_equal(scrub_pass_new(&pass, t.base), 0);
        assert_int_equal(read_some(&t, pass, MIB), SCRUB_PASS_MORE);
        scrub_pass_let_go(pass);
        t.cost = 0;
        while ((r = read_some(&t, pass, MIB)) == SCRUB_PASS_MORE)
                ;
        assert_int_equal(r, 0);
        assert_int_equal(t.cost, 3 * MIB + 64 * KIB);
        end(&t);
}

static void it_can_be_cancelled_and_goes_on(void **state) {
        _cleanup_(scrub_pass_freep) ScrubPass *pass = NULL;
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a", 3 * MIB);
        change_digest(&t, "a");
        assert_int_equal(scrub_pass_new(&pass, t.base), 0);
        assert_int_equal(read_some(&t, pass, MIB), SCRUB_PASS_MORE);
        atomic_store(&t.cancel, true);
        assert_int_equal(read_some(&t, pass, MIB), -ECANCELED);
        atomic_store(&t.cancel, false);
        assert_int_equal(read_some(&t, pass, UINT64_MAX), SCRUB_PASS_FOUND);
        end(&t);
}

static void holes_are_read_as_zeros_and_cost_nothing(void **state) {
        int fd = open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        struct stat before, after;
        Trial t;

        (void) state;
        begin(&t);
        assert_int_equal(pwrite(fd, "x", 1, 40 * MIB), 1);
        assert_int_equal(ftruncate(fd, 100 * MIB), 0);
        (void) close(fd);
        agree(&t, "a", ENTRY_FILE, ENTRY_HAS_DIGEST);
        before = stat_at("a");
        assert_int_equal(read_all(&t), 0);
        assert_false(t.changed);
        assert_in_range(t.cost, 1, MIB);
        after = stat_at("a");
        assert_int_equal(before.st_blocks, after.st_blocks);
        end(&t);
}

static void a_pass_takes_half_of_the_span_at_most(void **state) {
        const uint64_t day = 86400 * USEC_PER_SEC;

        (void) state;
        assert_int_equal(scrub_pass_rate(0, day), 64 * MIB);
        assert_int_equal(scrub_pass_rate(41 * GIB, day), 64 * MIB); /* 11 minutes */
        assert_int_equal(scrub_pass_rate(100 * GIB, 200 * USEC_PER_SEC), GIB);
        assert_true(scrub_pass_rate(1000 * GIB, USEC_PER_SEC) >= 2000 * GIB);
        assert_true(scrub_pass_rate(UINT64_MAX / 2, 1) >= 64 * MIB);
}

static void a_slice_is_short_at_any_rate(void **state) {
        (void) state;
        assert_int_equal(scrub_pass_slice(64 * MIB), 8 * MIB);
        assert_int_equal(scrub_pass_slice(UINT64_MAX), 16 * MIB);
        assert_true(scrub_pass_slice(1) > 0);
}

/* --- the witness --- */

static void report(ScrubWriters *writers, unsigned flags, const char *path) {
        char *paths[] = { (char *) path, NULL };
        WatchReport r = { .flags = flags, .paths = path ? paths : NULL, .n_paths = path ? 1 : 0 };

        scrub_writers_note(writers, &r);
}

/* The end of a pass that found "d/a" and "b" good. */
static void end_pass(ScrubWriters *writers) {
        Entry a = { .path = (char *) "d/a", .ino = 1, .ctime_nsec = 2 }, b = { .path = (char *) "b", .ino = 3, .ctime_nsec = 4 };
        Manifest *good = NULL;

        assert_int_equal(manifest_new(&good), 0);
        assert_int_equal(manifest_put(good, &a), 0);
        assert_int_equal(manifest_put(good, &b), 0);
        manifest_sort(good);
        scrub_writers_end(writers, good);
}

static void pass(ScrubWriters *writers, bool watching) {
        scrub_writers_begin(writers, watching);
        end_pass(writers);
}

static bool vouches(ScrubWriters *writers, const char *path, uint64_t ino, int64_t ctime_nsec) {
        return scrub_writers_none_since(writers, &(Entry){ .path = (char *) path, .ino = ino, .ctime_nsec = ctime_nsec });
}

static void nobody_is_vouched_for_before_a_pass(void **state) {
        ScrubWriters w = {};

        (void) state;
        assert_false(vouches(&w, "b", 3, 4));
        scrub_writers_begin(&w, true);
        assert_false(vouches(&w, "b", 3, 4));
        scrub_writers_done(&w);
}

static void what_was_good_and_not_reported_is_vouched_for(void **state) {
        ScrubWriters w = {};

        (void) state;
        pass(&w, true);
        assert_true(vouches(&w, "d/a", 1, 2));
        scrub_writers_begin(&w, true);
        assert_true(vouches(&w, "d/a", 1, 2));
        assert_false(vouches(&w, "d/a", 2, 2)); /* another file */
        assert_false(vouches(&w, "d/a", 1, 3));
        assert_false(vouches(&w, "c", 1, 2));
        scrub_writers_done(&w);
}

static void what_was_reported_is_not(void **state) {
        ScrubWriters w = {};

        (void) state;
        report(&w, WATCH_DIRTY, "b"); /* before the pass: it was good afterwards */
        pass(&w, true);
        assert_true(vouches(&w, "b", 3, 4));
        report(&w, WATCH_DIRTY, "b");
        assert_false(vouches(&w, "b", 3, 4));
        assert_true(vouches(&w, "d/a", 1, 2));
        scrub_writers_begin(&w, true); /* the next pass has begun, and has not read it yet */
        assert_false(vouches(&w, "b", 3, 4));
        report(&w, WATCH_DIRTY, "d");
        assert_false(vouches(&w, "d/a", 1, 2));
        end_pass(&w);
        assert_false(vouches(&w, "d/a", 1, 2)); /* perhaps it was read before */
        assert_true(vouches(&w, "b", 3, 4));
        pass(&w, true);
        assert_true(vouches(&w, "d/a", 1, 2));
        scrub_writers_done(&w);
}

static void whoever_was_blind_vouches_for_nothing(void **state) {
        static const unsigned flags[] = { WATCH_RESYNC, WATCH_LOST, WATCH_EXHAUSTED };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                ScrubWriters w = {};

                pass(&w, true);
                report(&w, flags[i], NULL);
                assert_false(vouches(&w, "b", 3, 4));
                scrub_writers_begin(&w, true);
                assert_false(vouches(&w, "b", 3, 4));
                report(&w, flags[i], NULL);
                end_pass(&w);
                assert_false(vouches(&w, "b", 3, 4));
                pass(&w, true);
                assert_true(vouches(&w, "b", 3, 4));
                scrub_writers_done(&w);
        }
}

static void a_pass_without_a_watch_counts_for_nothing(void **state) {
        ScrubWriters w = {};

        (void) state;
        pass(&w, false);
        assert_false(vouches(&w, "b", 3, 4));
        scrub_writers_begin(&w, true);
        assert_false(vouches(&w, "b", 3, 4));
        end_pass(&w);
        assert_true(vouches(&w, "b", 3, 4));
        scrub_writers_done(&w);
}

static void a_pass_that_was_given_up_counts_for_nothing(void **state) {
        ScrubWriters w = {};

        (void) state;
        pass(&w, true);
        scrub_writers_done(&w);
        assert_false(vouches(&w, "b", 3, 4));
        scrub_writers_begin(&w, true);
        assert_false(vouches(&w, "b", 3, 4));
        scrub_writers_done(&w);
}

static void too_many_names_make_it_blind(void **state) {
        char name[32];
        ScrubWriters w = {};

        (void) state;
        pass(&w, true);
        for (unsigned i = 0; i < 300000; i++)
                report(&w, WATCH_DIRTY, "the same"); /* is one */
        assert_true(vouches(&w, "b", 3, 4));
        for (unsigned i = 0; i <= WATCH_REPORT_PATHS_MAX; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                report(&w, WATCH_DIRTY, name);
        }
        assert_false(vouches(&w, "b", 3, 4));
        scrub_writers_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(what_is_as_it_was_is_good),
                ON_GROUND(other_bytes_behind_the_same_times_are_found),
                ON_GROUND(further_names_are_told),
                ON_GROUND(only_files_with_a_digest_are_read),
                ON_GROUND(another_time_is_for_a_look),
                ON_GROUND(another_size_is_for_a_look),
                ON_GROUND(another_inode_is_for_a_look),
                ON_GROUND(a_file_that_is_gone_is_for_a_look),
                ON_GROUND(what_took_its_place_is_for_a_look),
                ON_GROUND(a_link_is_not_followed),
                ON_GROUND(what_is_open_for_writing_is_not_judged),
                ON_GROUND(it_is_read_in_slices),
                ON_GROUND(small_files_cost_something),
                ON_GROUND(a_file_that_was_let_go_is_begun_anew),
                ON_GROUND(it_can_be_cancelled_and_goes_on),
                ON_GROUND(holes_are_read_as_zeros_and_cost_nothing),
                cmocka_unit_test(a_pass_takes_half_of_the_span_at_most),
                cmocka_unit_test(a_slice_is_short_at_any_rate),
                cmocka_unit_test(nobody_is_vouched_for_before_a_pass),
                cmocka_unit_test(what_was_good_and_not_reported_is_vouched_for),
                cmocka_unit_test(what_was_reported_is_not),
                cmocka_unit_test(whoever_was_blind_vouches_for_nothing),
                cmocka_unit_test(a_pass_without_a_watch_counts_for_nothing),
                cmocka_unit_test(a_pass_that_was_given_up_counts_for_nothing),
                cmocka_unit_test(too_many_names_make_it_blind),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
