/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way plan: as a table, held against a second statement of the rules for every combination of states, and by random
 * churn of a small world whose promises must hold after every step.
 *
 * A state is written in a few letters. "-" is nothing; "A", "B", "C" are files that differ in size and time, "T" is as large as
 * "A", and "Z" as old; "d" is a directory; "lA", "lB" are symbolic links; "hA" is a further name of the file "lead" with the
 * content of A; "D" is our link to the disk original. In a base "r" before it makes a record, "k" says that a link to the disk
 * stands in its place. In a mirror "!" behind it is another inode than was published, "'" another ctime. In a source "+" behind it is
 * another mode. */

#include "plan.h"
#include "ground.h"

static const char disk[] = "/data/models";

static Entry entry_of(const char *state, const char *path) {
        static char target[64];
        Entry entry = { .path = (char *) path, .mode = 0644, .ino = 100, .ctime_nsec = 1000 };

        if (*state == 'r')
                entry.flags |= ENTRY_RECORD;
        if (*state == 'k')
                entry.flags |= ENTRY_LINKED;
        state += *state == 'r' || *state == 'k';
        switch (*state) {
        case 'd':
                entry.type = ENTRY_DIRECTORY;
                break;
        case 'l':
                entry.type = ENTRY_SYMLINK;
                entry.target = (char *) (*++state == 'A' ? "target-a" : "target-b");
                break;
        case 'D':
                (void) snprintf(target, sizeof(target), "%s/%s", disk, path);
                entry.type = ENTRY_SYMLINK;
                entry.target = target;
                break;
        case 'h':
                entry.type = ENTRY_HARDLINK;
                entry.target = (char *) "lead";
                state++;
                break;
        default:
                entry.type = ENTRY_FILE;
        }
        if (entry.type == ENTRY_FILE || entry.type == ENTRY_HARDLINK) {
                entry.size = entry.room = (uint64_t) (*state == 'T' ? 'A' : *state) * 4096;
                entry.mtime_nsec = (*state == 'Z' ? 'A' : *state) * 1000;
        }
        for (state++; state[-1] && *state; state++) {
                entry.ino += *state == '!';
                entry.ctime_nsec += *state == '\'';
                entry.mode = *state == '+' ? 0600 : entry.mode;
        }
        return entry;
}

static Manifest *make(void) {
        Manifest *manifest = NULL;

        assert_int_equal(manifest_new(&manifest), 0);
        return manifest;
}

static void put(Manifest *manifest, const char *state, const char *path) {
        Entry entry = entry_of(state, path);

        if (strcmp(state, "-") != 0)
                assert_int_equal(manifest_put(manifest, &entry), 0);
}

/* Three lists, and the plan that is made of them. */
typedef struct Case {
        Manifest *base, *source, *mirror, *previous;
        char **priority;
        Plan *plan;
} Case;

static void case_init(Case *c) {
        static char *nothing[] = { NULL };

        *c = (Case){ .base = make(), .source = make(), .mirror = make(), .priority = nothing };
}

static void case_put(Case *c, const char *path, const char *base, const char *source, const char *mirror) {
        put(c->base, base, path);
        put(c->source, source, path);
        put(c->mirror, mirror, path);
}

static void case_plan(Case *c) {
        PlanInput input = { .base = c->base, .source = c->source, .mirror = c->mirror, .previous = c->previous, .source_path = disk,
                            .priority = c->priority };

        manifest_sort(c->base);
        manifest_sort(c->source);
        manifest_sort(c->mirror);
        if (c->previous)
                manifest_sort(c->previous);
        c->plan = plan_free(c->plan);
        assert_int_equal(plan_new(&input, &c->plan), 0);
}

static void case_done(Case *c) {
        c->plan = plan_free(c->plan);
        c->base = manifest_free(c->base);
        c->source = manifest_free(c->source);
        c->mirror = manifest_free(c->mirror);
        c->previous = manifest_free(c->previous);
}

