/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which entries of the base a report of a write concerns. */

#include "ground.h"
#include "mirror/written.h"

typedef struct Trial {
        Manifest *base, *scan;
        Written written;
        PathSet marked;
} Trial;

static void begin(Trial *t) {
        *t = (Trial){};
        assert_int_equal(manifest_new(&t->base), 0);
        assert_int_equal(manifest_new(&t->scan), 0);
}

static void end(Trial *t) {
        t->base = manifest_free(t->base);
        t->scan = manifest_free(t->scan);
        written_done(&t->written);
        pathset_done(&t->marked);
}

static void put(Manifest *manifest, const char *path, uint64_t ino, int64_t ctime_nsec, unsigned flags) {
        Entry entry = { .path = (char *) path, .ino = ino, .ctime_nsec = ctime_nsec, .flags = (uint16_t) flags };

        assert_int_equal(manifest_put(manifest, &entry), 0);
        manifest_sort(manifest);
}

static void put_base(Trial *t, const char *path, uint64_t ino) {
        put(t->base, path, ino, 1, ENTRY_HAS_DIGEST);
}

static void put_scan(Trial *t, const char *path, uint64_t ino) {
        put(t->scan, path, ino, 1, 0);
}

/* Both sides have it, as it was. */
static void put_both(Trial *t, const char *path, uint64_t ino) {
        put_base(t, path, ino);
        put_scan(t, path, ino);
}

static void note(Trial *t, unsigned flags, const char *path) {
        char *written[] = { (char *) path, NULL };
        WatchReport report = { .flags = flags, .paths = written, .n_paths = path != NULL,
                               .written = written, .n_written = path != NULL };

        written_note(&t->written, &report);
}

/* Room for flags of the whole base. */
static uint16_t *no_doubts(const Trial *t) {
        uint16_t *doubts = calloc(t->base->n_entries + 1, sizeof(*doubts));

        assert_non_null(doubts);
        return doubts;
}

static void mark(Trial *t) {
        uint16_t *doubts = no_doubts(t);

        pathset_done(&t->marked);
        assert_int_equal(written_mark(&t->written, t->base, t->scan, doubts, &t->marked), 0);
        manifest_add_flags(t->base, doubts);
        free(doubts);
        for (size_t i = 0; i < t->base->n_entries; i++)
                if (pathset_has(&t->marked, t->base->entries[i].path))
                        assert_true(t->base->entries[i].flags & ENTRY_UNPROVEN);
}

static void scan(Trial *t) {
        for (size_t i = 0; i < t->base->n_entries; i++)
                t->base->entries[i].flags &= (uint16_t) ~ENTRY_UNPROVEN;
        written_begin(&t->written);
        mark(t);
        written_end(&t->written);
        for (size_t i = 0; i < t->base->n_entries; i++) /* no other has the mark */
                assert_int_equal(pathset_has(&t->marked, t->base->entries[i].path),
                                 (t->base->entries[i].flags & ENTRY_UNPROVEN) != 0);
}

/* The names, joined by spaces. */
static void assert_marked(const Trial *t, const char *expected) {
        char names[256] = "";

        for (size_t i = 0; i < t->marked.n; i++)
                (void) strcat(strcat(names, i > 0 ? " " : ""), t->marked.items[i]);
        assert_string_equal(names, expected);
}

static void scan_marks(Trial *t, const char *expected) {
        scan(t);
        assert_marked(t, expected);
}

static void without_a_write_nothing_is_marked(void **state) {
        char *paths[] = { (char *) "a", NULL }, *none[] = { NULL };
        WatchReport touched = { .flags = WATCH_DIRTY, .paths = paths, .n_paths = 1, .written = none };
        Trial t;

        (void) state;
        begin(&t);
        put_base(&t, "a", 1);
        put(t.scan, "a", 1, 2, 0);
        note(&t, WATCH_ARMED, NULL);
        written_note(&t.written, &touched);
        scan_marks(&t, "");
        end(&t);
}

static void a_name_marks_its_file_once_for_each_report(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        note(&t, WATCH_DIRTY, "a");
        note(&t, WATCH_DIRTY, "a");
        scan_marks(&t, "a");
        scan_marks(&t, "");
        note(&t, WATCH_DIRTY, "a");
        scan_marks(&t, "a");
        end(&t);
}

static void it_means_the_inode_that_has_the_name_now(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_base(&t, "a", 1);
        put_both(&t, "b", 2);
        put_scan(&t, "c", 1);
        note(&t, WATCH_DIRTY, "c");
        scan_marks(&t, "a");
        put_scan(&t, "a", 1); /* with two names now, and the ctime that this gave it was taken over before */
        note(&t, WATCH_DIRTY, "c");
        scan_marks(&t, "a");
        end(&t);
}

