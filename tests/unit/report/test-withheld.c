/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is withheld is remembered for as long as it is true, and tried again when that may help. */

#include "ground.h"
#include "report/withheld.h"

static const Entry file = { .path = (char *) "a", .size = 10, .mtime_nsec = 1000, .ctime_nsec = 1000, .ino = 5 };

static void withhold(Withheld *withheld, const Entry *source, TaskOutcome outcome, const char *text) {
        PlanItem item = { .action = PLAN_STAGE, .source = source };
        Task task = { .item = &item, .current = *source, .outcome = outcome, .error = outcome == TASK_FAILED ? EIO : 0 };

        assert_int_equal(withheld_put(withheld, &task, text), 0);
}

static bool is_logged(const Withheld *withheld, TaskOutcome outcome, int error, const char *text) {
        PlanItem item = { .action = PLAN_STAGE, .source = &file };
        Task task = { .item = &item, .current = file, .outcome = outcome, .error = error };

        return withheld_is_logged(withheld, &task, text);
}

/* What becomes of an item about @source. */
static PlanAction apply(Withheld *withheld, PlanAction action, const Entry *source, bool retry, bool all) {
        PlanItem item = { .action = action, .source = source, .mirror = source };
        Plan plan = { .items = &item, .n_items = 1 };

        withheld_apply(withheld, &plan, retry, all);
        return item.action;
}

static void a_file_is_remembered_once(void **state) {
        Withheld withheld = {};

        (void) state;
        withhold(&withheld, &file, TASK_CORRUPT, "first");
        withhold(&withheld, &file, TASK_FAILED, "second");
        assert_int_equal(withheld.n, 1);
        assert_string_equal(withheld.files[0]->path, "a");
        assert_string_equal(withheld.files[0]->text, "second");
        assert_int_equal(withheld.files[0]->outcome, TASK_FAILED);
        withheld_drop(&withheld, "b");
        assert_int_equal(withheld.n, 1);
        withheld_drop(&withheld, "a");
        assert_int_equal(withheld.n, 0);
        withheld_done(&withheld);
}

/* The files of a plan come in path order only within a rank, and their workers finish as they please. */
static void any_order_becomes_that_of_the_paths(void **state) {
        static const char *const paths[] = { "d", "b", "e", "a", "c", "b", "f" };
        Withheld withheld = {};

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                Entry source = file;

                source.path = (char *) paths[i];
                withhold(&withheld, &source, TASK_CORRUPT, paths[i]);
        }
        withheld_drop(&withheld, "c");
        withheld_drop(&withheld, "f");
        withheld_drop(&withheld, "bb");
        assert_int_equal(withheld.n, 4);
        for (size_t i = 0; i < 4; i++) {
                const char path[] = { "abde"[i], '\0' };

                assert_string_equal(withheld.files[i]->path, path);
                assert_ptr_equal(withheld_find(&withheld, path), withheld.files[i]);
        }
        assert_null(withheld_find(&withheld, "c"));
        assert_null(withheld_find(&withheld, "z"));
        withheld_done(&withheld);
}

static void what_was_logged_is_known(void **state) {
        Withheld withheld = {};

        (void) state;
        assert_false(is_logged(&withheld, TASK_CORRUPT, 0, "text"));
        withhold(&withheld, &file, TASK_CORRUPT, "text");
        assert_true(is_logged(&withheld, TASK_CORRUPT, 0, "text"));
        assert_false(is_logged(&withheld, TASK_CORRUPT, 0, "other bytes"));
        assert_false(is_logged(&withheld, TASK_FAILED, EIO, "text"));
        withhold(&withheld, &file, TASK_FAILED, "at byte 1000");
        assert_true(is_logged(&withheld, TASK_FAILED, EIO, "at byte 2000"));
        assert_false(is_logged(&withheld, TASK_FAILED, EACCES, "at byte 1000"));
        withheld_done(&withheld);
}