static const PlanItem *item_of(const Case *c, const char *path) {
        for (size_t i = 0; i < c->plan->n_items; i++)
                if (strcmp(plan_item_path(&c->plan->items[i]), path) == 0)
                        return &c->plan->items[i];
        return NULL;
}

static void assert_action(const Case *c, const char *path, PlanAction expected) {
        const PlanItem *item = item_of(c, path);

        assert_string_equal(item ? plan_action_name(item->action) : "nothing", plan_action_name(expected));
}

static PlanAction decide(const char *base, const char *source, const char *mirror) {
        PlanAction action;
        Case c;

        case_init(&c);
        case_put(&c, "it", base, source, mirror);
        case_plan(&c);
        assert_int_equal(c.plan->n_items, 1);
        action = c.plan->items[0].action;
        case_done(&c);
        return action;
}

typedef struct Row {
        const char *base, *source, *mirror;
        PlanAction action;
} Row;

static void assert_rows(const Row *rows, size_t n) {
        for (size_t i = 0; i < n; i++) {
                PlanAction found = decide(rows[i].base, rows[i].source, rows[i].mirror);

                if (found != rows[i].action)
                        fail_msg("base %s, source %s, mirror %s: %s instead of %s", rows[i].base, rows[i].source, rows[i].mirror,
                                 plan_action_name(found), plan_action_name(rows[i].action));
        }
}

/* --- the table --- */

