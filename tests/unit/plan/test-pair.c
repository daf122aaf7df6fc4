/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Whether a side still has the object of the base: by inode, size, both times, and what was reported of it. */

#include "ground.h"
#include "plan/pair.h"

/* A pair as it was agreed, and both of its objects as they are now. */
typedef struct Pair {
        Entry base, disk, mirror;
} Pair;

static Pair pair(void) {
        Entry disk = { .path = (char *) "x", .size = 100, .mtime_nsec = 1000, .ctime_nsec = 2000, .ino = 7, .dev = 3 };
        Entry mirror = { .path = (char *) "x", .size = 100, .mtime_nsec = 1000, .ctime_nsec = 9000, .ino = 70 };
        Entry base = mirror;

        base.flags = ENTRY_HAS_DIGEST;
        manifest_entry_set_disk(&base, &disk);
        return (Pair){ .base = base, .disk = disk, .mirror = mirror };
}

static void assert_disk(const Pair *p, PairState watched, PairState unwatched) {
        assert_int_equal(pair_disk(&p->base, &p->disk, true), watched);
        assert_int_equal(pair_disk(&p->base, &p->disk, false), unwatched);
}

static void assert_mirror(const Pair *p, PairState watched, PairState unwatched) {
        assert_int_equal(pair_mirror(&p->base, &p->mirror, true), watched);
        assert_int_equal(pair_mirror(&p->base, &p->mirror, false), unwatched);
}

static void the_object_of_the_base_is_the_same_on_either_side(void **state) {
        Pair p = pair();

        (void) state;
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
        assert_true(pair_is_known(PAIR_SAME) && pair_is_known(PAIR_TOUCHED));
        assert_false(pair_is_known(PAIR_UNSURE) || pair_is_known(PAIR_OTHER) || pair_is_known(PAIR_ABSENT));
}

static void nothing_is_absent(void **state) {
        Pair p = pair();

        (void) state;
        assert_int_equal(pair_disk(&p.base, NULL, true), PAIR_ABSENT);
        assert_int_equal(pair_mirror(&p.base, NULL, true), PAIR_ABSENT);
}

static void another_size_is_something_else(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.size = p.mirror.size = 101;
        assert_disk(&p, PAIR_OTHER, PAIR_OTHER);
        assert_mirror(&p, PAIR_OTHER, PAIR_OTHER);
}

static void another_kind_is_something_else(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.type = p.mirror.type = ENTRY_DIRECTORY;
        assert_disk(&p, PAIR_OTHER, PAIR_OTHER);
        assert_mirror(&p, PAIR_OTHER, PAIR_OTHER);
}

static void another_inode_of_the_same_size_and_times_has_to_be_compared(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.ino++;
        p.mirror.ino++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        assert_mirror(&p, PAIR_UNSURE, PAIR_UNSURE);
}

static void the_same_inode_number_on_another_device_has_to_be_compared(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.dev++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
}

static void a_device_is_not_compared_with_that_of_another_boot(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.dev++;
        p.base.flags |= ENTRY_RECORD;
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
}

static void another_mtime_on_the_disk_has_to_be_compared(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.mtime_nsec++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
}

static void another_mtime_in_the_mirror_is_to_be_saved(void **state) {
        Pair p = pair();

        (void) state;
        p.mirror.mtime_nsec++;
        assert_mirror(&p, PAIR_OTHER, PAIR_OTHER);
}

static void another_ctime_alone_is_a_touch_if_it_was_watched(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.ctime_nsec++;
        p.mirror.ctime_nsec++;
        assert_disk(&p, PAIR_TOUCHED, PAIR_UNSURE);
        assert_mirror(&p, PAIR_TOUCHED, PAIR_UNSURE);
}

static void the_two_sides_need_not_have_one_mtime(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.mtime_nsec = 2000; /* a client's own copy of the same bytes was agreed as it was */
        manifest_entry_set_disk(&p.base, &p.disk);
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
}