static void bad_bytes_are_not_tried_again_until_they_change(void **state) {
        static const TaskOutcome outcomes[] = { TASK_CORRUPT, TASK_GARBLED, TASK_DIFFERS };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(outcomes); i++) {
                Withheld withheld = {};
                Entry changed[4] = { file, file, file, file };

                changed[0].size++;
                changed[1].mtime_nsec++;
                changed[2].ctime_nsec++;
                changed[3].ino++;
                withhold(&withheld, &file, outcomes[i], "bad");
                assert_int_equal(apply(&withheld, PLAN_STAGE, &file, true, false), PLAN_WITHHOLD);
                assert_int_equal(apply(&withheld, PLAN_ADOPT, &file, true, false), PLAN_WITHHOLD);
                assert_int_equal(withheld.n, 1);
                for (size_t k = 0; k < ELEMENTSOF(changed); k++)
                        assert_int_equal(apply(&withheld, PLAN_STAGE, &changed[k], false, false), PLAN_STAGE);
                assert_int_equal(apply(&withheld, PLAN_STAGE, &file, false, true), PLAN_STAGE); /* with @all */
                assert_int_equal(withheld.n, 1); /* still, until it has come right */
                withheld_done(&withheld);
        }
}

static void what_may_come_right_by_itself_is_tried_again(void **state) {
        Withheld withheld = {};

        (void) state;
        withhold(&withheld, &file, TASK_FAILED, "I/O");
        assert_true(withheld_is_retryable(&withheld));
        assert_int_equal(apply(&withheld, PLAN_STAGE, &file, false, false), PLAN_WITHHOLD);
        assert_int_equal(apply(&withheld, PLAN_STAGE, &file, true, false), PLAN_STAGE);
        withhold(&withheld, &file, TASK_NO_ROOM, "full");
        assert_true(withheld_is_retryable(&withheld));
        assert_int_equal(apply(&withheld, PLAN_STAGE, &file, false, false), PLAN_STAGE);
        withhold(&withheld, &file, TASK_CHANGED, "restless");
        assert_int_equal(apply(&withheld, PLAN_STAGE, &file, false, false), PLAN_STAGE);
        withhold(&withheld, &file, TASK_CORRUPT, "bad");
        assert_false(withheld_is_retryable(&withheld));
        withheld_done(&withheld);
}

static void what_is_no_longer_wanted_is_forgotten(void **state) {
        static const PlanAction actions[] = { PLAN_KEEP, PLAN_REMOVE, PLAN_FORGET, PLAN_SKIP, PLAN_CONFLICT, PLAN_SAVE };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(actions); i++) {
                Withheld withheld = {};

                withhold(&withheld, &file, TASK_CORRUPT, "bad");
                assert_int_equal(apply(&withheld, actions[i], &file, true, false), actions[i]);
                assert_int_equal(withheld.n, 0);
                withheld_done(&withheld);
        }
}

static void what_does_not_hold_still_stays_withheld(void **state) {
        Withheld withheld = {};

        (void) state;
        withhold(&withheld, &file, TASK_CORRUPT, "bad");
        assert_int_equal(apply(&withheld, PLAN_WAIT, &file, true, false), PLAN_WAIT);
        assert_int_equal(withheld.n, 1);
        withheld_done(&withheld);
}

static void each_of_many_meets_its_own_item(void **state) {
        enum { MANY = 50 };
        char paths[MANY][8];
        Entry entries[MANY];
        PlanItem items[MANY];
        Plan plan = { .items = items, .n_items = MANY };
        Withheld withheld = {};

        (void) state;
        for (size_t i = 0; i < MANY; i++) {
                (void) snprintf(paths[i], sizeof(paths[i]), "%zu", i);
                entries[i] = file;
                entries[i].path = paths[i];
                items[i] = (PlanItem){ .action = i % 3 ? PLAN_STAGE : PLAN_KEEP, .source = &entries[i] };
                if (i % 2)
                        withhold(&withheld, &entries[i], TASK_CORRUPT, paths[i]);
        }
        withheld_apply(&withheld, &plan, true, false);
        for (size_t i = 0; i < MANY; i++)
                assert_int_equal(items[i].action, i % 3 == 0 ? PLAN_KEEP : i % 2 ? PLAN_WITHHOLD : PLAN_STAGE);
        for (size_t i = 0; i < withheld.n; i++)
                assert_string_equal(withheld.files[i]->path, withheld.files[i]->text);
        assert_int_equal(withheld.n, 17);
        assert_int_equal(plan.n_stage, 16); /* counted again */
        withheld_done(&withheld);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_file_is_remembered_once),
                cmocka_unit_test(any_order_becomes_that_of_the_paths),
                cmocka_unit_test(what_was_logged_is_known),
                cmocka_unit_test(bad_bytes_are_not_tried_again_until_they_change),
                cmocka_unit_test(what_may_come_right_by_itself_is_tried_again),
                cmocka_unit_test(what_is_no_longer_wanted_is_forgotten),
                cmocka_unit_test(what_does_not_hold_still_stays_withheld),
                cmocka_unit_test(each_of_many_meets_its_own_item),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