static void files_without_a_base(void **state) {
        static const Row rows[] = {
                { "-", "A", "-", PLAN_STAGE },
                { "-", "-", "A", PLAN_SAVE },
                { "-", "A", "A", PLAN_ADOPT },
                { "-", "A", "A!", PLAN_ADOPT },
                { "-", "A", "B", PLAN_CONFLICT },
                { "-", "A", "D", PLAN_STAGE },   /* our own link, of a run whose base was lost */
                { "-", "A", "lA", PLAN_CONFLICT },
                { "-", "A", "d", PLAN_CONFLICT },
                { "-", "-", "D", PLAN_SAVE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void a_record_is_no_base(void **state) {
        static const Row rows[] = {
                { "rA", "A", "-", PLAN_STAGE },
                { "rA", "B", "-", PLAN_STAGE },
                { "rA", "-", "-", PLAN_FORGET },
                { "rA", "-", "A", PLAN_SAVE },   /* what is there was never agreed: it is not removed */
                { "rA", "A", "A", PLAN_ADOPT },
                { "rA", "A", "B", PLAN_CONFLICT },
                { "rA", "B", "A", PLAN_CONFLICT },
                { "rA", "A", "D", PLAN_STAGE },
                { "rd", "d", "-", PLAN_STAGE },
                { "rlA", "lA", "lA", PLAN_ADOPT },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void files_that_were_agreed(void **state) {
        static const Row rows[] = {
                { "A", "A", "A", PLAN_KEEP },
                { "A", "A", "A!", PLAN_ADOPT },  /* another inode of the same size and time: look at the bytes */
                { "A", "A", "A'", PLAN_ADOPT },
                { "A", "A+", "A", PLAN_SETATTR },
                { "A", "B", "A", PLAN_STAGE },
                { "A", "A", "B", PLAN_SAVE },
                { "A", "-", "A", PLAN_REMOVE },
                { "A", "A", "-", PLAN_STAGE },   /* a deletion that nobody saw is none */
                { "A", "-", "B", PLAN_SAVE },
                { "A", "B", "-", PLAN_STAGE },
                { "A", "B", "C", PLAN_CONFLICT },
                { "A", "B", "B", PLAN_ADOPT },
                { "A", "-", "-", PLAN_FORGET },
                { "A", "A", "lA", PLAN_SAVE },
                { "A", "A", "D", PLAN_SAVE },
                { "A", "A", "d", PLAN_SAVE },
                { "A", "d", "A", PLAN_STAGE },
                { "A", "lA", "A", PLAN_STAGE },
                { "A", "lA", "B", PLAN_CONFLICT },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void size_and_time_count_each(void **state) {
        static const Row rows[] = {
                { "A", "T", "A", PLAN_STAGE },
                { "A", "Z", "A", PLAN_STAGE },
                { "A", "A", "T", PLAN_SAVE },
                { "A", "A", "Z", PLAN_SAVE },
                { "-", "A", "T", PLAN_CONFLICT },
                { "-", "A", "Z", PLAN_CONFLICT },
                { "A", "T", "Z", PLAN_CONFLICT },
                { "hA", "hT", "hA", PLAN_STAGE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void files_whose_place_is_taken_by_a_link_to_the_disk(void **state) {
        static const Row rows[] = {
                { "kA", "A", "D", PLAN_STAGE },  /* perhaps it fits by now; fit_plan() keeps the link if not */
                { "kA", "B", "D", PLAN_STAGE },
                { "kA", "-", "D", PLAN_REMOVE },
                { "kA", "A", "-", PLAN_STAGE },
                { "kA", "-", "-", PLAN_FORGET },
                { "kA", "A", "A", PLAN_SAVE },   /* somebody put a file where our link was */
                { "kA", "A", "lA", PLAN_SAVE },
                { "kA", "-", "B", PLAN_SAVE },
                { "kA", "B", "C", PLAN_CONFLICT },
                { "kA", "B", "B", PLAN_ADOPT },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void directories(void **state) {
        static const Row rows[] = {
                { "-", "d", "-", PLAN_STAGE },
                { "-", "-", "d", PLAN_SAVE },
                { "-", "d", "d", PLAN_ADOPT },
                { "d", "d", "d", PLAN_KEEP },
                { "d", "d", "d!", PLAN_KEEP },   /* there are no bytes to look at */
                { "d", "d", "d'", PLAN_KEEP },
                { "d", "d+", "d", PLAN_SETATTR },
                { "d", "-", "d", PLAN_REMOVE },
                { "d", "d", "-", PLAN_STAGE },
                { "d", "-", "-", PLAN_FORGET },
                { "d", "A", "d", PLAN_STAGE },
                { "d", "d", "A", PLAN_SAVE },
                { "d", "-", "A", PLAN_SAVE },
                { "d", "A", "B", PLAN_CONFLICT },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void symbolic_links(void **state) {
        static const Row rows[] = {
                { "-", "lA", "-", PLAN_STAGE },
                { "-", "-", "lA", PLAN_SAVE },
                { "-", "lA", "lA", PLAN_ADOPT },
                { "-", "lA", "lB", PLAN_CONFLICT },
                { "lA", "lA", "lA", PLAN_KEEP },
                { "lA", "lA", "lA!", PLAN_KEEP },
                { "lA", "lA+", "lA", PLAN_KEEP }, /* a link has no mode */
                { "lA", "lB", "lA", PLAN_STAGE },
                { "lA", "lA", "lB", PLAN_SAVE },
                { "lA", "-", "lA", PLAN_REMOVE },
                { "lA", "lB", "lB", PLAN_ADOPT },
                { "lA", "A", "lA", PLAN_STAGE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void hard_links(void **state) {
        static const Row rows[] = {
                { "-", "hA", "-", PLAN_STAGE },
                { "-", "hA", "hA", PLAN_ADOPT },
                { "-", "hA", "A", PLAN_STAGE },  /* the same bytes, but not tied to its first name */
                { "-", "A", "hA", PLAN_STAGE },
                { "-", "hA", "B", PLAN_CONFLICT },
                { "-", "hA", "hB", PLAN_CONFLICT },
                { "hA", "hA", "hA", PLAN_KEEP },
                { "hA", "hA", "hA'", PLAN_ADOPT },
                { "hA", "hA+", "hA", PLAN_SETATTR },
                { "A", "hA", "A", PLAN_STAGE },  /* tied on disk since */
                { "hA", "A", "hA", PLAN_STAGE }, /* untied on disk since */
                { "hA", "hA", "A", PLAN_STAGE }, /* alone with its inode: another of its names was staged anew */
                { "hA", "hB", "A", PLAN_STAGE },
                { "hA", "-", "A", PLAN_REMOVE },
                { "hA", "hA", "A!", PLAN_SAVE }, /* untied in the mirror */
                { "hA", "hB", "A!", PLAN_CONFLICT },
                { "hA", "-", "hA", PLAN_REMOVE },
                { "hA", "hA", "-", PLAN_STAGE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void a_link_to_the_disk_is_known_by_its_text(void **state) {
        Entry entry = entry_of("D", "a/b");

        (void) state;
        assert_true(plan_is_disk_link(&entry, disk));
        assert_false(plan_is_disk_link(NULL, disk));
        assert_false(plan_is_disk_link(&entry, "/data"));
        assert_false(plan_is_disk_link(&entry, "/data/models2"));
        entry.path = (char *) "a/c";
        assert_false(plan_is_disk_link(&entry, disk));
        entry.path = (char *) "a/b";
        entry.type = ENTRY_FILE;
        assert_false(plan_is_disk_link(&entry, disk));
        entry = (Entry){ .type = ENTRY_SYMLINK, .path = (char *) "a", .target = (char *) "/data/modelsa" };
        assert_false(plan_is_disk_link(&entry, disk));
}

/* --- the rules, said once more --- */

static const char *const bases[] = { "-", "A", "d", "lA", "hA", "rA", "rd", "rlA", "rhA", "kA", "khA" };
static const char *const sources[] = { "-", "A", "A+", "B", "d", "d+", "lA", "lB", "hA", "hB" };
static const char *const mirrors[] = { "-", "A", "A!", "A'", "B", "C", "d", "d!", "lA", "lA'", "lB", "hA", "hA'", "hB", "D" };

/* Letters that say what is in it: content and kind, but not which name of the file it is. */
static char essence(const char *state) {
        if (*state == 'r' || *state == 'k')
                state++;
        return *state == 'h' ? state[1] : *state == 'l' ? (char) (state[1] == 'A' ? 'a' : 'b') : *state;
}

static bool is_tied(const char *state) {
        return strchr(state, 'h');
}

/* What is in the mirror is what we put there: the only thing that may be replaced or removed. */
static bool is_ours(const char *base, const char *mirror) {
        if (*base == 'k')
                return *mirror == 'D';
        return essence(base) == essence(mirror) && (is_tied(base) == is_tied(mirror) || !strchr(mirror, '!'));
}

static PlanAction model(const char *base, const char *source, const char *mirror) {
        bool agreed = *base != '-' && *base != 'r', b_file = strchr("ABC", essence(source));
        bool alike = essence(source) == essence(mirror);

        if (*mirror == '-')
                return *source == '-' ? PLAN_FORGET : PLAN_STAGE;
        if (agreed && is_ours(base, mirror)) {
                if (*source == '-')
                        return PLAN_REMOVE;
                if (essence(source) != essence(base) || *base == 'k')
                        return PLAN_STAGE;
                if (b_file && strpbrk(mirror, "!'"))
                        return PLAN_ADOPT;
                if (is_tied(source) != is_tied(mirror))
                        return PLAN_STAGE;
                return strchr(source, '+') && *source != 'l' ? PLAN_SETATTR : PLAN_KEEP;
        }
        if (*source == '-' || (agreed && essence(source) == essence(base)))
                return PLAN_SAVE; /* only the mirror changed */
        if (!agreed && b_file && *mirror == 'D')
                return PLAN_STAGE;
        if (!alike)
                return PLAN_CONFLICT;
        return !agreed && is_tied(source) != is_tied(mirror) ? PLAN_STAGE : PLAN_ADOPT;
}

static void every_combination_is_decided_as_the_rules_say(void **state) {
        (void) state;
        for (size_t b = 0; b < ELEMENTSOF(bases); b++)
                for (size_t s = 0; s < ELEMENTSOF(sources); s++)
                        for (size_t m = 0; m < ELEMENTSOF(mirrors); m++) {
                                Row row = { bases[b], sources[s], mirrors[m], 0 };

                                if (*row.base == '-' && *row.source == '-' && *row.mirror == '-')
                                        continue;
                                row.action = model(row.base, row.source, row.mirror);
                                assert_rows(&row, 1);
                        }
}

/* --- what cannot be seen, and what does not hold still --- */

static void what_cannot_be_seen_is_not_absent(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "dark", "d", "d", "d");
        case_put(&c, "dark/agreed", "A", "-", "A");
        case_put(&c, "dark/gone", "A", "-", "-");
        case_put(&c, "dark/new", "-", "-", "A");
        case_put(&c, "dark/record", "rA", "-", "-");
        case_put(&c, "darker", "A", "-", "A");
        assert_int_equal(manifest_omit(c.source, "dark", OMIT_UNREADABLE, EACCES), 0);
        case_plan(&c);
        assert_action(&c, "dark", PLAN_KEEP);
        assert_action(&c, "dark/agreed", PLAN_KEEP);
        assert_action(&c, "dark/gone", PLAN_KEEP);
        assert_action(&c, "dark/new", PLAN_KEEP);
        assert_action(&c, "dark/record", PLAN_KEEP);
        assert_action(&c, "darker", PLAN_REMOVE);
        case_done(&c);
}

static PlanAction decide_after(const char *previous, const char *base, const char *source, const char *mirror) {
        PlanAction action;
        Case c;

        case_init(&c);
        case_put(&c, "it", base, source, mirror);
        c.previous = make();
        put(c.previous, previous, "it");
        case_plan(&c);
        action = c.plan->items[0].action;
        assert_int_equal(c.plan->n_waiting, action == PLAN_WAIT);
        case_done(&c);
        return action;
}

static void what_does_not_hold_still_waits(void **state) {
        (void) state;
        assert_int_equal(decide_after("B", "-", "B", "-"), PLAN_STAGE);
        assert_int_equal(decide_after("A", "-", "B", "-"), PLAN_WAIT);
        assert_int_equal(decide_after("-", "-", "B", "-"), PLAN_WAIT);
        assert_int_equal(decide_after("A", "A", "-", "A"), PLAN_WAIT); /* gone since the last look */
        assert_int_equal(decide_after("-", "A", "-", "A"), PLAN_REMOVE);
        assert_int_equal(decide_after("B!", "A", "B", "A"), PLAN_WAIT); /* another file of the same size and time */
        assert_int_equal(decide_after("B'", "A", "B", "A"), PLAN_WAIT);
        assert_int_equal(decide_after("A'", "A", "A+", "A"), PLAN_WAIT);
        assert_int_equal(decide_after("A+", "A", "A+", "A"), PLAN_SETATTR);
        /* nothing would be done anyway */
        assert_int_equal(decide_after("A", "A", "B", "B"), PLAN_ADOPT);
        assert_int_equal(decide_after("A", "A", "B", "C"), PLAN_CONFLICT);
        assert_int_equal(decide_after("-", "A", "A", "A"), PLAN_KEEP);
        assert_int_equal(decide_after("d'", "d", "d+", "d"), PLAN_SETATTR); /* its ctime changes with what is in it */
}

/* --- further names --- */

static void a_further_name_follows_the_first(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "lead", "A", "B", "A");
        case_put(&c, "more", "hA", "hB", "hA");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_STAGE);
        assert_action(&c, "more", PLAN_STAGE);
        case_done(&c);

        case_init(&c); /* only the first name vanished from the mirror: a new inode takes its place */
        case_put(&c, "lead", "A", "A", "-");
        case_put(&c, "more", "hA", "hA", "hA");
        case_plan(&c);
        assert_action(&c, "more", PLAN_STAGE);
        case_done(&c);

        case_init(&c);
        case_put(&c, "lead", "A", "A", "A");
        case_put(&c, "more", "hA", "hA", "-");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_KEEP);
        assert_action(&c, "more", PLAN_STAGE);
        assert_int_equal(c.plan->stage_bytes, 0); /* nothing is copied for it */
        case_done(&c);
}

static void a_further_name_waits_with_the_first(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "lead", "-", "A", "-");
        case_put(&c, "more", "-", "hA", "-");
        c.previous = make();
        put(c.previous, "B", "lead");
        put(c.previous, "hA", "more");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_WAIT);
        assert_action(&c, "more", PLAN_WAIT);
        case_done(&c);
}

static void a_further_name_that_was_changed_in_the_mirror_is_left_alone(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "lead", "A", "B", "A");
        case_put(&c, "more", "hA", "hB", "C");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_STAGE);
        assert_action(&c, "more", PLAN_CONFLICT);
        case_done(&c);
}

/* --- order and sums --- */

static void assert_order(const Case *c, const char *const *order, size_t n) {
        assert_int_equal(c->plan->n_items, n);
        for (size_t i = 0; i < n; i++)
                assert_string_equal(plan_item_path(&c->plan->items[i]), order[i]);
}

static void items_come_in_the_order_in_which_they_can_be_done(void **state) {
        static const char *const order[] = {
                "old/sub/x", "old/sub", "old",         /* the deepest removal first */
                "dir", "dir/sub",                      /* directories from the top */
                "dir/first", "dir/sub/first",          /* files by priority, then by path */
                "dir/sub/second", "dir/a", "z",
                "a-link", "dir/hard",                  /* names that point to files */
                "mine",                                /* what only the mirror has */
        };
        char *priority[] = { (char *) "first", (char *) "second", NULL };
        Case c;

        (void) state;
        case_init(&c);
        c.priority = priority;
        case_put(&c, "old", "d", "-", "d");
        case_put(&c, "old/sub", "d", "-", "d");
        case_put(&c, "old/sub/x", "A", "-", "A");
        case_put(&c, "dir", "-", "d", "-");
        case_put(&c, "dir/sub", "-", "d", "-");
        case_put(&c, "dir/first", "-", "A", "-");
        case_put(&c, "dir/sub/first", "-", "A", "-");
        case_put(&c, "dir/sub/second", "-", "A", "-");
        case_put(&c, "dir/a", "-", "A", "-");
        case_put(&c, "z", "-", "A", "-");
        case_put(&c, "a-link", "-", "lA", "-");
        case_put(&c, "dir/hard", "-", "hA", "-");
        case_put(&c, "mine", "-", "-", "A");
        case_plan(&c);
        assert_order(&c, order, ELEMENTSOF(order));
        case_done(&c);
}

static void what_is_to_be_done_is_summed_up(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "dir", "-", "d", "-");
        case_put(&c, "dir/a", "-", "A", "-");
        case_put(&c, "dir/b", "-", "B", "-");
        case_put(&c, "dir/more", "-", "hA", "-");
        case_put(&c, "dir/same", "-", "A", "A");
        case_put(&c, "dir/kept", "A", "A", "A");
        case_plan(&c);
        assert_int_equal(c.plan->n_stage, 4);
        assert_int_equal(c.plan->n_adopt, 1);
        assert_int_equal(c.plan->n_left_out, 0);
        assert_int_equal(c.plan->stage_bytes, ('A' + 'B') * 4096);
        for (size_t i = 0; i < c.plan->n_items; i++)
                if (string_equal(plan_item_path(&c.plan->items[i]), "dir/b"))
                        c.plan->items[i].action = PLAN_SKIP;
        plan_count(c.plan);
        assert_int_equal(c.plan->n_left_out, 1);
        assert_int_equal(c.plan->stage_bytes, 'A' * 4096);
        case_done(&c);
}

static void nothing_at_all_is_a_plan(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_plan(&c);
        assert_int_equal(c.plan->n_items, 0);
        case_done(&c);
        assert_null(plan_free(NULL));
}

static void removing_takes_what_is_in_the_mirror_the_deepest_first(void **state) {
        static const char *const order[] = { "e", "dir/sub/x", "dir/sub", "dir" };
        Plan *plan = NULL;
        Manifest *base = make();

        (void) state;
        put(base, "d", "dir");
        put(base, "d", "dir/sub");
        put(base, "A", "dir/sub/x");
        put(base, "rA", "dir/record");
        put(base, "kA", "e");
        manifest_sort(base);
        assert_int_equal(plan_new_removal(base, &plan), 0);
        assert_int_equal(plan->n_items, ELEMENTSOF(order));
        for (size_t i = 0; i < plan->n_items; i++) {
                assert_string_equal(plan_item_path(&plan->items[i]), order[i]);
                assert_int_equal(plan->items[i].action, PLAN_REMOVE);
        }
        plan_free(plan);
        manifest_free(base);
}

/* --- churn --- */

/* One path of a world: what stands in the source and in the mirror, what is on record, and whether it was a client who put what is in the
 * mirror there. Content is a number, 0 is nothing; inodes are never used twice. */
typedef struct Spot {
        unsigned source, mirror, base, ino, base_ino;
        bool base_is_record, clients;
} Spot;

enum { SPOTS = 6 };

typedef struct World {
        Spot spots[SPOTS];
        unsigned last_ino, last_content;
        unsigned staged, removed, adopted, held;
} World;

static void put_spot(Manifest *manifest, unsigned i, unsigned content, unsigned ino, bool record) {
        char path[16];
        Entry entry = { .path = path, .size = content, .mtime_nsec = content, .ino = ino, .flags = record ? ENTRY_RECORD : 0 };

        (void) snprintf(path, sizeof(path), "spot%u", i);
        if (content != 0)
                assert_int_equal(manifest_put(manifest, &entry), 0);
}

static void make_case(const World *world, Case *c) {
        case_init(c);
        for (unsigned i = 0; i < SPOTS; i++) {
                const Spot *spot = &world->spots[i];

                put_spot(c->base, i, spot->base, spot->base_ino, spot->base_is_record);
                put_spot(c->source, i, spot->source, 0, false);
                put_spot(c->mirror, i, spot->mirror, spot->ino, false);
        }
        case_plan(c);
}

static void agree(Spot *spot) {
        spot->base = spot->mirror;
        spot->base_ino = spot->ino;
        spot->base_is_record = false;
}

/* What the daemon would do for one item, and what it must never do. */
static void carry_out(World *world, const PlanItem *item) {
        Spot *spot = &world->spots[atoi(plan_item_path(item) + 4)];
        bool unsaved = spot->mirror != 0 && spot->clients && spot->mirror != spot->source &&
                       (spot->base_is_record || spot->mirror != spot->base);

        switch (item->action) {
        case PLAN_STAGE:
                assert_false(unsaved); /* nothing that exists only in the mirror is overwritten */
                assert_true(spot->source != 0);
                spot->mirror = spot->source;
                spot->ino = ++world->last_ino;
                spot->clients = false;
                agree(spot);
                world->staged++;
                break;
        case PLAN_REMOVE:
                assert_false(unsaved);
                assert_int_equal(spot->source, 0);
                spot->mirror = 0;
                spot->base_is_record = true;
                world->removed++;
                break;
        case PLAN_ADOPT:
                assert_int_equal(spot->mirror, spot->source);
                agree(spot);
                spot->clients = false;
                world->adopted++;
                break;
        case PLAN_FORGET:
                assert_int_equal(spot->mirror + spot->source, 0);
                spot->base = 0;
                break;
        case PLAN_KEEP:
                assert_int_equal(spot->mirror, spot->source);
                assert_int_equal(spot->mirror, spot->base);
                assert_int_equal(spot->ino, spot->base_ino);
                break;
        case PLAN_SAVE:
        case PLAN_CONFLICT:
                assert_true(spot->mirror != 0 && spot->mirror != spot->source);
                world->held++;
                break;
        case PLAN_SETATTR:
        case PLAN_LINK:
        case PLAN_SKIP:
        case PLAN_WITHHOLD:
        case PLAN_WAIT:
                fail_msg("nothing of this world calls for '%s'", plan_action_name(item->action));
        }
}

/* What source and client do between two looks. */
static void disturb(World *world, uint64_t *seed) {
        Spot *spot = &world->spots[random_below(seed, SPOTS)];

        switch (random_below(seed, 6)) {
        case 0:
                spot->source = ++world->last_content;
                break;
        case 1:
                spot->source = 0;
                break;
        case 2: /* a client writes */
                spot->mirror = ++world->last_content;
                spot->ino = ++world->last_ino;
                spot->clients = true;
                break;
        case 3: /* or removes */
                spot->mirror = 0;
                spot->clients = false;
                break;
        case 4: /* or copies to both sides by hand, or puts the source's file in its place */
                if (random_below(seed, 2))
                        spot->source = spot->mirror;
                else if (spot->source) {
                        spot->mirror = spot->source;
                        spot->ino = ++world->last_ino;
                        spot->clients = true;
                }
                break;
        default: /* a reboot, or a lost manifest: what was agreed is a memory, or not even that */
                if (random_below(seed, 8) > 0)
                        break;
                for (unsigned i = 0; i < SPOTS; i++) {
                        world->spots[i].base_is_record = true;
                        if (random_below(seed, 2))
                                world->spots[i].base = 0;
                }
        }
}

/* After a plan that was carried out whole nothing is left to do but what is held for the client. */
static void assert_settled(World *world) {
        Case c;

        make_case(world, &c);
        for (size_t i = 0; i < c.plan->n_items; i++) {
                PlanAction action = c.plan->items[i].action;

                if (action != PLAN_KEEP && action != PLAN_SAVE && action != PLAN_CONFLICT && action != PLAN_FORGET)
                        fail_msg("%s is not settled: %s", plan_item_path(&c.plan->items[i]), plan_action_name(action));
        }
        for (unsigned i = 0; i < SPOTS; i++)
                assert_true(world->spots[i].mirror != 0 || world->spots[i].source == 0); /* nothing is missing */
        case_done(&c);
}

static void churn_loses_nothing_and_settles(void **state) {
        uint64_t seed = random_seed();
        World world = {};

        (void) state;
        for (unsigned round = 0; round < 20000; round++) {
                unsigned crash = random_below(&seed, 4) == 0 ? random_below(&seed, SPOTS) : UINT32_MAX;
                Case c;

                for (unsigned n = random_below(&seed, 4); n > 0; n--)
                        disturb(&world, &seed);
                make_case(&world, &c);
                for (unsigned i = 0; i < c.plan->n_items && i < crash; i++)
                        carry_out(&world, &c.plan->items[i]);
                case_done(&c);
                if (crash == UINT32_MAX)
                        assert_settled(&world);
        }
        /* all of it has happened often */
        assert_true(world.staged > 1000 && world.removed > 100 && world.adopted > 100 && world.held > 1000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(files_without_a_base),
                cmocka_unit_test(a_record_is_no_base),
                cmocka_unit_test(files_that_were_agreed),
                cmocka_unit_test(size_and_time_count_each),
                cmocka_unit_test(files_whose_place_is_taken_by_a_link_to_the_disk),
                cmocka_unit_test(directories),
                cmocka_unit_test(symbolic_links),
                cmocka_unit_test(hard_links),
                cmocka_unit_test(a_link_to_the_disk_is_known_by_its_text),
                cmocka_unit_test(every_combination_is_decided_as_the_rules_say),
                cmocka_unit_test(what_cannot_be_seen_is_not_absent),
                cmocka_unit_test(what_does_not_hold_still_waits),
                cmocka_unit_test(a_further_name_follows_the_first),
                cmocka_unit_test(a_further_name_waits_with_the_first),
                cmocka_unit_test(a_further_name_that_was_changed_in_the_mirror_is_left_alone),
                cmocka_unit_test(items_come_in_the_order_in_which_they_can_be_done),
                cmocka_unit_test(what_is_to_be_done_is_summed_up),
                cmocka_unit_test(nothing_at_all_is_a_plan),
                cmocka_unit_test(removing_takes_what_is_in_the_mirror_the_deepest_first),
                cmocka_unit_test(churn_loses_nothing_and_settles),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
