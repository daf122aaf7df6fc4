/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What was renamed in the mirror is found by its inode, and nothing else is taken for it: a file, or our link to one on
 * the disk. */

#include "ground.h"
#include "plan/renames.h"

static Entry file(const char *path, uint64_t ino, int64_t mtime) {
        return (Entry){ .path = (char *) path, .size = 100, .mtime_nsec = mtime, .ino = ino, .ctime_nsec = mtime };
}

/* The lists of a mirror in which some things were renamed, and their plan. */
typedef struct Rig {
        Manifest *base, *source, *mirror;
        PathSet deleted;
        Plan *plan;
        Renames renames;
} Rig;

static int setup(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        *state = rig;
        return !rig || manifest_new(&rig->base) < 0 || manifest_new(&rig->source) < 0 || manifest_new(&rig->mirror) < 0;
}

static int teardown(void **state) {
        Rig *rig = *state;

        renames_done(&rig->renames);
        plan_free(rig->plan);
        pathset_done(&rig->deleted);
        manifest_free(rig->base);
        manifest_free(rig->source);
        manifest_free(rig->mirror);
        free(rig);
        return 0;
}

static void put(Manifest *list, Entry entry) {
        assert_int_equal(manifest_put(list, &entry), 0);
}

/* What the base knows of a file that has these inodes in the mirror and on the disk (plus 9000). */
static Entry agreed(const char *path, uint64_t ino, int64_t mtime) {
        Entry base = file(path, ino, mtime), source = file(path, 9000 + ino, mtime);

        base.flags = ENTRY_HAS_DIGEST;
        manifest_entry_set_disk(&base, &source);
        return base;
}

/* On both sides once, as one inode in the mirror. */
static void put_agreed(Rig *rig, const char *path, uint64_t ino, int64_t mtime) {
        put(rig->base, agreed(path, ino, mtime));
        put(rig->source, file(path, 9000 + ino, mtime));
}

/* A link to the disk, which had one name and has another. */
static void put_moved_link(Rig *rig, const char *path, const char *now, const char *target, uint64_t ino) {
        Entry base = agreed(path, ino, 1000);
        Entry link = { .path = (char *) now, .type = ENTRY_SYMLINK, .target = (char *) target, .ino = ino };

        base.flags = ENTRY_LINKED;
        put(rig->base, base);
        put(rig->source, file(path, 9000 + ino, 1000));
        put(rig->mirror, link);
}

static void find(Rig *rig) {
        static char *nothing[] = { NULL };
        PlanInput input = { .base = rig->base, .source = rig->source, .mirror = rig->mirror, .source_path = "/disk",
                            .priority = nothing, .deleted = &rig->deleted, .mirror_watched = true };

        manifest_sort(rig->base);
        manifest_sort(rig->source);
        manifest_sort(rig->mirror);
        pathset_sort(&rig->deleted);
        assert_int_equal(plan_new(&input, &rig->plan), 0);
        assert_int_equal(renames_find(rig->plan, "/disk", &rig->renames), 0);
}

static const char *origin_of(const Rig *rig, const char *path) {
        const PlanItem *origin = renames_origin(&rig->renames, path);

        return origin ? plan_item_path(origin) : "";
}

static void a_renamed_file_is_found(void **state) {
        Rig *rig = *state;

        put_agreed(rig, "old", 5, 1000);
        put(rig->mirror, file("new", 5, 1000));
        assert_int_equal(pathset_add(&rig->deleted, "old"), 0);
        find(rig);
        assert_int_equal(rig->renames.n, 1);
        assert_string_equal(origin_of(rig, "new"), "old");
        assert_string_equal(origin_of(rig, "old"), "");
        assert_int_equal(renames_origin(&rig->renames, "new")->action, PLAN_DELETE);
}

static void it_need_not_have_been_seen_to_go(void **state) {
        Rig *rig = *state;

        put_agreed(rig, "old", 5, 1000);
        put(rig->mirror, file("new", 5, 1000));
        find(rig);
        assert_string_equal(origin_of(rig, "new"), "old");
        assert_int_equal(renames_origin(&rig->renames, "new")->action, PLAN_STAGE);
}

/* The ctime moves with a rename. */
static void size_and_time_have_to_be_the_same(void **state) {
        Rig *rig = *state;
        Entry longer = file("longer", 7, 1000), renamed = file("renamed", 8, 1000);

        longer.size = 101;
        renamed.ctime_nsec = 77777;
        put_agreed(rig, "a", 5, 1000);
        put_agreed(rig, "b", 6, 1000);
        put_agreed(rig, "c", 7, 1000);
        put_agreed(rig, "d", 8, 1000);
        put(rig->mirror, file("other inode", 55, 1000));
        put(rig->mirror, file("later", 6, 1001));
        put(rig->mirror, longer);
        put(rig->mirror, renamed);
        find(rig);
        assert_int_equal(rig->renames.n, 1);
        assert_string_equal(origin_of(rig, "renamed"), "d");
}

