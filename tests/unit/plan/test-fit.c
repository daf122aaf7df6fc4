/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What fits: to the byte, by priority, sets whole, under each of the limits. */

#include "ground.h"
#include "plan/fit.h"

static const char disk[] = "/data/models";

/* Items as the planner orders them; all take room in pages of one byte, which makes sums easy to read. */
typedef struct Case {
        Plan plan;
        PlanItem items[32];
        Entry sources[32], mirrors[32], bases[32];
        char targets[32][64];
        FitInput input;
        Fit fit;
} Case;

static void case_init(Case *c, OnNoRoom on_no_room) {
        *c = (Case){};
        c->plan.items = c->items;
        c->input = (FitInput){ .layout = LAYOUT_PLAIN, .inodes = UINT64_MAX, .on_no_room = on_no_room, .source_path = disk };
        for (FitLimit l = 0; l < _FIT_LIMIT_MAX; l++)
                c->input.room[l] = UINT64_MAX;
}

static PlanItem *add(Case *c, PlanAction action, EntryType type, const char *path, uint64_t room) {
        size_t n = c->plan.n_items++;

        c->sources[n] = c->mirrors[n] = (Entry){ .path = (char *) path, .type = (uint8_t) type, .size = 2 * room, .room = room };
        c->items[n] = (PlanItem){ .action = action, .source = action == PLAN_REMOVE ? NULL : &c->sources[n],
                                  .mirror = action == PLAN_STAGE ? NULL : &c->mirrors[n] };
        return &c->items[n];
}

static void add_file(Case *c, const char *path, uint64_t room) {
        (void) add(c, PLAN_STAGE, ENTRY_FILE, path, room);
}

static void add_hardlink(Case *c, const char *path, const char *target) {
        PlanItem *item = add(c, PLAN_STAGE, ENTRY_HARDLINK, path, 0);

        c->sources[item - c->items].target = (char *) target;
}

/* A file whose place is taken by our link to the disk. */
static PlanItem *add_linked(Case *c, const char *path, uint64_t room) {
        PlanItem *item = add(c, PLAN_STAGE, ENTRY_FILE, path, room);
        size_t i = (size_t) (item - c->items);

        (void) snprintf(c->targets[i], sizeof(c->targets[i]), "%s/%s", disk, path);
        c->mirrors[i] = (Entry){ .path = (char *) path, .type = ENTRY_SYMLINK, .target = c->targets[i] };
        c->bases[i] = c->sources[i];
        c->bases[i].flags = ENTRY_LINKED;
        item->mirror = &c->mirrors[i];
        item->base = &c->bases[i];
        return item;
}

static int decide(Case *c) {
        plan_count(&c->plan);
        return fit_plan(&c->plan, &c->input, &c->fit);
}

/* One letter for each item: S(tage), l(ink), - for skip, k(eep), r(emove). */
static void assert_actions(const Case *c, const char *expected) {
        static const char letters[] = {
                [PLAN_STAGE] = 'S', [PLAN_LINK] = 'l', [PLAN_SKIP] = '-', [PLAN_KEEP] = 'k', [PLAN_REMOVE] = 'r', [PLAN_ADOPT] = 'a',
        };
        char found[33] = "";

        for (size_t i = 0; i < c->plan.n_items; i++)
                found[i] = letters[c->items[i].action];
        assert_string_equal(found, expected);
}

static void what_just_fits_fits(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_FAIL);
        add_file(&c, "a", 60);
        add_file(&c, "b", 40);
        c.input.room[FIT_TMPFS] = 100;
        assert_int_equal(decide(&c), 0);
        assert_actions(&c, "SS");
        assert_int_equal(c.fit.need_bytes, 100);
        assert_int_equal(c.fit.room_bytes, 100);
        assert_int_equal(c.fit.need_inodes, 2);
        assert_int_equal(c.fit.short_bytes, 0);
}

static void one_byte_less_does_not(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_FAIL);
        add_file(&c, "a", 60);
        add_file(&c, "b", 40);
        c.input.room[FIT_TMPFS] = 99;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "S-"); /* reported as what would have to go */
        assert_int_equal(c.fit.short_bytes, 1);
        assert_int_equal(c.fit.need_bytes, 100);
        assert_int_equal(c.plan.n_skipped, 1);
}

static void each_limit_can_be_the_one_that_decides(void **state) {
        (void) state;
        for (FitLimit l = 0; l < _FIT_LIMIT_MAX; l++) {
                Case c;

                case_init(&c, NO_ROOM_SKIP);
                add_file(&c, "a", 100);
                for (FitLimit other = 0; other < _FIT_LIMIT_MAX; other++)
                        c.input.room[other] = 1000 + other;
                assert_int_equal(decide(&c), 0);
                c.input.room[l] = 99;
                assert_int_equal(decide(&c), FIT_NO_ROOM);
                assert_int_equal(c.fit.limit, l);
                assert_int_equal(c.fit.room_bytes, 99);
                assert_true(strlen(fit_limit_name(l)) > 0);
                assert_actions(&c, "-");
        }
}

