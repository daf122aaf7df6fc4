/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a plan could not know: what was saved meanwhile, what was kept aside, and that it is the last one. */

#include "ground.h"
#include "save/amend-plan.h"

typedef struct Rig {
        SaveQueue queue;
        Manifest *changes, *yielded, *suspects;
        Entry base, source, mirror;
        PlanItem item;
} Rig;

static int setup(void **state) {
        static const Entry file = {
                .path = (char *) "x", .size = 100, .mtime_nsec = 1000, .ctime_nsec = 2000, .ino = 5,
        };
        Rig *rig = calloc(1, sizeof(*rig));

        *state = rig;
        if (!rig)
                return -1;
        rig->base = rig->source = rig->mirror = file;
        rig->item = (PlanItem){ .base = &rig->base, .source = &rig->source, .mirror = &rig->mirror };
        return manifest_new(&rig->changes) < 0 || manifest_new(&rig->yielded) < 0 || manifest_new(&rig->suspects) < 0;
}

static int teardown(void **state) {
        Rig *rig = *state;

        manifest_free(rig->changes);
        manifest_free(rig->yielded);
        manifest_free(rig->suspects);
        free(rig);
        return 0;
}

static void put(Manifest *list, const Entry *entry) {
        assert_int_equal(manifest_put(list, entry), 0);
        manifest_sort(list);
}

static PlanAction amended(Rig *rig, PlanAction action) {
        PlanAmendments known = { .queue = &rig->queue, .changes = rig->changes, .yielded = rig->yielded,
                                 .suspects = rig->suspects };
        Plan plan = { .items = &rig->item, .n_items = 1 };

        rig->item.action = action;
        rig->item.kept = false;
        amend_plan_apply(&plan, &known);
        return rig->item.action;
}

static PlanAction last(Rig *rig, PairState on_disk, PairState in_mirror) {
        rig->queue.stopping = true;
        rig->item.on_disk = on_disk;
        rig->item.in_mirror = in_mirror;
        return amended(rig, PLAN_ADOPT);
}

static void what_was_saved_meanwhile_is_kept(void **state) {
        Rig *rig = *state;

        put(rig->changes, &rig->mirror);
        assert_int_equal(amended(rig, PLAN_SAVE), PLAN_KEEP);
        assert_int_equal(amended(rig, PLAN_STAGE), PLAN_KEEP);
        assert_int_equal(amended(rig, PLAN_ADOPT), PLAN_KEEP);
}

static void what_was_kept_aside_gives_way(void **state) {
        Rig *rig = *state;

        assert_int_equal(amended(rig, PLAN_CONFLICT), PLAN_CONFLICT);
        put(rig->yielded, &rig->mirror);
        assert_int_equal(amended(rig, PLAN_CONFLICT), PLAN_STAGE);
        assert_true(rig->item.kept);
        assert_int_equal(amended(rig, PLAN_ADOPT), PLAN_STAGE);
        assert_true(rig->item.kept);
        assert_int_equal(amended(rig, PLAN_SAVE), PLAN_SAVE);
        assert_false(rig->item.kept);
}

/* A client has it again, also if it put the time back. */
static void another_version_than_was_kept_aside_does_not(void **state) {
        Rig *rig = *state;

        put(rig->yielded, &rig->mirror);
        rig->mirror.ctime_nsec++;
        assert_int_equal(amended(rig, PLAN_CONFLICT), PLAN_CONFLICT);
        assert_false(rig->item.kept);
        rig->mirror.ctime_nsec--;
        rig->mirror.ino++;
        assert_int_equal(amended(rig, PLAN_CONFLICT), PLAN_CONFLICT);
        rig->mirror.ino--;
        rig->mirror.mtime_nsec++;
        assert_int_equal(amended(rig, PLAN_CONFLICT), PLAN_CONFLICT);
        rig->mirror.mtime_nsec--;
        rig->mirror.size++;
        assert_int_equal(amended(rig, PLAN_CONFLICT), PLAN_CONFLICT);
}

static void more_than_attributes_is_saved(void **state) {
        Rig *rig = *state;

        assert_int_equal(amended(rig, PLAN_SAVEATTR), PLAN_SAVEATTR);
        put(rig->suspects, &rig->mirror);
        assert_int_equal(amended(rig, PLAN_SAVEATTR), PLAN_SAVE);
        rig->mirror.ctime_nsec++; /* it was changed since */
        assert_int_equal(amended(rig, PLAN_SAVEATTR), PLAN_SAVEATTR);
}

static void only_the_last_plan_compares_nothing(void **state) {
        Rig *rig = *state;

        rig->item.on_disk = rig->item.in_mirror = PAIR_UNSURE;
        assert_int_equal(amended(rig, PLAN_ADOPT), PLAN_ADOPT);
        assert_int_equal(last(rig, PAIR_UNSURE, PAIR_UNSURE), PLAN_CONFLICT);
}

static void in_the_last_plan_what_was_published_is_removed_with_the_rest(void **state) {
        static const PairState known[] = { PAIR_SAME, PAIR_TOUCHED };
        static const PairState any[] = { PAIR_UNSURE, PAIR_SAME, PAIR_TOUCHED, PAIR_OTHER };
        Rig *rig = *state;

        for (size_t m = 0; m < ELEMENTSOF(known); m++)
                for (size_t d = 0; d < ELEMENTSOF(any); d++)
                        assert_int_equal(last(rig, any[d], known[m]), PLAN_KEEP);
        rig->mirror.type = rig->source.type = ENTRY_DIRECTORY; /* has no bytes */
        assert_int_equal(last(rig, PAIR_UNSURE, PAIR_UNSURE), PLAN_KEEP);
}

static void in_the_last_plan_what_may_be_a_clients_is_saved(void **state) {
        Rig *rig = *state;

        assert_int_equal(last(rig, PAIR_SAME, PAIR_UNSURE), PLAN_SAVE);
        assert_int_equal(last(rig, PAIR_TOUCHED, PAIR_UNSURE), PLAN_SAVE);
        assert_int_equal(last(rig, PAIR_UNSURE, PAIR_OTHER), PLAN_CONFLICT); /* which compares both */
        assert_int_equal(last(rig, PAIR_OTHER, PAIR_UNSURE), PLAN_CONFLICT);
        rig->base.flags = ENTRY_RECORD; /* nothing was agreed */
        assert_int_equal(last(rig, PAIR_SAME, PAIR_UNSURE), PLAN_CONFLICT);
        rig->item.base = NULL;
        assert_int_equal(last(rig, PAIR_UNSURE, PAIR_UNSURE), PLAN_CONFLICT);
        put(rig->yielded, &rig->mirror); /* nothing is staged any more, but what is safe need not be saved again */
        assert_int_equal(last(rig, PAIR_UNSURE, PAIR_UNSURE), PLAN_STAGE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(what_was_saved_meanwhile_is_kept),
                CASE(what_was_kept_aside_gives_way),
                CASE(another_version_than_was_kept_aside_does_not),
                CASE(more_than_attributes_is_saved),
                CASE(only_the_last_plan_compares_nothing),
                CASE(in_the_last_plan_what_was_published_is_removed_with_the_rest),
                CASE(in_the_last_plan_what_may_be_a_clients_is_saved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