static void what_has_changed_on_disk_is_no_origin(void **state) {
        Rig *rig = *state;

        put(rig->base, agreed("old", 5, 1000));
        put(rig->source, file("old", 9005, 2000));
        put(rig->base, agreed("gone", 6, 1000)); /* from the disk too */
        put(rig->base, agreed("other", 7, 1000));
        put(rig->source, file("other", 9999, 1000)); /* another file of that size and time */
        put(rig->mirror, file("new", 5, 1000));
        put(rig->mirror, file("newer", 6, 1000));
        put(rig->mirror, file("newest", 7, 1000));
        find(rig);
        assert_int_equal(rig->renames.n, 0);
        assert_null(renames_origin(&rig->renames, "new"));
}

static void what_is_still_there_is_no_origin(void **state) {
        Rig *rig = *state;

        put_agreed(rig, "here", 5, 1000);
        put(rig->mirror, file("here", 5, 1000));
        put(rig->mirror, file("new", 5, 1000));
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

static void what_was_put_over_something_else_is_no_move(void **state) {
        Rig *rig = *state;

        put_agreed(rig, "old", 5, 1000);
        put_agreed(rig, "taken", 6, 3000);
        put(rig->mirror, file("taken", 5, 1000)); /* on disk there is a version to be compared with */
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

/* Its bytes may be other ones than those of the disk's: those of one side can be read before. */
static void what_is_in_doubt_is_an_origin_that_says_so(void **state) {
        static const uint16_t flags[] = { 0, ENTRY_UNPROVEN, ENTRY_UNPROVEN | ENTRY_WRITTEN, ENTRY_RACY };
        static const unsigned doubts[] = { 0, ENTRY_UNPROVEN, ENTRY_UNPROVEN, ENTRY_RACY };
        static const char *const names[] = { "a", "b", "c", "d" };
        Rig *rig = *state;
        char path[8];

        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                Entry base = agreed(names[i], 5 + i, 1000);

                base.flags |= flags[i];
                put(rig->base, base);
                put(rig->source, file(names[i], 9005 + i, 1000));
                (void) snprintf(path, sizeof(path), "new-%s", names[i]);
                put(rig->mirror, file(path, 5 + i, 1000));
        }
        find(rig);
        assert_int_equal(rig->renames.n, ELEMENTSOF(flags));
        for (size_t i = 0; i < ELEMENTSOF(flags); i++)
                assert_int_equal(renames_doubts(rig->renames.items[i].from), doubts[i]);
}

static void what_is_in_doubt_and_has_no_digest_is_no_origin(void **state) {
        Rig *rig = *state;
        Entry base = agreed("old", 5, 1000);

        base.flags = ENTRY_UNPROVEN;
        put(rig->base, base);
        put(rig->source, file("old", 9005, 1000));
        put(rig->mirror, file("new", 5, 1000));
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

static void what_has_been_written_to_is_no_origin(void **state) {
        static const uint16_t flags[] = { ENTRY_MIRROR_DIFFERS, ENTRY_DISK_WRITTEN, ENTRY_DISK_DIFFERS };
        static const char *const names[] = { "a", "b", "c" };
        Rig *rig = *state;
        char path[8];

        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                Entry base = agreed(names[i], 5 + i, 1000);

                base.flags |= flags[i];
                put(rig->base, base);
                put(rig->source, file(names[i], 9005 + i, 1000));
                (void) snprintf(path, sizeof(path), "new-%s", names[i]);
                put(rig->mirror, file(path, 5 + i, 1000));
        }
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

static void a_link_to_the_disk_that_has_another_name_is_a_renamed_file(void **state) {
        Rig *rig = *state;

        put_moved_link(rig, "old", "new", "/disk/old", 5);
        assert_int_equal(pathset_add(&rig->deleted, "old"), 0);
        find(rig);
        assert_int_equal(rig->renames.n, 1);
        assert_string_equal(origin_of(rig, "new"), "old");
        assert_int_equal(rig->renames.items[0].to->action, PLAN_SAVE);
        assert_int_equal(rig->renames.items[0].from->action, PLAN_DELETE);
}

/* Through the link it may be written to: it is the same file all the same. */
static void what_a_link_leads_to_may_have_changed(void **state) {
        Rig *rig = *state;

        put_moved_link(rig, "old", "new", "/disk/old", 5);
        put(rig->source, file("old", 9777, 2000));
        find(rig);
        assert_string_equal(origin_of(rig, "new"), "old");
}

static void a_link_to_a_further_name_is_renamed_too(void **state) {
        Rig *rig = *state;
        Entry base = agreed("more", 6, 1000), source = file("more", 9005, 1000);

        put_agreed(rig, "first", 5, 1000);
        put(rig->mirror, file("first", 5, 1000));
        put_moved_link(rig, "more", "new", "/disk/more", 6);
        base.type = source.type = ENTRY_HARDLINK;
        base.target = source.target = (char *) "first";
        base.flags = ENTRY_LINKED;
        put(rig->base, base);
        put(rig->source, source);
        find(rig);
        assert_int_equal(rig->renames.n, 1);
        assert_string_equal(origin_of(rig, "new"), "more");
}

static void a_link_that_leads_elsewhere_is_none_of_ours(void **state) {
        Rig *rig = *state;

        put_moved_link(rig, "a", "new-a", "/disk/b", 5);
        put_moved_link(rig, "b", "new-b", "/disks/b", 6);
        put_moved_link(rig, "c", "new-c", "c", 7);
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

static void a_file_that_stands_where_a_link_was_is_none_of_ours(void **state) {
        Rig *rig = *state;

        put_moved_link(rig, "old", "new", "/disk/old", 5);
        put(rig->mirror, file("new", 5, 1000));
        put_agreed(rig, "file", 6, 1000);
        put(rig->mirror, (Entry){ .path = (char *) "link", .type = ENTRY_SYMLINK, .target = (char *) "/disk/file",
                                  .ino = 6 });
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

static void a_record_or_a_link_to_the_disk_is_no_origin_of_a_file(void **state) {
        Rig *rig = *state;
        Entry record = agreed("record", 5, 1000), link = agreed("link", 6, 1000);

        record.flags |= ENTRY_RECORD;
        link.flags |= ENTRY_LINKED;
        put(rig->base, record);
        put(rig->base, link);
        put(rig->source, file("record", 9005, 1000));
        put(rig->source, file("link", 9006, 1000));
        put(rig->mirror, file("a", 5, 1000));
        put(rig->mirror, file("b", 6, 1000));
        find(rig);
        assert_int_equal(rig->renames.n, 0);
}

static void all_of_a_renamed_directory_is_found(void **state) {
        static const char *const names[] = { "x", "a", "m" };
        Rig *rig = *state;
        Entry directory = { .type = ENTRY_DIRECTORY, .ino = 2 };
        char path[16];

        directory.path = (char *) "old";
        put(rig->base, directory);
        put(rig->source, directory);
        directory.path = (char *) "new";
        put(rig->mirror, directory);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(path, sizeof(path), "old/%s", names[i]);
                put_agreed(rig, path, 10 + i, 1000);
                (void) snprintf(path, sizeof(path), "new/%s", names[i]);
                put(rig->mirror, file(path, 10 + i, 1000));
        }
        find(rig);
        assert_int_equal(rig->renames.n, ELEMENTSOF(names)); /* a directory has no content of its own */
        assert_string_equal(origin_of(rig, "new/a"), "old/a");
        assert_string_equal(origin_of(rig, "new/m"), "old/m");
        assert_string_equal(origin_of(rig, "new/x"), "old/x");
}

static void two_that_changed_places_are_no_moves(void **state) {
        Rig *rig = *state;

        put_agreed(rig, "a", 5, 1000);
        put_agreed(rig, "b", 6, 2000);
        put(rig->mirror, file("a", 6, 2000));
        put(rig->mirror, file("b", 5, 1000));
        find(rig);
        assert_int_equal(rig->renames.n, 0); /* both are there: each is saved as a change */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_renamed_file_is_found),
                CASE(it_need_not_have_been_seen_to_go),
                CASE(size_and_time_have_to_be_the_same),
                CASE(what_has_changed_on_disk_is_no_origin),
                CASE(what_is_still_there_is_no_origin),
                CASE(what_was_put_over_something_else_is_no_move),
                CASE(what_is_in_doubt_is_an_origin_that_says_so),
                CASE(what_is_in_doubt_and_has_no_digest_is_no_origin),
                CASE(what_has_been_written_to_is_no_origin),
                CASE(a_link_to_the_disk_that_has_another_name_is_a_renamed_file),
                CASE(what_a_link_leads_to_may_have_changed),
                CASE(a_link_to_a_further_name_is_renamed_too),
                CASE(a_link_that_leads_elsewhere_is_none_of_ours),
                CASE(a_file_that_stands_where_a_link_was_is_none_of_ours),
                CASE(a_record_or_a_link_to_the_disk_is_no_origin_of_a_file),
                CASE(all_of_a_renamed_directory_is_found),
                CASE(two_that_changed_places_are_no_moves),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