static void the_room_counts_and_not_the_size(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        add_file(&c, "sparse", 10);
        c.sources[0].size = 1000;
        c.input.room[FIT_TMPFS] = 10;
        assert_int_equal(decide(&c), 0);
}

static void what_does_not_fit_becomes_what_was_chosen(void **state) {
        static const struct {
                OnNoRoom on_no_room;
                const char *actions;
        } rows[] = { { NO_ROOM_FAIL, "S-S" }, { NO_ROOM_SKIP, "S-S" }, { NO_ROOM_LINK, "SlS" } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Case c;

                case_init(&c, rows[i].on_no_room);
                add_file(&c, "first", 50);
                add_file(&c, "big", 60);
                add_file(&c, "small", 50); /* what comes behind a big one may still fit */
                c.input.room[FIT_SIZE] = 100;
                assert_int_equal(decide(&c), FIT_NO_ROOM);
                assert_actions(&c, rows[i].actions);
                assert_int_equal(c.fit.short_bytes, 60);
                assert_int_equal(c.plan.n_skipped, 1);
                assert_int_equal(c.plan.stage_bytes, 200);
        }
}

static void a_set_is_staged_whole_or_not_at_all(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        add_file(&c, "big-00001-of-00003.gguf", 30);
        add_file(&c, "big-00002-of-00003.gguf", 30);
        add_file(&c, "other-00001-of-00002.gguf", 40);
        add_file(&c, "big-00003-of-00003.gguf", 30);
        add_file(&c, "other-00002-of-00002.gguf", 40);
        c.input.room[FIT_TMPFS] = 89; /* two of three would fit */
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "--S-S");
        c.input.room[FIT_TMPFS] = 90;
        for (size_t i = 0; i < c.plan.n_items; i++)
                c.items[i].action = PLAN_STAGE;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "SS-S-");
}

static void a_set_has_the_priority_of_its_first_member(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        add_file(&c, "a-00002-of-00002", 50); /* first by priority */
        add_file(&c, "b", 60);
        add_file(&c, "a-00001-of-00002", 50);
        c.input.room[FIT_TMPFS] = 100;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "S-S");
}

static void a_further_name_follows_its_file(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_LINK);
        add_file(&c, "big", 100);
        add_file(&c, "small", 10);
        add_hardlink(&c, "big-again", "big");
        add_hardlink(&c, "small-again", "small");
        c.input.room[FIT_TMPFS] = 50;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "lSlS");
        assert_int_equal(c.fit.need_bytes, 110); /* a further name takes no room */
        assert_int_equal(c.fit.need_inodes, 4);  /* but the tmpfs counts it as an inode */
}

static void removals_make_room(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_FAIL);
        (void) add(&c, PLAN_REMOVE, ENTRY_FILE, "old", 60);
        (void) add(&c, PLAN_REMOVE, ENTRY_HARDLINK, "old-again", 60); /* the same bytes */
        (void) add(&c, PLAN_REMOVE, ENTRY_DIRECTORY, "dir", 0);
        add_file(&c, "new", 100);
        c.input.room[FIT_TMPFS] = 40;
        c.input.inodes = 0;
        assert_int_equal(decide(&c), 0);
        assert_int_equal(c.fit.room_bytes, 100);
        c.input.room[FIT_TMPFS] = 39;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "rrr-");
        assert_int_equal(c.fit.short_bytes, 1);
}

static void a_limit_that_does_not_apply_stays_without_end(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_FAIL);
        (void) add(&c, PLAN_REMOVE, ENTRY_FILE, "old", UINT64_MAX / 2);
        add_file(&c, "new", UINT64_MAX - 1);
        assert_int_equal(decide(&c), 0);
}

static void an_old_version_that_is_replaced_makes_no_room(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        add_file(&c, "same", 60);
        c.items[0].mirror = &c.mirrors[0]; /* a reader may still have it mapped */
        c.input.room[FIT_TMPFS] = 59;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
}

static void what_is_not_staged_takes_no_room(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_FAIL);
        (void) add(&c, PLAN_KEEP, ENTRY_FILE, "kept", 1000);
        (void) add(&c, PLAN_ADOPT, ENTRY_FILE, "adopted", 1000);
        add_file(&c, "new", 10);
        c.input.room[FIT_TMPFS] = 10;
        c.input.inodes = 1;
        assert_int_equal(decide(&c), 0);
        assert_actions(&c, "kaS");
}