static void what_was_reported_to_be_written_on_the_disk_has_to_be_compared(void **state) {
        Pair p = pair();

        (void) state;
        p.base.flags |= ENTRY_DISK_WRITTEN;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE); /* a store through a mapping need not move the times */
        p.disk.ctime_nsec++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
}

static void what_was_too_new_when_it_was_seen_has_to_be_compared_once_it_is_not(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.flags |= ENTRY_RACY;
        manifest_entry_set_disk(&p.base, &p.disk);
        assert_true(p.base.flags & ENTRY_RACY);
        assert_disk(&p, PAIR_SAME, PAIR_SAME); /* there is nothing better to be seen yet */
        p.disk.flags = 0;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        p.base.flags |= ENTRY_DISK_DIFFERS; /* nor does it prove what was found out then */
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        p.base.flags &= (uint16_t) ~ENTRY_DISK_DIFFERS;
        p.disk.ctime_nsec++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE); /* no mere touch: it may have been written to before that */
        manifest_entry_set_disk(&p.base, &p.disk);
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
}

static void what_is_unsure_only_because_it_was_too_new_is_known_as_that(void **state) {
        Pair p = pair();

        (void) state;
        assert_false(pair_is_only_racy(&p.base, &p.disk));
        p.base.flags |= ENTRY_RACY;
        assert_true(pair_is_only_racy(&p.base, &p.disk));
        for (unsigned i = 0; i < 7; i++) {
                Pair q = p;

                q.disk.ino += i == 0;
                q.disk.ctime_nsec += i == 1;
                q.disk.mtime_nsec += i == 2;
                q.disk.size += i == 3;
                q.base.flags |= i == 4 ? ENTRY_DISK_WRITTEN : i == 5 ? ENTRY_DISK_DIFFERS : 0;
                q.disk.flags |= i == 6 ? ENTRY_RACY : 0; /* it still is */
                assert_false(pair_is_only_racy(&q.base, &q.disk));
        }
}

static void what_is_too_new_now_but_was_not_then_is_known_by_its_times(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.flags |= ENTRY_RACY;
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
}

static void without_stable_inodes_size_and_times_stand_in(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.ino = 0;
        p.disk.flags = ENTRY_NO_INODE;
        manifest_entry_set_disk(&p.base, &p.disk);
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
        p.disk.ctime_nsec++; /* it may be another file */
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        p.disk.ctime_nsec--;
        p.disk.mtime_nsec++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        p.disk.mtime_nsec--;
        p.disk.size++;
        assert_disk(&p, PAIR_OTHER, PAIR_OTHER);
}

static void an_unknown_object_of_the_disk_has_to_be_compared(void **state) {
        Pair p = pair();

        (void) state;
        p.base.disk = (DiskObject){ .mtime_nsec = 1000 }; /* as of a manifest of format 1 */
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        p.disk.ctime_nsec = 0;
        p.disk.ino = 0;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
}

static void what_a_comparison_found_counts_for_the_object_that_was_compared(void **state) {
        Pair p = pair();

        (void) state;
        p.base.flags |= ENTRY_DISK_DIFFERS | ENTRY_MIRROR_DIFFERS;
        assert_disk(&p, PAIR_OTHER, PAIR_OTHER);
        assert_mirror(&p, PAIR_OTHER, PAIR_OTHER);
        p.disk.ctime_nsec++;
        p.mirror.ctime_nsec++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        assert_mirror(&p, PAIR_UNSURE, PAIR_UNSURE);
        p = pair();
        p.base.flags |= ENTRY_DISK_DIFFERS | ENTRY_MIRROR_DIFFERS;
        p.disk.ino++;
        p.mirror.ino++;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        assert_mirror(&p, PAIR_UNSURE, PAIR_UNSURE);
}