static void it_means_the_inode_that_the_base_has_by_that_name(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_base(&t, "a", 1);
        put_both(&t, "d/link", 1);
        put_both(&t, "d/other", 2);
        put_scan(&t, "a", 9); /* the new file, which replaced the one that was written */
        note(&t, WATCH_DIRTY, "a");
        scan_marks(&t, "a d/link");
        end(&t);
}

static void a_number_means_that_inode(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 7);
        put_both(&t, "b", 8);
        put_both(&t, "d/c", 9);
        note(&t, WATCH_DIRTY, "d/#7");
        note(&t, WATCH_DIRTY, "#9");
        scan_marks(&t, "a d/c");
        note(&t, WATCH_DIRTY, "#8#");
        note(&t, WATCH_DIRTY, "#");
        note(&t, WATCH_DIRTY, "#-8");
        note(&t, WATCH_DIRTY, "#99999999999999999999999999999");
        note(&t, WATCH_DIRTY, "#8/x");
        scan_marks(&t, "");
        end(&t);
}

static void a_file_may_be_called_like_a_number(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "#7", 1);
        put_both(&t, "a", 7);
        note(&t, WATCH_DIRTY, "#7");
        scan_marks(&t, "#7 a");
        end(&t);
}

static void only_files_of_the_mirror_with_a_digest_are_marked(void **state) {
        static const struct {
                const char *path;
                EntryType type;
                unsigned flags;
        } others[] = {
                { "directory", ENTRY_DIRECTORY, 0 },           { "symlink", ENTRY_SYMLINK, ENTRY_HAS_DIGEST },
                { "record", ENTRY_FILE, ENTRY_HAS_DIGEST | ENTRY_RECORD },
                { "linked", ENTRY_FILE, ENTRY_HAS_DIGEST | ENTRY_LINKED }, { "unread", ENTRY_FILE, 0 },
        };
        Trial t;

        (void) state;
        begin(&t);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                put(t.base, others[i].path, 1, 1, others[i].flags);
                manifest_find(t.base, others[i].path)->type = (uint8_t) others[i].type;
                put_scan(&t, others[i].path, 1);
                note(&t, WATCH_DIRTY, others[i].path);
        }
        put_both(&t, "name", 1); /* of the same inode */
        manifest_find(t.base, "name")->type = ENTRY_HARDLINK;
        scan_marks(&t, "name");
        note(&t, WATCH_RESYNC, NULL);
        scan_marks(&t, "name");
        end(&t);
}

static void an_unknown_name_marks_what_may_have_had_it(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "d/untouched", 1);
        put_base(&t, "far/touched", 2);
        put(t.scan, "far/touched", 2, 2, 0);
        put_both(&t, "far/its-link", 2);
        put_base(&t, "far/renamed", 3);
        put(t.scan, "far/now", 3, 1, 0);
        put_base(&t, "replaced", 4);
        put(t.scan, "replaced", 5, 2, 0);
        put_base(&t, "gone", 6);
        note(&t, WATCH_DIRTY, "d/for-a-while");
        scan_marks(&t, "far/its-link far/renamed far/touched");
        end(&t);
}

static void a_known_name_marks_nothing_else(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_base(&t, "touched", 2);
        put(t.scan, "touched", 2, 2, 0);
        note(&t, WATCH_DIRTY, "a");
        scan_marks(&t, "a");
        end(&t);
}

static void a_new_file_does_not_mark_those_beside_it(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "blobs/a", 1);
        put_scan(&t, "blobs/new", 2);
        note(&t, WATCH_DIRTY, "blobs/new");
        note(&t, WATCH_DIRTY, "blobs/new.part");
        scan_marks(&t, "");
        end(&t);
}

static void what_cannot_be_seen_may_have_been_written(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_base(&t, "d/hidden", 1);
        put_both(&t, "seen", 2);
        assert_int_equal(manifest_omit(t.scan, "d", OMIT_UNREADABLE, EACCES), 0);
        note(&t, WATCH_DIRTY, "for-a-while");
        scan_marks(&t, "d/hidden");
        end(&t);
}

/* The scan read the file, then the name was removed, then the scan came to where the name had been. */
static void an_unknown_name_counts_in_the_next_scan_too(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        note(&t, WATCH_DIRTY, "d/for-a-while");
        scan_marks(&t, "");
        manifest_find(t.scan, "a")->ctime_nsec = 2;
        scan_marks(&t, "a");
        scan_marks(&t, "");
        end(&t);
}

static void a_known_name_does_not(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        note(&t, WATCH_DIRTY, "b");
        scan_marks(&t, "b");
        manifest_find(t.scan, "a")->ctime_nsec = 2;
        scan_marks(&t, "");
        end(&t);
}