static void inodes_can_run_out_too(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        (void) add(&c, PLAN_STAGE, ENTRY_DIRECTORY, "dir", 0);
        add_file(&c, "dir/a", 1);
        add_file(&c, "dir/b", 1);
        add_file(&c, "dir/c", 1);
        c.input.inodes = 4;
        assert_int_equal(decide(&c), 0);
        c.input.inodes = 3; /* the directory is made in any case */
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "SSS-");
        assert_int_equal(c.fit.short_inodes, 1);
        assert_int_equal(c.fit.short_bytes, 0);
}

static void a_set_counts_all_its_inodes(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        add_file(&c, "a-00001-of-00002", 1);
        add_file(&c, "a-00002-of-00002", 1);
        add_file(&c, "b", 1);
        c.input.inodes = 1;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "--S");
}

static void no_room_at_all_leaves_everything_out(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_LINK);
        (void) add(&c, PLAN_STAGE, ENTRY_DIRECTORY, "dir", 0);
        add_file(&c, "dir/a", 1);
        add_file(&c, "dir/empty", 0);
        (void) add(&c, PLAN_STAGE, ENTRY_SYMLINK, "link", 0);
        c.input.room[FIT_CGROUP] = 0;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "SlSS"); /* what takes no bytes is made in any case */
}

static void a_link_that_stands_already_is_kept(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_LINK);
        (void) add_linked(&c, "big", 100);
        add_file(&c, "small", 10);
        c.input.room[FIT_TMPFS] = 50;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "kS");
        c.items[0].action = PLAN_STAGE;
        c.input.room[FIT_TMPFS] = 110; /* now it fits */
        assert_int_equal(decide(&c), 0);
        assert_actions(&c, "SS");
}

static void a_link_is_no_longer_kept_where_links_are_not_wanted(void **state) {
        Case c;

        (void) state;
        case_init(&c, NO_ROOM_SKIP);
        (void) add_linked(&c, "big", 100);
        c.input.room[FIT_TMPFS] = 50;
        assert_int_equal(decide(&c), FIT_NO_ROOM);
        assert_actions(&c, "k"); /* it does no harm: the tree stays complete */
}

static void random_plans_keep_the_rules(void **state) {
        uint64_t seed = random_seed();

        (void) state;
        for (unsigned plan_run = 0; plan_run < 5000; plan_run++) {
                char paths[20][40];
                uint64_t taken = 0, taken_inodes = 0;
                bool in[20];
                Case c;

                case_init(&c, NO_ROOM_SKIP);
                for (unsigned i = 0; i < 20; i++) {
                        (void) snprintf(paths[i], sizeof(paths[i]), random_below(&seed, 2) ? "s%u-%05u-of-00009" : "f%u-%u",
                                        random_below(&seed, 3), i);
                        add_file(&c, paths[i], random_below(&seed, 30));
                }
                c.input.room[random_below(&seed, _FIT_LIMIT_MAX)] = random_below(&seed, 400);
                c.input.inodes = random_below(&seed, 30);
                (void) decide(&c);
                for (unsigned i = 0; i < 20; i++) {
                        in[i] = c.items[i].action == PLAN_STAGE;
                        taken += in[i] ? c.sources[i].room : 0;
                        taken_inodes += in[i];
                }
                assert_true(taken <= c.fit.room_bytes && taken_inodes <= c.input.inodes);
                for (unsigned i = 0; i < 20; i++)
                        for (unsigned k = 0; k < 20; k++)
                                if (paths[i][0] == 's' && paths[k][0] == 's' && paths[i][1] == paths[k][1])
                                        assert_true(in[i] == in[k]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_just_fits_fits),
                cmocka_unit_test(one_byte_less_does_not),
                cmocka_unit_test(each_limit_can_be_the_one_that_decides),
                cmocka_unit_test(the_room_counts_and_not_the_size),
                cmocka_unit_test(what_does_not_fit_becomes_what_was_chosen),
                cmocka_unit_test(a_set_is_staged_whole_or_not_at_all),
                cmocka_unit_test(a_set_has_the_priority_of_its_first_member),
                cmocka_unit_test(a_further_name_follows_its_file),
                cmocka_unit_test(removals_make_room),
                cmocka_unit_test(a_limit_that_does_not_apply_stays_without_end),
                cmocka_unit_test(an_old_version_that_is_replaced_makes_no_room),
                cmocka_unit_test(what_is_not_staged_takes_no_room),
                cmocka_unit_test(inodes_can_run_out_too),
                cmocka_unit_test(a_set_counts_all_its_inodes),
                cmocka_unit_test(no_room_at_all_leaves_everything_out),
                cmocka_unit_test(a_link_that_stands_already_is_kept),
                cmocka_unit_test(a_link_is_no_longer_kept_where_links_are_not_wanted),
                cmocka_unit_test(random_plans_keep_the_rules),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