static void what_is_unproven_is_still_the_same_object(void **state) {
        Pair p = pair();

        (void) state;
        p.base.flags |= ENTRY_UNPROVEN;
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
        p.mirror.ctime_nsec++;
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
        p.mirror.ino++;
        assert_mirror(&p, PAIR_UNSURE, PAIR_UNSURE);
        p = pair();
        p.base.flags |= ENTRY_UNPROVEN;
        p.mirror.mtime_nsec++;
        assert_mirror(&p, PAIR_OTHER, PAIR_OTHER);
}

static void what_is_unproven_and_has_no_digest_cannot_be_proven(void **state) {
        Pair p = pair();

        (void) state;
        p.base.flags = ENTRY_UNPROVEN;
        assert_mirror(&p, PAIR_UNSURE, PAIR_UNSURE);
}

static void links_are_known_by_their_text_and_directories_by_being_one(void **state) {
        Pair p = pair();

        (void) state;
        p.base.type = p.disk.type = p.mirror.type = ENTRY_SYMLINK;
        p.base.target = (char *) "a";
        p.disk.target = p.mirror.target = (char *) "a";
        p.disk.ino++;
        p.mirror.ino++;
        p.disk.ctime_nsec++;
        p.mirror.mtime_nsec++;
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
        p.disk.target = p.mirror.target = (char *) "b";
        assert_disk(&p, PAIR_OTHER, PAIR_OTHER);
        assert_mirror(&p, PAIR_OTHER, PAIR_OTHER);
        p.base.type = p.disk.type = p.mirror.type = ENTRY_DIRECTORY;
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
        assert_mirror(&p, PAIR_SAME, PAIR_SAME);
}

static void a_further_name_may_have_the_bytes_of_a_file(void **state) {
        Pair p = pair();

        (void) state;
        p.disk.type = ENTRY_HARDLINK;
        p.disk.target = (char *) "first";
        assert_true(pair_is_alike(&p.base, &p.disk));
        assert_disk(&p, PAIR_SAME, PAIR_SAME);
        assert_false(pair_is_tied_alike(&p.base, &p.disk));
        assert_false(pair_is_tied_alike(&p.disk, &p.base));
        p.mirror = p.disk;
        assert_true(pair_is_tied_alike(&p.disk, &p.mirror));
        p.mirror.target = (char *) "second";
        assert_false(pair_is_tied_alike(&p.disk, &p.mirror));
        p.disk.type = ENTRY_DIRECTORY; /* is tied to nothing */
        assert_true(pair_is_tied_alike(&p.disk, &p.mirror));
}

static void two_sides_differ_as_long_as_both_are_what_was_compared(void **state) {
        Pair p = pair();

        (void) state;
        assert_false(pair_is_different(&p.base, &p.disk, &p.mirror));
        assert_false(pair_is_different(NULL, &p.disk, &p.mirror));
        p.base.flags = ENTRY_RECORD | ENTRY_SIDES_DIFFER;
        assert_true(pair_is_different(&p.base, &p.disk, &p.mirror));
        for (unsigned i = 0; i < 6; i++) {
                Pair q = p;
                Entry *side = i % 2 == 0 ? &q.disk : &q.mirror;

                side->ctime_nsec += i / 2 == 0;
                side->mtime_nsec += i / 2 == 1;
                side->ino += i / 2 == 2;
                assert_false(pair_is_different(&q.base, &q.disk, &q.mirror));
        }
}

/* --- before planning --- */

static void put(Manifest *list, Entry entry, const char *path) {
        entry.path = (char *) path;
        assert_int_equal(manifest_put(list, &entry), 0);
}

typedef void (*MarkFunction)(const Manifest *base, const Manifest *scanned, bool watched, uint16_t *doubts);

/* The flags of the one file of a base, after a scan that saw @seen (NULL: nothing). */
static unsigned marks_of(MarkFunction mark, const Entry *base, const Entry *seen, bool watched) {
        Manifest *bases = NULL, *scanned = NULL;
        uint16_t doubts = 0;

        assert_int_equal(manifest_new(&bases), 0);
        assert_int_equal(manifest_new(&scanned), 0);
        put(bases, *base, "x");
        if (seen)
                put(scanned, *seen, "x");
        manifest_sort(bases);
        manifest_sort(scanned);
        mark(bases, scanned, watched, &doubts);
        manifest_free(bases);
        manifest_free(scanned);
        return base->flags | doubts;
}