static void what_is_reported_during_a_scan_is_for_the_next_one(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        note(&t, WATCH_DIRTY, "a");
        written_begin(&t.written);
        note(&t, WATCH_DIRTY, "b");
        mark(&t);
        assert_marked(&t, "a");
        written_end(&t.written);
        scan_marks(&t, "b");
        written_begin(&t.written);
        note(&t, WATCH_RESYNC, NULL);
        mark(&t);
        assert_marked(&t, "");
        written_end(&t.written);
        scan_marks(&t, "a b");
        end(&t);
}

static void a_failed_scan_leaves_its_names_to_the_next_one(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        put_both(&t, "c", 3);
        note(&t, WATCH_DIRTY, "c");
        written_begin(&t.written);
        note(&t, WATCH_DIRTY, "a");
        scan_marks(&t, "a c");
        note(&t, WATCH_RESYNC, NULL);
        written_begin(&t.written);
        note(&t, WATCH_DIRTY, "a");
        scan_marks(&t, "a b c");
        scan_marks(&t, "");
        end(&t);
}

static void what_was_not_reported_by_name_means_everything(void **state) {
        static const unsigned flags[] = { WATCH_RESYNC, WATCH_LOST, WATCH_EXHAUSTED, WATCH_EXHAUSTED | WATCH_DIRTY };
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        put_base(&t, "gone", 3);
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                note(&t, WATCH_DIRTY, "a");
                note(&t, flags[i], flags[i] & WATCH_DIRTY ? "a" : NULL);
                note(&t, WATCH_DIRTY, "b");
                scan_marks(&t, "a b gone");
                scan_marks(&t, "");
        }
        end(&t);
}

static void too_many_names_mean_everything(void **state) {
        char name[32];
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        for (unsigned i = 0; i < WATCH_REPORT_PATHS_MAX; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                note(&t, WATCH_DIRTY, name);
        }
        assert_int_equal(t.written.notes.n, WATCH_REPORT_PATHS_MAX);
        written_begin(&t.written);
        mark(&t);
        assert_marked(&t, "");
        note(&t, WATCH_DIRTY, "one more");
        written_begin(&t.written); /* the scan failed */
        assert_int_equal(t.written.scanning.n, 0);
        mark(&t);
        assert_marked(&t, "a");
        end(&t);
}

static void a_name_that_comes_again_takes_no_more_memory(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        for (unsigned i = 0; i < 3 * WATCH_REPORT_PATHS_MAX; i++)
                note(&t, WATCH_DIRTY, "a");
        assert_in_range(t.written.notes.n, 1, 64);
        scan_marks(&t, "a");
        end(&t);
}

static void files_that_had_the_mark_are_named_again(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_both(&t, "a", 1);
        put_both(&t, "b", 2);
        manifest_find(t.base, "a")->flags |= ENTRY_UNPROVEN;
        manifest_find(t.base, "b")->flags |= ENTRY_UNPROVEN;
        note(&t, WATCH_DIRTY, "a");
        written_begin(&t.written);
        mark(&t);
        assert_marked(&t, "a");
        assert_true(manifest_find(t.base, "b")->flags & ENTRY_UNPROVEN);
        end(&t);
}

/* --- the disk --- */

static void put_disk(Trial *t, const char *path, uint64_t ino, int64_t ctime_nsec, unsigned flags) {
        put(t->base, path, 1000 + ino, 77, ENTRY_HAS_DIGEST | flags);
        manifest_find(t->base, path)->disk = (DiskObject){ .ino = ino, .ctime_nsec = ctime_nsec };
}

static void disk_scan_marks(Trial *t, const char *expected) {
        uint16_t *doubts = no_doubts(t);

        pathset_done(&t->marked);
        written_begin(&t->written);
        assert_int_equal(written_mark_disk(&t->written, t->base, t->scan, doubts), 0);
        manifest_add_flags(t->base, doubts);
        free(doubts);
        written_end(&t->written);
        for (size_t i = 0; i < t->base->n_entries; i++) {
                assert_false(t->base->entries[i].flags & ENTRY_UNPROVEN);
                if (t->base->entries[i].flags & ENTRY_DISK_WRITTEN)
                        assert_int_equal(pathset_add(&t->marked, t->base->entries[i].path), 0);
                t->base->entries[i].flags &= (uint16_t) ~ENTRY_DISK_WRITTEN;
        }
        assert_marked(t, expected);
}

static void objects_of_the_disk_are_known_by_their_own_inodes(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_disk(&t, "a", 1, 1, 0);
        put_scan(&t, "b", 1);
        put_disk(&t, "c", 2, 1, 0);
        put_scan(&t, "c", 2);
        put_disk(&t, "unknown", 0, 0, 0);
        put_scan(&t, "unknown", 3);
        note(&t, WATCH_DIRTY, "b");
        disk_scan_marks(&t, "a");
        note(&t, WATCH_DIRTY, "#1001");
        note(&t, WATCH_DIRTY, "#2");
        disk_scan_marks(&t, "a c"); /* because of the name that is not known, what was renamed */
        note(&t, WATCH_RESYNC, NULL);
        disk_scan_marks(&t, "a c");
        end(&t);
}

