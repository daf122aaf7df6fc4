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
static uint8_t flags_after(TaskOutcome outcome, bool in_mirror) {
        Manifest *base = make(), *changes = make();
        PlanItem item = { .action = PLAN_STAGE, .source = &known, .base = &known, .mirror = in_mirror ? &known : NULL };
        Task task = { .item = &item, .outcome = outcome, .entry = known };
        Plan *plan = NULL;
        uint8_t flags;

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
                cmocka_unit_test(names_that_are_no_longer_tied_share_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