static bool is_marked(const Entry *base, const Entry *mirror, bool watched) {
        return marks_of(pair_mark_unproven, base, mirror, watched) & ENTRY_UNPROVEN;
}

static bool is_marked_on_disk(const Entry *base, const Entry *source, bool watched) {
        return marks_of(pair_mark_disk_unproven, base, source, watched) & ENTRY_DISK_WRITTEN;
}

/* So that the next scan, which is watched, does not take it for touched only. */
static void what_was_touched_unwatched_on_the_disk_is_in_doubt(void **state) {
        Pair p = pair();

        (void) state;
        assert_false(is_marked_on_disk(&p.base, &p.disk, false));
        assert_false(is_marked_on_disk(&p.base, NULL, false));
        p.disk.ctime_nsec++;
        assert_false(is_marked_on_disk(&p.base, &p.disk, true));
        assert_true(is_marked_on_disk(&p.base, &p.disk, false));
        p.base.flags |= ENTRY_DISK_WRITTEN;
        assert_disk(&p, PAIR_UNSURE, PAIR_UNSURE);
        p.base.flags = ENTRY_HAS_DIGEST;
        p.disk.ino++; /* another file */
        assert_false(is_marked_on_disk(&p.base, &p.disk, false));
}

static void what_was_touched_unwatched_is_unproven(void **state) {
        Pair p = pair();

        (void) state;
        assert_false(is_marked(&p.base, &p.mirror, false));
        p.mirror.ctime_nsec++;
        assert_true(is_marked(&p.base, &p.mirror, false));
        assert_false(is_marked(&p.base, &p.mirror, true));
        p.mirror.ino++; /* another file: that is no doubt about the base's */
        assert_false(is_marked(&p.base, &p.mirror, false));
}

static void what_left_its_name_unwatched_is_unproven(void **state) {
        Pair p = pair();

        (void) state;
        assert_true(is_marked(&p.base, NULL, false)); /* it may have another name now, and other bytes */
        assert_false(is_marked(&p.base, NULL, true));
}

static void only_what_has_a_digest_in_the_mirror_is_unproven(void **state) {
        static const uint16_t flags[] = { 0, ENTRY_HAS_DIGEST | ENTRY_RECORD, ENTRY_HAS_DIGEST | ENTRY_LINKED };
        Pair p = pair();

        (void) state;
        p.mirror.ctime_nsec++;
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                p.base.flags = flags[i];
                assert_false(is_marked(&p.base, &p.mirror, false));
        }
        p.base.flags = ENTRY_HAS_DIGEST;
        p.base.type = p.mirror.type = ENTRY_DIRECTORY;
        assert_false(is_marked(&p.base, &p.mirror, false));
}

/* Two names that a scan tied, as a base with these digests leaves them. 0: it has none of that name. */
static bool stay_tied(uint16_t flags, int first_digest, int second_digest, int64_t moved) {
        Manifest *base = NULL, *source = NULL;
        Pair p = pair();
        bool tied;

        assert_int_equal(manifest_new(&base), 0);
        assert_int_equal(manifest_new(&source), 0);
        p.disk.flags = flags;
        p.disk.ino = flags & ENTRY_NO_INODE ? 0 : 7;
        put(source, p.disk, "first");
        manifest_entry_set_disk(&p.base, &p.disk);
        p.base.digest.bytes[0] = (uint8_t) first_digest;
        if (first_digest)
                put(base, p.base, "first");
        p.base.digest.bytes[0] = (uint8_t) second_digest;
        p.base.disk.ctime_nsec += moved;
        if (second_digest)
                put(base, p.base, "second");
        p.disk.type = ENTRY_HARDLINK;
        p.disk.target = (char *) "first";
        p.disk.room = 0;
        put(source, p.disk, "second");
        manifest_sort(base);
        manifest_sort(source);
        pair_untie(source, base);
        tied = source->entries[1].type == ENTRY_HARDLINK;
        assert_true(tied ? string_equal(source->entries[1].target, "first") : !source->entries[1].target);
        assert_int_equal(source->entries[1].room, tied ? 0 : 4096);
        assert_int_equal(source->entries[0].type, ENTRY_FILE);
        manifest_free(base);
        manifest_free(source);
        return tied;
}

