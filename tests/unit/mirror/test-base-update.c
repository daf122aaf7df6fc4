/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How the base moves on from what a stage did: agreed entries come in, lost ones stay as a memory of their digests. */

#include "ground.h"
#include "mirror/base-update.h"

static Manifest *make(void) {
        Manifest *manifest = NULL;

        assert_int_equal(manifest_new(&manifest), 0);
        return manifest;
}

static const Entry known = { .path = (char *) "a", .size = 10, .ino = 5, .ctime_nsec = 100, .flags = ENTRY_HAS_DIGEST, .digest = { { 1 } } };

/* What the base has at "a" after one task. */
static unsigned flags_after(TaskOutcome outcome, bool in_mirror) {
        Manifest *base = make(), *changes = make();
        PlanItem item = { .action = PLAN_STAGE, .source = &known, .base = &known, .mirror = in_mirror ? &known : NULL };
        Task task = { .item = &item, .outcome = outcome, .entry = known };
        Plan *plan = NULL;
        unsigned flags;

        assert_int_equal(manifest_put(base, &known), 0);
        manifest_sort(base);
        base_update_note(changes, &task);
        base_update_merge(base, NULL, &plan, &changes);
        assert_null(changes);
        assert_int_equal(base->n_entries, 1);
        flags = base->entries[0].flags;
        manifest_free(base);
        return flags;
}

static void what_is_no_longer_in_the_mirror_stays_as_a_record(void **state) {
        (void) state;
        assert_int_equal(flags_after(TASK_AGREED, true), ENTRY_HAS_DIGEST);
        assert_int_equal(flags_after(TASK_REMOVED, true), ENTRY_HAS_DIGEST | ENTRY_RECORD);
        assert_int_equal(flags_after(TASK_FAILED, false), ENTRY_HAS_DIGEST | ENTRY_RECORD); /* it was not there, and is not */
        assert_int_equal(flags_after(TASK_FAILED, true), ENTRY_HAS_DIGEST);                 /* the old version is */
        assert_int_equal(flags_after(TASK_CANCELLED, false), ENTRY_HAS_DIGEST);             /* not even looked at */
}

static void a_record_of_what_the_source_has_no_more_is_forgotten(void **state) {
        Manifest *base = make(), *source = make(), *changes = NULL;
        Entry record = known, dark = known;
        Plan *plan = NULL;

        (void) state;
        record.flags |= ENTRY_RECORD;
        assert_int_equal(manifest_put(base, &record), 0);
        dark.path = (char *) "dark/b";
        dark.flags |= ENTRY_RECORD;
        assert_int_equal(manifest_put(base, &dark), 0);
        manifest_sort(base);
        assert_int_equal(manifest_omit(source, "dark", OMIT_UNREADABLE, EACCES), 0);
        base_update_merge(base, NULL, &plan, &changes);
        assert_int_equal(base->n_entries, 2);
        base_update_merge(base, source, &plan, &changes);
        assert_int_equal(base->n_entries, 1);
        assert_string_equal(base->entries[0].path, "dark/b"); /* what cannot be seen is not absent */
        manifest_free(base);
        manifest_free(source);
}

static void merge_pair(const Entry *first, const Entry *more, Entry *ret_first, Entry *ret_more) {
        Manifest *base = make(), *changes = NULL;
        Plan *plan = NULL;

        assert_int_equal(manifest_put(base, first), 0);
        assert_int_equal(manifest_put(base, more), 0);
        manifest_sort(base);
        base_update_merge(base, NULL, &plan, &changes);
        *ret_first = base->entries[0];
        *ret_more = base->entries[1];
        manifest_free(base);
}

static void names_of_one_inode_share_digest_and_ctime(void **state) {
        Entry more = { .path = (char *) "b", .target = (char *) "a", .type = ENTRY_HARDLINK, .size = 10, .ino = 5, .ctime_nsec = 200 };
        Entry first, second;

        (void) state;
        merge_pair(&known, &more, &first, &second);
        assert_int_equal(first.ctime_nsec, 200); /* it moved when the second name was made */
        assert_int_equal(second.ctime_nsec, 200);
        assert_true(second.flags & ENTRY_HAS_DIGEST && digest_equal(&second.digest, &known.digest));
}

/* The first was saved with what a client has written, the second is still to be: on the disk it has the old bytes. */
static void a_name_that_has_a_digest_keeps_it(void **state) {
        Entry more = known, first, second;

        (void) state;
        more.path = (char *) "b";
        more.type = ENTRY_HARDLINK;
        more.target = (char *) "a";
        more.digest.bytes[0] = 2;
        merge_pair(&known, &more, &first, &second);
        assert_int_equal(first.digest.bytes[0], 1);
        assert_int_equal(second.digest.bytes[0], 2);
}

/* For the next plan: what a comparison found out about it, whoever has what. */
static void what_was_compared_is_known_to_the_next_plan(void **state) {
        Entry base = known, found = known;
        PlanItem item = { .action = PLAN_ADOPT, .source = &known, .base = &base, .mirror = &known };
        Task task = { .item = &item, .outcome = TASK_COMPARED };
        Manifest *manifest = make(), *changes = make();
        Plan *plan = NULL;

        (void) state;
        found.flags |= ENTRY_DISK_DIFFERS;
        found.disk = (DiskObject){ .ino = 7, .mtime_nsec = 8, .ctime_nsec = 9 };
        task.entry = found;
        assert_int_equal(manifest_put(manifest, &base), 0);
        manifest_sort(manifest);
        base_update_note(changes, &task);
        base_update_merge(manifest, NULL, &plan, &changes);
        assert_int_equal(manifest->n_entries, 1);
        assert_int_equal(manifest->entries[0].flags, ENTRY_HAS_DIGEST | ENTRY_DISK_DIFFERS);
        assert_int_equal(manifest->entries[0].disk.ctime_nsec, 9);
        manifest_free(manifest);
}

static void names_that_are_no_longer_tied_share_nothing(void **state) {
        Entry more = { .path = (char *) "b", .target = (char *) "a", .type = ENTRY_HARDLINK, .size = 9, .ino = 4, .ctime_nsec = 200,
                       .flags = ENTRY_HAS_DIGEST, .digest = { { 2 } } };
        Entry first, second, linked = known;

        (void) state;
        merge_pair(&known, &more, &first, &second); /* the first was staged anew, the second could not be */
        assert_int_equal(first.ctime_nsec, 100);
        assert_int_equal(second.digest.bytes[0], 2);
        linked.flags = ENTRY_LINKED;
        more.ino = 5;
        merge_pair(&linked, &more, &first, &second);
        assert_int_equal(second.digest.bytes[0], 2);
        linked.flags = 0; /* a first name without a digest takes none away */
        merge_pair(&linked, &more, &first, &second);
        assert_int_equal(second.digest.bytes[0], 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_no_longer_in_the_mirror_stays_as_a_record),
                cmocka_unit_test(a_record_of_what_the_source_has_no_more_is_forgotten),
                cmocka_unit_test(names_of_one_inode_share_digest_and_ctime),
                cmocka_unit_test(a_name_that_has_a_digest_keeps_it),
                cmocka_unit_test(what_was_compared_is_known_to_the_next_plan),
                cmocka_unit_test(names_that_are_no_longer_tied_share_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