static void files_that_are_on_disk_only_are_marked_too(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_disk(&t, "linked", 1, 1, ENTRY_LINKED);
        put_disk(&t, "record", 2, 1, ENTRY_RECORD);
        note(&t, WATCH_DIRTY, "linked");
        note(&t, WATCH_DIRTY, "record");
        disk_scan_marks(&t, "linked record");
        end(&t);
}

static void without_stable_inodes_only_the_path_counts(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_disk(&t, "a", 0, 1, 0);
        put_scan(&t, "a", 0);
        put_disk(&t, "b", 0, 1, 0);
        put_scan(&t, "b", 0);
        put_disk(&t, "gone", 0, 1, 0);
        note(&t, WATCH_DIRTY, "a");
        disk_scan_marks(&t, "a");
        note(&t, WATCH_DIRTY, "for-a-while");
        disk_scan_marks(&t, "");
        manifest_find(t.scan, "b")->ctime_nsec = 2;
        disk_scan_marks(&t, "b");
        end(&t);
}

/* --- much --- */

enum { MANY_NAMES = 100000, MANY_ENTRIES = 300000 };

/* Every third entry is written. @links: all are names of one inode. */
static void mark_many(bool links) {
        clock_t before;
        char name[48];
        Trial t;

        begin(&t);
        for (unsigned i = 0; i < MANY_ENTRIES; i++) {
                Entry entry = { .path = name, .ino = links ? 1 : i + 1, .flags = ENTRY_HAS_DIGEST, .ctime_nsec = 1 };

                (void) snprintf(name, sizeof(name), "d%u/f%u", i % 100, i);
                assert_int_equal(manifest_put(t.base, &entry), 0);
                entry.ctime_nsec = 2;
                assert_int_equal(manifest_put(t.scan, &entry), 0);
        }
        manifest_sort(t.base);
        manifest_sort(t.scan);
        before = clock();
        for (unsigned i = 0; i < MANY_NAMES - 1; i++) {
                (void) snprintf(name, sizeof(name), "d%u/f%u", 3 * i % 100, 3 * i);
                note(&t, WATCH_DIRTY, name);
        }
        scan(&t);
        assert_int_equal(t.marked.n, links ? MANY_ENTRIES : MANY_NAMES - 1);
        note(&t, WATCH_DIRTY, "unknown");
        scan(&t);
        assert_int_equal(t.marked.n, MANY_ENTRIES);
        print_message("%ld ms\n", (long) ((clock() - before) * 1000 / CLOCKS_PER_SEC));
        assert_in_range((clock() - before) / CLOCKS_PER_SEC, 0, 20); /* quadratic would be minutes */
        end(&t);
}

static void many_names_and_files_take_no_quadratic_time(void **state) {
        (void) state;
        mark_many(false);
        mark_many(true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_write_nothing_is_marked),
                cmocka_unit_test(a_name_marks_its_file_once_for_each_report),
                cmocka_unit_test(it_means_the_inode_that_has_the_name_now),
                cmocka_unit_test(it_means_the_inode_that_the_base_has_by_that_name),
                cmocka_unit_test(a_number_means_that_inode),
                cmocka_unit_test(a_file_may_be_called_like_a_number),
                cmocka_unit_test(only_files_of_the_mirror_with_a_digest_are_marked),
                cmocka_unit_test(an_unknown_name_marks_what_may_have_had_it),
                cmocka_unit_test(a_known_name_marks_nothing_else),
                cmocka_unit_test(a_new_file_does_not_mark_those_beside_it),
                cmocka_unit_test(what_cannot_be_seen_may_have_been_written),
                cmocka_unit_test(an_unknown_name_counts_in_the_next_scan_too),
                cmocka_unit_test(a_known_name_does_not),
                cmocka_unit_test(what_is_reported_during_a_scan_is_for_the_next_one),
                cmocka_unit_test(a_failed_scan_leaves_its_names_to_the_next_one),
                cmocka_unit_test(what_was_not_reported_by_name_means_everything),
                cmocka_unit_test(too_many_names_mean_everything),
                cmocka_unit_test(a_name_that_comes_again_takes_no_more_memory),
                cmocka_unit_test(files_that_had_the_mark_are_named_again),
                cmocka_unit_test(objects_of_the_disk_are_known_by_their_own_inodes),
                cmocka_unit_test(files_that_are_on_disk_only_are_marked_too),
                cmocka_unit_test(without_stable_inodes_only_the_path_counts),
                cmocka_unit_test(many_names_and_files_take_no_quadratic_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