static void names_of_one_inode_are_trusted_where_inodes_are_stable(void **state) {
        (void) state;
        assert_true(stay_tied(0, 0, 0, 0));
        assert_true(stay_tied(0, 1, 2, 0));
}

static void elsewhere_they_are_trusted_only_if_their_digests_agree(void **state) {
        (void) state;
        assert_false(stay_tied(ENTRY_NO_INODE, 0, 0, 0));
        assert_false(stay_tied(ENTRY_NO_INODE, 1, 0, 0));
        assert_false(stay_tied(ENTRY_NO_INODE, 0, 1, 0));
        assert_false(stay_tied(ENTRY_NO_INODE, 1, 2, 0));
        assert_true(stay_tied(ENTRY_NO_INODE, 1, 1, 0));
        assert_false(stay_tied(ENTRY_NO_INODE, 1, 1, 1)); /* that was the digest of another version */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_object_of_the_base_is_the_same_on_either_side),
                cmocka_unit_test(nothing_is_absent),
                cmocka_unit_test(what_was_touched_unwatched_on_the_disk_is_in_doubt),
                cmocka_unit_test(another_size_is_something_else),
                cmocka_unit_test(another_kind_is_something_else),
                cmocka_unit_test(another_inode_of_the_same_size_and_times_has_to_be_compared),
                cmocka_unit_test(the_same_inode_number_on_another_device_has_to_be_compared),
                cmocka_unit_test(a_device_is_not_compared_with_that_of_another_boot),
                cmocka_unit_test(another_mtime_on_the_disk_has_to_be_compared),
                cmocka_unit_test(another_mtime_in_the_mirror_is_to_be_saved),
                cmocka_unit_test(another_ctime_alone_is_a_touch_if_it_was_watched),
                cmocka_unit_test(the_two_sides_need_not_have_one_mtime),
                cmocka_unit_test(what_was_reported_to_be_written_on_the_disk_has_to_be_compared),
                cmocka_unit_test(what_was_too_new_when_it_was_seen_has_to_be_compared_once_it_is_not),
                cmocka_unit_test(what_is_unsure_only_because_it_was_too_new_is_known_as_that),
                cmocka_unit_test(what_is_too_new_now_but_was_not_then_is_known_by_its_times),
                cmocka_unit_test(without_stable_inodes_size_and_times_stand_in),
                cmocka_unit_test(an_unknown_object_of_the_disk_has_to_be_compared),
                cmocka_unit_test(what_a_comparison_found_counts_for_the_object_that_was_compared),
                cmocka_unit_test(what_is_unproven_is_still_the_same_object),
                cmocka_unit_test(what_is_unproven_and_has_no_digest_cannot_be_proven),
                cmocka_unit_test(links_are_known_by_their_text_and_directories_by_being_one),
                cmocka_unit_test(a_further_name_may_have_the_bytes_of_a_file),
                cmocka_unit_test(two_sides_differ_as_long_as_both_are_what_was_compared),
                cmocka_unit_test(what_was_touched_unwatched_is_unproven),
                cmocka_unit_test(what_left_its_name_unwatched_is_unproven),
                cmocka_unit_test(only_what_has_a_digest_in_the_mirror_is_unproven),
                cmocka_unit_test(names_of_one_inode_are_trusted_where_inodes_are_stable),
                cmocka_unit_test(elsewhere_they_are_trusted_only_if_their_digests_agree),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
