/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way plan: as a table, held against a second statement of the rules for every combination of states, and by random
 * churn of a small world whose promises must hold after every step.
 *
 * A state is written in a few letters. "-" is nothing; "A", "B", "C" are files that differ in size and time, "T" is as large as
 * "A", and "Z" as old; "d" is a directory; "lA", "lB" are symbolic links; "hA" is a further name of the file "lead" with the
 * content of A; "D" is our link to the disk original. In a base "r" before it makes a record, "k" says that a link to the disk
 * stands in its place; in a source "o" makes an orphan, and "x" what is not chosen for RAM. Behind it, "!" is another inode than was published, "'" another
 * ctime, "+" another mode and "%" another owner. */

#include "ground.h"
#include "plan/plan.h"

static const char disk[] = "/data/models";

static Entry entry_of(const char *state, const char *path) {
        static char target[64];
        Entry entry = { .path = (char *) path, .mode = 0644, .ino = 100, .ctime_nsec = 1000 };

        if (*state == 'r')
                entry.flags |= ENTRY_RECORD;
        if (*state == 'k')
                entry.flags |= ENTRY_LINKED;
        if (*state == 'o')
                entry.flags |= ENTRY_ORPHAN;
        if (*state == 'x')
                entry.flags |= ENTRY_DISK_ONLY;
        state += entry.flags != 0;
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
                entry.uid += *state == '%';
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

/* Three lists and what else is known, and the plan that is made of them. */
typedef struct Case {
        Manifest *base, *source, *mirror, *previous;
        char **priority;
        LayoutKind layout;
        bool keeps_owners, armed;
        PathSet deleted, damaged, absent;
        const Overrides *overrides;
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
                            .priority = c->priority, .layout = c->layout, .keeps_owners = c->keeps_owners, .armed = c->armed,
                            .deleted = c->deleted.n > 0 ? &c->deleted : NULL, .damaged = c->damaged.n > 0 ? &c->damaged : NULL,
                            .absent = c->absent.n > 0 ? &c->absent : NULL, .overrides = c->overrides };

        pathset_sort(&c->damaged);
        pathset_sort(&c->absent);
        pathset_sort(&c->deleted);
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
        pathset_done(&c->deleted);
        pathset_done(&c->damaged);
        pathset_done(&c->absent);
}

static void case_deleted(Case *c, const char *path) {
        assert_int_equal(pathset_add(&c->deleted, path), 0);
}

static PlanItem *item_of(const Case *c, const char *path) {
        for (size_t i = 0; i < c->plan->n_items; i++)
                if (strcmp(plan_item_path(&c->plan->items[i]), path) == 0)
                        return &c->plan->items[i];
        return NULL;
}

static void set_action(const Case *c, const char *path, PlanAction action) {
        PlanItem *item = item_of(c, path);

        if (item)
                item->action = action;
        else
                fail_msg("nothing is planned for '%s'", path);
}

static void assert_action(const Case *c, const char *path, PlanAction expected) {
        const PlanItem *item = item_of(c, path);

        assert_string_equal(item ? plan_action_name(item->action) : "nothing", plan_action_name(expected));
}

/* What else is known of the one path of a row. */
typedef struct Setting {
        LayoutKind layout;
        bool keeps_owners, armed;
        bool deleted;     /* it was seen to go */
        bool damaged;     /* other bytes were found in it */
        const char *path; /* "it" if NULL */
} Setting;

static PlanAction decide_in(const Setting *setting, const char *base, const char *source, const char *mirror) {
        const char *path = setting->path ? setting->path : "it";
        PlanAction action;
        Case c;

        case_init(&c);
        c.layout = setting->layout;
        c.keeps_owners = setting->keeps_owners;
        c.armed = setting->armed;
        if (setting->deleted)
                case_deleted(&c, path);
        if (setting->damaged)
                assert_int_equal(pathset_add(&c.damaged, path), 0);
        case_put(&c, path, base, source, mirror);
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

static void assert_rows_in(const Setting *setting, const Row *rows, size_t n) {
        for (size_t i = 0; i < n; i++) {
                PlanAction found = decide_in(setting, rows[i].base, rows[i].source, rows[i].mirror);

                if (found != rows[i].action)
                        fail_msg("base %s, source %s, mirror %s: %s instead of %s", rows[i].base, rows[i].source, rows[i].mirror,
                                 plan_action_name(found), plan_action_name(rows[i].action));
        }
}

static void assert_rows(const Row *rows, size_t n) {
        assert_rows_in(&(Setting){}, rows, n);
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
                { "A", "A", "A!", PLAN_ADOPT },  /* another inode of the same size and time: compare the bytes */
                { "A", "A", "A'", PLAN_ADOPT },
                { "A", "A+", "A", PLAN_SETATTR },
                { "A", "B", "A", PLAN_STAGE },
                { "A", "A", "B", PLAN_SAVE },
                { "A", "-", "A", PLAN_REMOVE },
                { "A", "A", "-", PLAN_STAGE },   /* a deletion that was not observed is none */
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
                { "kA", "A", "A", PLAN_SAVE },   /* a client put a file where our link was */
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
                { "d", "d", "d!", PLAN_ADOPT },  /* made again by a client: the base learns its inode */
                { "d", "d", "d'", PLAN_KEEP },   /* there are no bytes to compare */
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
                { "lA", "lA", "lA!", PLAN_ADOPT },
                { "lA", "lA", "lA'", PLAN_KEEP },
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
                { "hA", "hA", "A", PLAN_STAGE }, /* alone with its inode: another of its names was staged again */
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

/* --- the way back --- */

static void attributes_that_were_changed_in_the_mirror(void **state) {
        static const Row rows[] = {
                { "A", "A", "A+", PLAN_SAVEATTR },
                { "A", "A", "A'+", PLAN_SAVEATTR }, /* as chmod(2) leaves it */
                { "A", "A", "A%", PLAN_SAVEATTR },
                { "A", "A", "A!+", PLAN_ADOPT },    /* another file: its bytes first */
                { "A", "A+", "A%", PLAN_SETATTR },  /* both were changed: the disk's counts */
                { "A", "B", "A+", PLAN_STAGE },
                { "A", "-", "A+", PLAN_REMOVE },
                { "A", "A", "B+", PLAN_SAVE },
                { "hA", "hA", "hA'+", PLAN_SAVEATTR },
                { "hA", "hA", "A+", PLAN_STAGE },   /* first it is tied again */
                { "lA", "lA", "lA+", PLAN_KEEP },
                { "kA", "A", "D+", PLAN_STAGE },    /* of our own link */
                { "d", "d", "d+", PLAN_SAVEATTR },
                { "d", "d", "d%", PLAN_SAVEATTR },
                { "d", "d+", "d%", PLAN_SETATTR },
        };
        static const Row unarmed[] = {
                { "d", "d", "d+", PLAN_KEEP },      /* it is given its attributes when staging ends */
                { "d", "d", "d%", PLAN_KEEP },
                { "A", "A", "A+", PLAN_SAVEATTR },
        };
        static const Row without_owners[] = {
                { "A", "A", "A%", PLAN_KEEP },      /* it is ours, whoever owns the disk's */
                { "A", "A", "A%+", PLAN_SAVEATTR },
                { "d", "d", "d+", PLAN_KEEP },
        };

        (void) state;
        assert_rows_in(&(Setting){ .keeps_owners = true, .armed = true }, rows, ELEMENTSOF(rows));
        assert_rows_in(&(Setting){ .keeps_owners = true }, unarmed, ELEMENTSOF(unarmed));
        assert_rows_in(&(Setting){ .armed = true }, without_owners, ELEMENTSOF(without_owners));
}

static void what_would_be_kept_is_staged_again_if_it_is_damaged(void **state) {
        static const Row rows[] = {
                { "A", "A", "A", PLAN_STAGE },
                { "A", "B", "A", PLAN_STAGE },
                { "hA", "hA", "hA", PLAN_STAGE },
                { "A", "A", "B", PLAN_SAVE },   /* a client was there since */
                { "A", "A", "A'", PLAN_ADOPT }, /* a client may have changed it: the bytes decide */
                { "A", "A", "A!", PLAN_ADOPT },
                { "A", "B", "C", PLAN_CONFLICT },
                { "A", "-", "A", PLAN_REMOVE },
                { "-", "-", "A", PLAN_SAVE },
                { "d", "d", "d", PLAN_KEEP },
                { "lA", "lA", "lA", PLAN_KEEP },
        };

        (void) state;
        assert_rows_in(&(Setting){ .damaged = true }, rows, ELEMENTSOF(rows));
}

static void all_names_of_a_damaged_file_are_staged_again(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "lead", "A", "A", "A");
        case_put(&c, "more", "hA", "hA", "hA");
        assert_int_equal(pathset_add(&c.damaged, "lead"), 0);
        case_plan(&c);
        assert_action(&c, "lead", PLAN_STAGE);
        assert_action(&c, "more", PLAN_STAGE);
        case_done(&c);
}

static void only_what_was_seen_to_go_is_deleted(void **state) {
        static const Row rows[] = {
                { "A", "A", "-", PLAN_DELETE },
                { "A", "A+", "-", PLAN_DELETE },
                { "A", "B", "-", PLAN_STAGE },  /* what the client did not see is not deleted */
                { "A", "d", "-", PLAN_STAGE },
                { "A", "-", "-", PLAN_FORGET },
                { "A", "A", "A", PLAN_KEEP },   /* it came back */
                { "A", "A", "B", PLAN_SAVE },
                { "-", "A", "-", PLAN_STAGE },  /* it was never in the mirror */
                { "rA", "A", "-", PLAN_STAGE },
                { "d", "d", "-", PLAN_DELETE },
                { "lA", "lA", "-", PLAN_DELETE },
                { "hA", "hA", "-", PLAN_DELETE },
                { "kA", "A", "-", PLAN_DELETE }, /* the link that stood for it */
                { "A", "oA", "-", PLAN_DELETE },
                { "kA", "xA", "-", PLAN_DELETE },
        };

        (void) state;
        assert_rows_in(&(Setting){ .deleted = true }, rows, ELEMENTSOF(rows));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_not_equal(decide_in(&(Setting){}, rows[i].base, rows[i].source, rows[i].mirror), PLAN_DELETE);
}

static void a_directory_that_was_seen_to_go_stands_for_all_below(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "dir", "d", "d", "-");
        case_put(&c, "dir/sub", "d", "d", "-");
        case_put(&c, "dir/sub/x", "A", "A", "-");
        case_put(&c, "dir2", "d", "d", "-");
        case_deleted(&c, "dir");
        case_plan(&c);
        assert_action(&c, "dir", PLAN_DELETE);
        assert_action(&c, "dir/sub", PLAN_DELETE);
        assert_action(&c, "dir/sub/x", PLAN_DELETE);
        assert_action(&c, "dir2", PLAN_STAGE);
        case_done(&c);
}

/* A device has taken its name, or it was replaced while it was looked at. */
static void what_only_could_not_be_seen_in_the_mirror_is_not_deleted(void **state) {
        static const OmissionReason reasons[] = { OMIT_SPECIAL, OMIT_CHANGED, OMIT_UNREADABLE };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
                Case c;

                case_init(&c);
                case_put(&c, "it", "A", "A", "-");
                case_put(&c, "its", "A", "A", "-");
                case_deleted(&c, "it");
                case_deleted(&c, "its");
                assert_int_equal(manifest_omit(c.mirror, "it", reasons[i], EACCES), 0);
                case_plan(&c);
                assert_action(&c, "it", PLAN_STAGE);
                assert_action(&c, "its", PLAN_DELETE);
                case_done(&c);
        }
}

static void what_is_not_chosen_is_a_link_and_takes_no_room(void **state) {
        static const Row rows[] = {
                { "-", "xA", "-", PLAN_LINK },
                { "rA", "xA", "-", PLAN_LINK },
                { "kA", "xA", "-", PLAN_LINK },
                { "kA", "xA", "D", PLAN_KEEP },
                { "-", "xA", "D", PLAN_LINK },   /* the base was lost */
                { "A", "xA", "A", PLAN_LINK },   /* it was chosen before */
                { "A", "xB", "A", PLAN_LINK },
                { "A", "xA", "-", PLAN_LINK },
                { "hA", "xhA", "hA", PLAN_LINK },
                { "-", "xA", "A", PLAN_ADOPT },
                { "A", "xA", "B", PLAN_SAVE },
                { "kA", "xA", "A", PLAN_SAVE },
                { "-", "xA", "B", PLAN_CONFLICT },
        };
        Case c;

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
        case_init(&c);
        case_put(&c, "a", "-", "xA", "-");
        case_put(&c, "b", "kA", "xA", "D");
        case_put(&c, "c", "kA", "A", "D");
        case_plan(&c);
        assert_int_equal(c.plan->stage_bytes, 'A' * 4096); /* of c */
        assert_int_equal(c.plan->n_skipped, 0); /* they were not to be in RAM */
        case_done(&c);
}

static void what_nothing_needs_is_not_staged(void **state) {
        static const Row rows[] = {
                { "-", "oA", "-", PLAN_IGNORE },
                { "rA", "oA", "-", PLAN_IGNORE },
                { "A", "oA", "-", PLAN_IGNORE },
                { "kA", "oA", "-", PLAN_IGNORE },
                { "A", "oB", "-", PLAN_IGNORE },
                { "A", "oA", "A", PLAN_KEEP },   /* it is there: it may stay */
                { "A", "oA", "A'", PLAN_ADOPT },
                { "A", "oB", "A", PLAN_IGNORE },
                { "kA", "oA", "D", PLAN_KEEP },  /* a link that is not worth a copy */
                { "kA", "oB", "D", PLAN_KEEP },
                { "-", "oA", "D", PLAN_LINK },
                { "-", "oA", "A", PLAN_ADOPT },
                { "A", "oA", "B", PLAN_SAVE },
                { "-", "oA", "B", PLAN_CONFLICT },
        };
        Case c;

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
        case_init(&c);
        case_put(&c, "a", "-", "oA", "D");
        case_put(&c, "b", "kA", "oA", "D");
        case_plan(&c);
        assert_int_equal(c.plan->n_skipped, 0);
        case_done(&c);
}

#define BLOB "blobs/sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void shared_content_is_deleted_only_if_nothing_needs_it(void **state) {
        const Setting needed = { .layout = LAYOUT_OLLAMA, .deleted = true, .path = BLOB }, plain = { .deleted = true, .path = BLOB };

        (void) state;
        assert_int_equal(decide_in(&needed, "A", "A", "-"), PLAN_STAGE);
        assert_int_equal(decide_in(&needed, "A", "oA", "-"), PLAN_DELETE);
        assert_int_equal(decide_in(&needed, "kA", "xA", "-"), PLAN_LINK);
        assert_int_equal(decide_in(&needed, "kA", "oZ", "-"), PLAN_DELETE); /* touched through the link */
        assert_int_equal(decide_in(&needed, "A", "oZ", "-"), PLAN_IGNORE);
        assert_int_equal(decide_in(&plain, "kA", "Z", "-"), PLAN_STAGE);
        assert_int_equal(decide_in(&plain, "A", "A", "-"), PLAN_DELETE); /* there nothing is shared */
}

/* Content has the name of its digest: the same name is the same content, or one of the two is damaged. */
static void there_are_not_two_versions_of_what_states_its_digest(void **state) {
        static const Row rows[] = {
                { "-", "A", "B", PLAN_SAVE },
                { "rA", "A", "Z", PLAN_SAVE },  /* pulled again, after it was deleted */
                { "A", "B", "C", PLAN_SAVE },
                { "-", "A", "d", PLAN_CONFLICT },
                { "-", "lA", "A", PLAN_CONFLICT },
        };

        (void) state;
        assert_rows_in(&(Setting){ .layout = LAYOUT_OLLAMA, .path = BLOB }, rows, ELEMENTSOF(rows));
        assert_int_equal(decide_in(&(Setting){ .layout = LAYOUT_OLLAMA, .path = "manifests/h/n/m/t" }, "-", "A", "B"), PLAN_CONFLICT);
}

static void what_is_not_finished_is_not_saved(void **state) {
        const Setting part = { .path = "model.gguf.part" }, tmp = { .layout = LAYOUT_OLLAMA, .path = "blobs/sha256-123" };
        Case c;

        (void) state;
        assert_int_equal(decide_in(&part, "-", "-", "A"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "A", "-", "B"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "A", "A", "B"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "A", "B", "C"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "-", "-", "d"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "A", "-", "A"), PLAN_REMOVE);
        assert_int_equal(decide_in(&tmp, "-", "-", "A"), PLAN_IGNORE);
        assert_int_equal(decide_in(&(Setting){ .path = tmp.path }, "-", "-", "A"), PLAN_SAVE); /* to other clients it means nothing */

        case_init(&c); /* aria2 writes in place */
        case_put(&c, "new", "-", "-", "B");
        case_put(&c, "new.aria2", "-", "-", "A");
        case_put(&c, "again", "A", "A", "B");
        case_put(&c, "again.aria2", "-", "-", "A");
        case_put(&c, "done", "A", "A", "B");
        case_plan(&c);
        assert_action(&c, "new", PLAN_IGNORE);
        assert_action(&c, "new.aria2", PLAN_IGNORE);
        assert_action(&c, "again", PLAN_IGNORE);
        assert_action(&c, "done", PLAN_SAVE);
        case_done(&c);
}

static void the_way_back_is_known_by_its_actions(void **state) {
        static const PlanAction back[] = { PLAN_SAVE, PLAN_SAVEATTR, PLAN_DELETE, PLAN_CONFLICT };

        (void) state;
        for (PlanAction action = PLAN_KEEP; action <= PLAN_WAIT; action++) {
                bool expected = false;

                for (size_t i = 0; i < ELEMENTSOF(back); i++)
                        expected = expected || back[i] == action;
                assert_int_equal(plan_is_write_back(action), expected);
                assert_true(strlen(plan_action_name(action)) > 0);
                for (PlanAction other = PLAN_KEEP; other < action; other++)
                        assert_string_not_equal(plan_action_name(action), plan_action_name(other));
        }
}

/* --- directories and what is in them --- */

static void a_directory_is_deleted_only_with_all_that_is_in_it(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "dir", "d", "d", "-");
        case_put(&c, "dir/gone", "A", "A", "-");
        case_put(&c, "dir/sub", "d", "d", "-");
        case_put(&c, "dir/sub/new", "-", "A", "-"); /* came to the disk meanwhile */
        case_put(&c, "full", "d", "d", "-");
        case_put(&c, "full/orphan", "-", "oA", "-");
        case_put(&c, "full-not", "d", "d", "-");    /* in path order it stands between the two above */
        case_put(&c, "full-not/x", "A", "-", "-");  /* gone from both */
        case_deleted(&c, "dir");
        case_deleted(&c, "full");
        case_deleted(&c, "full-not");
        case_plan(&c);
        assert_action(&c, "dir", PLAN_STAGE);
        assert_action(&c, "dir/gone", PLAN_DELETE);
        assert_action(&c, "dir/sub", PLAN_STAGE);
        assert_action(&c, "dir/sub/new", PLAN_STAGE);
        assert_action(&c, "full", PLAN_STAGE);
        assert_action(&c, "full-not", PLAN_DELETE);
        case_done(&c);
}

static void a_directory_that_went_from_the_disk_comes_back_with_what_is_new_in_it(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "dir", "d", "-", "d");
        case_put(&c, "dir/old", "A", "-", "A");
        case_put(&c, "dir/sub", "d", "-", "d");
        case_put(&c, "dir/sub/new", "-", "-", "A");
        case_put(&c, "dir/empty", "d", "-", "d");
        case_put(&c, "loading", "d", "-", "d");
        case_put(&c, "loading/x.part", "-", "-", "A");
        case_plan(&c);
        assert_action(&c, "dir", PLAN_SAVE);
        assert_action(&c, "dir/old", PLAN_REMOVE);
        assert_action(&c, "dir/sub", PLAN_SAVE);
        assert_action(&c, "dir/sub/new", PLAN_SAVE);
        assert_action(&c, "dir/empty", PLAN_REMOVE);
        assert_action(&c, "loading", PLAN_KEEP); /* not removed, and nothing to be saved yet */
        assert_action(&c, "loading/x.part", PLAN_IGNORE);
        case_done(&c);
}

static void a_directory_with_news_does_not_make_way_for_a_file(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "dir", "d", "B", "d");
        case_put(&c, "dir/new", "-", "-", "A");
        case_put(&c, "way", "d", "B", "d");
        case_put(&c, "way/old", "A", "-", "A");
        case_plan(&c);
        assert_action(&c, "dir", PLAN_CONFLICT);
        assert_action(&c, "way", PLAN_STAGE);
        case_done(&c);
}

/* --- the rules, said once more --- */

static const char *const bases[] = { "-", "A", "d", "lA", "hA", "rA", "rd", "rlA", "rhA", "kA", "khA" };
static const char *const sources[] = { "-", "A", "A+", "A%", "B", "d", "d+", "lA", "lB", "hA", "hB",
                                       "oA", "oA+", "oB", "ohA", "xA", "xA%", "xB", "xhA" };
static const char *const mirrors[] = { "-", "A", "A!", "A'", "A+", "A%", "A'+", "A!+", "B", "C", "d", "d!", "d+", "d%", "lA", "lA'", "lA+", "lB",
                                       "hA", "hA'", "hA+", "hB", "D" };

/* Letters that say what is in it: content and kind, but not which name of the file it is. */
static char essence(const char *state) {
        if (strchr("rkox", *state))
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

static bool attributes_of_the_mirror_count(const Setting *setting, const char *mirror) {
        if (*mirror == 'd')
                return setting->armed && setting->keeps_owners && strpbrk(mirror, "+%");
        return *mirror != 'l' && (strchr(mirror, '+') || (setting->keeps_owners && strchr(mirror, '%')));
}

/* The action if everything is wanted in RAM. */
static PlanAction model_wanted(const Setting *setting, const char *base, const char *source, const char *mirror) {
        bool agreed = *base != '-' && *base != 'r', s_file = strchr("ABC", essence(source));
        bool alike = essence(source) == essence(mirror), moved = *source != 'l' && strpbrk(source, "+%");

        if (*source == '-' && *mirror == '-')
                return PLAN_FORGET;
        if (*mirror == '-')
                return agreed && setting->deleted && essence(source) == essence(base) ? PLAN_DELETE : PLAN_STAGE;
        if (agreed && is_ours(base, mirror)) {
                if (*source == '-')
                        return PLAN_REMOVE;
                if (essence(source) != essence(base) || *base == 'k')
                        return PLAN_STAGE;
                if (s_file && strchr(mirror, '!'))
                        return PLAN_ADOPT;
                if (attributes_of_the_mirror_count(setting, mirror) && !moved && is_tied(source) == is_tied(mirror))
                        return PLAN_SAVEATTR;
                if (s_file && strchr(mirror, '\''))
                        return PLAN_ADOPT;
                if (is_tied(source) != is_tied(mirror))
                        return PLAN_STAGE;
                return moved ? PLAN_SETATTR : strchr(mirror, '!') ? PLAN_ADOPT : PLAN_KEEP;
        }
        if (*source == '-' || (agreed && essence(source) == essence(base)))
                return PLAN_SAVE; /* only the mirror changed */
        if (!agreed && s_file && *mirror == 'D')
                return PLAN_STAGE;
        if (!alike)
                return PLAN_CONFLICT;
        return !agreed && is_tied(source) != is_tied(mirror) ? PLAN_STAGE : PLAN_ADOPT;
}

static PlanAction model(const Setting *setting, const char *base, const char *source, const char *mirror) {
        PlanAction action = model_wanted(setting, base, source, mirror);
        bool orphan = *source == 'o', unwanted = orphan || *source == 'x';

        if (unwanted && action == PLAN_STAGE && *mirror == 'D')
                return *base == 'k' ? PLAN_KEEP : PLAN_LINK;
        if (unwanted && action == PLAN_STAGE)
                return orphan ? PLAN_IGNORE : PLAN_LINK;
        return *source == 'x' && action == PLAN_KEEP ? PLAN_LINK : action;
}

static void every_combination_is_decided_as_the_rules_say(void **state) {
        (void) state;
        for (unsigned known = 0; known < 8; known++)
                for (size_t b = 0; b < ELEMENTSOF(bases); b++)
                        for (size_t s = 0; s < ELEMENTSOF(sources); s++)
                                for (size_t m = 0; m < ELEMENTSOF(mirrors); m++) {
                                        Setting setting = { .keeps_owners = known & 1, .armed = known & 2, .deleted = known & 4 };
                                        Row row = { bases[b], sources[s], mirrors[m], 0 };

                                        if (*row.base == '-' && *row.source == '-' && *row.mirror == '-')
                                                continue;
                                        row.action = model(&setting, row.base, row.source, row.mirror);
                                        assert_rows_in(&setting, &row, 1);
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
        assert_int_equal(decide_after("A", "A", "-", "A"), PLAN_WAIT); /* gone since the last scan */
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

static void a_further_name_is_not_tied_to_one_that_is_deleted(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "lead", "A", "A", "-");
        case_put(&c, "more", "hA", "hA", "A"); /* alone with its inode since */
        case_deleted(&c, "lead");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_DELETE);
        assert_action(&c, "more", PLAN_KEEP);
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
        case_put(&c, "dir/link", "kA", "A", "D");
        case_put(&c, "new", "-", "-", "A");
        case_put(&c, "new.part", "-", "-", "A");
        case_put(&c, "mode", "A", "A", "A+");
        case_put(&c, "both", "A", "B", "C");
        case_put(&c, "gone", "A", "A", "-");
        case_put(&c, "orphan", "-", "oA", "-");
        case_deleted(&c, "gone");
        case_plan(&c);
        set_action(&c, "dir/link", PLAN_KEEP); /* it does not fit */
        plan_count(c.plan);
        assert_int_equal(c.plan->n_held, 3);
        assert_int_equal(c.plan->n_skipped, 1);
        set_action(&c, "dir/link", PLAN_IGNORE);
        plan_count(c.plan);
        assert_int_equal(c.plan->n_stage, 4);
        assert_int_equal(c.plan->n_adopt, 1);
        assert_int_equal(c.plan->n_skipped, 0);
        assert_int_equal(c.plan->stage_bytes, ('A' + 'B') * 4096);
        for (size_t i = 0; i < c.plan->n_items; i++)
                if (string_equal(plan_item_path(&c.plan->items[i]), "dir/b"))
                        c.plan->items[i].action = PLAN_SKIP;
        plan_count(c.plan);
        assert_int_equal(c.plan->n_skipped, 1);
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

static void assert_removal(const Manifest *base, const Manifest *extra, const char *const *order, size_t n) {
        Plan *plan = NULL;

        assert_int_equal(plan_new_removal(base, extra, &plan), 0);
        assert_int_equal(plan->n_items, n);
        for (size_t i = 0; i < n; i++) {
                assert_string_equal(plan_item_path(&plan->items[i]), order[i]);
                assert_int_equal(plan->items[i].action, PLAN_REMOVE);
                assert_non_null(plan->items[i].mirror);
        }
        plan_free(plan);
}

static void removing_takes_what_is_in_the_mirror_the_deepest_first(void **state) {
        static const char *const order[] = { "e", "dir/sub/x", "dir/sub", "dir" };
        static const char *const more[] = { "e", "dir/sub/y.part", "dir/sub/x", "dir/sub", "dir/new", "dir" };
        Manifest *base = make(), *extra = make();

        (void) state;
        put(base, "d", "dir");
        put(base, "d", "dir/sub");
        put(base, "A", "dir/sub/x");
        put(base, "rA", "dir/record");
        put(base, "kA", "e");
        manifest_sort(base);
        assert_removal(base, NULL, order, ELEMENTSOF(order));
        assert_removal(base, extra, order, ELEMENTSOF(order));
        put(extra, "A", "dir/new");
        put(extra, "A", "dir/sub/y.part");
        manifest_sort(extra);
        assert_removal(base, extra, more, ELEMENTSOF(more));
        manifest_free(base);
        manifest_free(extra);
}

static void of_a_path_in_both_lists_what_stands_there_is_removed(void **state) {
        Manifest *base = make(), *extra = make();
        Plan *plan = NULL;

        (void) state;
        put(base, "A", "a");
        put(base, "A", "b");
        put(extra, "B!", "a");
        manifest_sort(base);
        manifest_sort(extra);
        assert_int_equal(plan_new_removal(base, extra, &plan), 0);
        assert_int_equal(plan->n_items, 2);
        assert_ptr_equal(plan->items[0].base, &base->entries[1]);
        assert_ptr_equal(plan->items[1].mirror, &extra->entries[0]);
        assert_null(plan->items[1].base); /* nothing is known of its bytes */
        plan_free(plan);
        manifest_free(base);
        manifest_free(extra);
}

/* --- what operators want --- */

static PlanAction action_of(const Case *c, const char *path) {
        for (size_t i = 0; i < c->plan->n_items; i++)
                if (strcmp(plan_item_path(&c->plan->items[i]), path) == 0)
                        return c->plan->items[i].action;
        fail_msg("'%s' is not in the plan", path);
        return PLAN_IGNORE;
}

static PlanAction released(const char *base, const char *source, const char *mirror, bool seen) {
        PlanAction action;
        Case c;

        case_init(&c);
        c.armed = true;
        case_put(&c, "file", base, source, mirror);
        assert_int_equal(pathset_add(&c.absent, "file"), 0);
        if (seen)
                case_deleted(&c, "file");
        case_plan(&c);
        action = action_of(&c, "file");
        case_done(&c);
        return action;
}

static void only_a_clean_copy_is_released(void **state) {
        static const struct {
                const char *base, *source, *mirror;
                PlanAction action;
        } rows[] = {
                { "A", "A", "A", PLAN_RELEASE }, { "A", "A+", "A", PLAN_RELEASE }, { "A", "B", "A", PLAN_RELEASE }, { "kA", "A", "D", PLAN_RELEASE },
                { "-", "A", "D", PLAN_RELEASE }, { "d", "d", "d", PLAN_RELEASE }, { "lA", "lA", "lA", PLAN_RELEASE },
                { "A", "A", "B", PLAN_SAVE }, { "A", "B", "C", PLAN_CONFLICT }, { "A", "A", "A'", PLAN_ADOPT }, { "A", "A", "A!", PLAN_ADOPT },
                { "rA", "A", "A", PLAN_ADOPT }, { "-", "A", "B", PLAN_CONFLICT }, { "kA", "A", "B", PLAN_SAVE }, { "A", "A", "A+", PLAN_SAVEATTR },
                { "A", "-", "A", PLAN_REMOVE }, { "A", "A", "-", PLAN_FORGET }, { "rA", "A", "-", PLAN_IGNORE }, { "-", "A", "-", PLAN_IGNORE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (unsigned seen = 0; seen < 2; seen++) {
                        PlanAction action = released(rows[i].base, rows[i].source, rows[i].mirror, seen);

                        if (action != rows[i].action)
                                fail_msg("%s %s %s: %s", rows[i].base, rows[i].source, rows[i].mirror, plan_action_name(action));
                }
}

static void a_released_directory_stays_while_something_is_in_it(void **state) {
        static const struct {
                const char *base, *source, *mirror;
                bool absent;
                PlanAction directory;
        } rows[] = {
                { "A", "A", "A", true, PLAN_RELEASE }, { "rA", "A", "-", true, PLAN_RELEASE }, { "A", "-", "A", false, PLAN_RELEASE },
                { "A", "A", "B", true, PLAN_KEEP }, { "-", "-", "A", false, PLAN_KEEP }, { "A", "A", "A", false, PLAN_KEEP }, { "rA", "A", "-", false, PLAN_KEEP },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Case c;

                case_init(&c);
                case_put(&c, "d", "d", "d", "d");
                case_put(&c, "d/file", rows[i].base, rows[i].source, rows[i].mirror);
                assert_int_equal(pathset_add(&c.absent, "d"), 0);
                if (rows[i].absent)
                        assert_int_equal(pathset_add(&c.absent, "d/file"), 0);
                case_plan(&c);
                if (action_of(&c, "d") != rows[i].directory)
                        fail_msg("row %zu: %s", i, plan_action_name(action_of(&c, "d")));
                case_done(&c);
        }
}

static void in_a_released_directory_what_is_wanted_has_its_place(void **state) {
        Case c;

        (void) state;
        case_init(&c);
        case_put(&c, "d", "rd", "d", "-");
        case_put(&c, "d/e", "rd", "d", "-");
        case_put(&c, "d/e/file", "rA", "A", "-");
        case_put(&c, "d/other", "rA", "A", "-");
        assert_int_equal(pathset_add(&c.absent, "d") | pathset_add(&c.absent, "d/e") | pathset_add(&c.absent, "d/other"), 0);
        case_plan(&c);
        assert_int_equal(action_of(&c, "d"), PLAN_STAGE);
        assert_int_equal(action_of(&c, "d/e"), PLAN_STAGE);
        assert_int_equal(action_of(&c, "d/e/file"), PLAN_STAGE);
        assert_int_equal(action_of(&c, "d/other"), PLAN_IGNORE);
        case_done(&c);
}

/* @accepted: how the disk had it then. */
static PlanAction marked_deleted(const char *base, const char *source, const char *mirror, const char *accepted) {
        Overrides overrides = {};
        Entry entry = entry_of(accepted, "file");
        PlanAction action;
        Case c;

        case_init(&c);
        c.armed = true;
        c.overrides = &overrides;
        assert_int_equal(overrides_mark_deleted(&overrides, &entry), 0);
        overrides_sort(&overrides);
        case_put(&c, "file", base, source, mirror);
        case_plan(&c);
        action = action_of(&c, "file");
        case_done(&c);
        overrides_done(&overrides);
        return action;
}

static void an_accepted_deletion_goes_from_the_mirror_and_then_from_the_disk(void **state) {
        static const struct {
                const char *base, *source, *mirror, *accepted;
                PlanAction action;
        } rows[] = {
                { "A", "A", "A", "A", PLAN_RELEASE }, { "rA", "A", "-", "A", PLAN_DELETE }, { "-", "A", "-", "A", PLAN_DELETE }, { "kA", "A", "D", "A", PLAN_RELEASE },
                { "A", "B", "A", "A", PLAN_STAGE }, /* another version came to the disk */
                { "A", "A!", "A", "A", PLAN_KEEP }, { "rA", "B", "-", "A", PLAN_STAGE },
                { "A", "A", "B", "A", PLAN_SAVE }, { "rA", "A", "B", "A", PLAN_CONFLICT }, /* a client has brought it again */
                { "A", "A", "A'", "A", PLAN_ADOPT }, { "A", "-", "A", "A", PLAN_REMOVE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                PlanAction action = marked_deleted(rows[i].base, rows[i].source, rows[i].mirror, rows[i].accepted);

                if (action != rows[i].action)
                        fail_msg("%s %s %s: %s", rows[i].base, rows[i].source, rows[i].mirror, plan_action_name(action));
        }
}

/* --- churn --- */

/* One path of a world: what stands in the source and in the mirror, what is on record, and whether it was a client who put what is in the
 * mirror there. Content is a number, 0 is nothing; inodes are never used twice. */
typedef struct Spot {
        unsigned source, mirror, base, ino, base_ino;
        unsigned source_mode, mirror_mode, base_mode;
        bool base_is_record, base_is_link, clients;
        bool link;              /* in the mirror stands a link to the disk */
        bool orphan, disk_only; /* of the source */
        bool absent;            /* likewise: it was released from RAM */
        bool seen;              /* it was seen to go from the mirror */
        unsigned part;          /* in the mirror, under a name that says that it is not finished */
} Spot;

enum { SPOTS = 6 };

typedef struct World {
        Spot spots[SPOTS];
        unsigned last_ino, last_content;
        unsigned done[PLAN_WAIT + 1]; /* how often each action was carried out */
} World;

static void spot_path(char path[static 32], unsigned i, const char *ending) {
        (void) snprintf(path, 32, "spot%u%s", i, ending);
}

static void put_content(Manifest *manifest, const char *path, unsigned content, unsigned ino, unsigned mode, unsigned flags) {
        Entry entry = { .path = (char *) path, .size = content, .mtime_nsec = content, .ino = ino, .mode = (uint16_t) (0600 + mode),
                        .flags = (uint8_t) flags };

        if (content != 0)
                assert_int_equal(manifest_put(manifest, &entry), 0);
}

static void put_spot(Case *c, const Spot *spot, unsigned i) {
        char path[32], part[32];

        spot_path(path, i, "");
        spot_path(part, i, ".part");
        put_content(c->base, path, spot->base, spot->base_ino, spot->base_mode,
                    (spot->base_is_record ? ENTRY_RECORD : 0) | (spot->base_is_link ? ENTRY_LINKED : 0));
        put_content(c->source, path, spot->source, 0, spot->source_mode,
                    spot->orphan ? ENTRY_ORPHAN : spot->disk_only ? ENTRY_DISK_ONLY : 0);
        put_content(c->mirror, part, spot->part, 0, 0, 0);
        if (spot->link)
                put(c->mirror, "D", path);
        else
                put_content(c->mirror, path, spot->mirror, spot->ino, spot->mirror_mode, 0);
        if (spot->seen)
                case_deleted(c, path);
        if (spot->absent)
                assert_int_equal(pathset_add(&c->absent, path), 0);
}

static void make_case(const World *world, Case *c) {
        case_init(c);
        c->armed = true;
        for (unsigned i = 0; i < SPOTS; i++)
                put_spot(c, &world->spots[i], i);
        case_plan(c);
}

static void agree(Spot *spot) {
        spot->base = spot->mirror;
        spot->base_ino = spot->ino;
        spot->base_mode = spot->source_mode; /* as a task records it */
        spot->base_is_record = spot->base_is_link = false;
        spot->clients = false;
}

static void bring(World *world, Spot *spot) {
        spot->mirror = spot->source;
        spot->mirror_mode = spot->source_mode;
        spot->ino = ++world->last_ino;
        spot->link = false;
}

/* What a client has finished, and what is nowhere else. */
static bool is_unsaved(const Spot *spot) {
        return spot->mirror != 0 && spot->clients && spot->mirror != spot->source && (spot->base_is_record || spot->mirror != spot->base);
}

/* What the daemon would do for one item, and what it must never do. */
static void carry_out(World *world, const PlanItem *item) {
        Spot *spot = &world->spots[atoi(plan_item_path(item) + 4)];

        world->done[item->action]++;
        if (strstr(plan_item_path(item), ".part")) {
                assert_int_equal(item->action, PLAN_IGNORE);
                return;
        }
        switch (item->action) {
        case PLAN_STAGE:
                assert_false(is_unsaved(spot)); /* nothing that exists only in the mirror is overwritten */
                assert_true(spot->source != 0 && !spot->orphan && !spot->disk_only);
                bring(world, spot);
                agree(spot);
                break;
        case PLAN_LINK:
                assert_false(is_unsaved(spot));
                assert_true(spot->source != 0 && (spot->disk_only || (spot->orphan && spot->link)));
                spot->link = true;
                spot->mirror = spot->source;
                agree(spot);
                spot->mirror = 0;
                spot->base_is_link = true;
                break;
        case PLAN_REMOVE:
                assert_false(is_unsaved(spot));
                assert_int_equal(spot->source, 0);
                spot->mirror = 0;
                spot->link = false;
                spot->base_is_record = true;
                break;
        case PLAN_ADOPT:
                assert_true(spot->mirror != 0 && spot->mirror == spot->source);
                agree(spot);
                break;
        case PLAN_FORGET:
                assert_true(spot->mirror == 0 && !spot->link && (spot->source == 0 || spot->absent));
                if (spot->source != 0)
                        spot->base_is_record = true;
                else
                        spot->base = 0;
                break;
        case PLAN_RELEASE:
                assert_true(spot->absent && spot->source != 0 && (spot->mirror != 0 || spot->link));
                assert_false(is_unsaved(spot)); /* nothing goes that the disk does not have */
                spot->mirror = 0;
                spot->link = spot->clients = false;
                spot->base_is_record = true;
                break;
        case PLAN_KEEP:
                assert_false(spot->absent);
                if (spot->link) {
                        assert_true(spot->base_is_link && (spot->disk_only || spot->orphan));
                        break;
                }
                assert_int_equal(spot->mirror, spot->source);
                assert_int_equal(spot->mirror, spot->base);
                assert_int_equal(spot->ino, spot->base_ino);
                assert_int_equal(spot->mirror_mode, spot->source_mode);
                break;
        case PLAN_SETATTR:
                assert_int_equal(spot->mirror, spot->source);
                assert_int_not_equal(spot->base_mode, spot->source_mode); /* not what a client did */
                spot->mirror_mode = spot->base_mode = spot->source_mode;
                break;
        case PLAN_SAVEATTR:
                assert_int_equal(spot->mirror, spot->source);
                assert_int_equal(spot->base_mode, spot->source_mode); /* not what was done on disk */
                spot->source_mode = spot->base_mode = spot->mirror_mode;
                break;
        case PLAN_SAVE:
                assert_true(spot->link || (spot->mirror != 0 && (spot->mirror != spot->source || spot->base_is_link)));
                if (spot->link) { /* of something that is gone: it is refused, and its maker removes it */
                        assert_int_equal(spot->source, 0);
                        spot->link = false;
                        break;
                }
                assert_true(spot->source == 0 || (spot->source == spot->base && !spot->base_is_record)); /* nothing unseen is overwritten */
                spot->source = spot->mirror;
                spot->source_mode = spot->mirror_mode;
                agree(spot);
                break;
        case PLAN_CONFLICT: /* the newer one takes the name, the other is kept elsewhere */
                assert_true(spot->mirror != 0 && spot->source != 0 && spot->mirror != spot->source);
                if (spot->mirror < spot->source)
                        bring(world, spot);
                spot->source = spot->mirror;
                spot->source_mode = spot->mirror_mode;
                agree(spot);
                break;
        case PLAN_DELETE:
                assert_true(spot->seen && spot->mirror == 0 && !spot->link && !spot->absent);
                assert_true(spot->source != 0 && spot->source == spot->base && !spot->base_is_record); /* it was in the mirror, as it is on disk */
                spot->source = 0;
                spot->base_is_record = true;
                break;
        case PLAN_IGNORE:
                assert_true(spot->orphan || (spot->absent && spot->mirror == 0 && !spot->link)); /* which the mirror does not have, or has in another version */
                assert_false(is_unsaved(spot));
                break;
        case PLAN_SKIP:
        case PLAN_WITHHOLD:
        case PLAN_WAIT:
                fail_msg("nothing of this world calls for '%s'", plan_action_name(item->action));
        }
}

static void client_does(World *world, Spot *spot, uint64_t *seed) {
        switch (random_below(seed, 6)) {
        case 0: /* writes at once */
                spot->mirror = ++world->last_content;
                spot->ino = ++world->last_ino;
                spot->clients = true;
                spot->link = false;
                break;
        case 1: /* or in steps */
                if (!spot->part) {
                        spot->part = ++world->last_content;
                        break;
                }
                spot->mirror = spot->part;
                spot->ino = ++world->last_ino;
                spot->part = 0;
                spot->clients = true;
                spot->link = false;
                break;
        case 2: /* removes, before our eyes */
        case 3: /* or not */
                spot->seen = (spot->mirror != 0 || spot->link) && random_below(seed, 2);
                spot->mirror = 0;
                spot->link = spot->clients = false;
                break;
        case 4:
                spot->mirror_mode = random_below(seed, 4);
                break;
        default: /* puts the source's file in its place */
                if (spot->source == 0)
                        break;
                spot->mirror = spot->source;
                spot->ino = ++world->last_ino;
                spot->clients = true;
                spot->link = false;
        }
}

/* A reboot, a lost manifest, a wipe: what was agreed is a memory, or not even that, or nothing is in the mirror. */
static void disaster(World *world, uint64_t *seed) {
        unsigned kind = random_below(seed, 3);

        for (unsigned i = 0; i < SPOTS; i++) {
                Spot *spot = &world->spots[i];

                spot->seen = false;
                if (kind == 2) {
                        spot->mirror = spot->part = 0;
                        spot->link = spot->clients = false;
                        continue;
                }
                spot->base_is_record = true;
                spot->base_is_link = false;
                if (kind == 1)
                        spot->base = 0;
        }
}

/* What source and client do between two scans. */
static void disturb(World *world, uint64_t *seed) {
        Spot *spot = &world->spots[random_below(seed, SPOTS)];

        switch (random_below(seed, 8)) {
        case 0:
                spot->source = ++world->last_content;
                break;
        case 1:
                spot->source = 0;
                break;
        case 2:
                if (spot->mirror)
                        spot->source = spot->mirror; /* copied to the disk by hand */
                break;
        case 3:
                spot->source_mode = random_below(seed, 4);
                break;
        case 4: /* another choice of models, or of what needs what */
                spot->orphan = random_below(seed, 4) == 0;
                spot->disk_only = !spot->orphan && random_below(seed, 3) == 0;
                spot->absent = !spot->orphan && !spot->disk_only && random_below(seed, 2) == 0;
                break;
        case 5:
                if (random_below(seed, 8) == 0)
                        disaster(world, seed);
                break;
        default:
                client_does(world, spot, seed);
        }
}

/* Without an event nothing is deleted, however empty the mirror is. */
static void assert_absence_is_no_deletion(const World *world, bool empty) {
        World blind = *world;
        Case c;

        for (unsigned i = 0; i < SPOTS; i++) {
                blind.spots[i].seen = false;
                if (empty) {
                        blind.spots[i].mirror = blind.spots[i].part = 0;
                        blind.spots[i].link = false;
                }
        }
        make_case(&blind, &c);
        for (size_t i = 0; i < c.plan->n_items; i++)
                assert_int_not_equal(c.plan->items[i].action, PLAN_DELETE);
        case_done(&c);
}

static void assert_room(const Case *c) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < c->plan->n_items; i++) {
                const PlanItem *item = &c->plan->items[i];

                if (item->action == PLAN_STAGE && !(item->source->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN)))
                        bytes += item->source->size;
        }
        assert_int_equal(c->plan->stage_bytes, bytes);
}

/* One scan, of whose plan only so much is carried out. */
static void go_on(World *world, unsigned crash) {
        Case c;

        make_case(world, &c);
        assert_room(&c);
        for (unsigned i = 0; i < c.plan->n_items && i < crash; i++)
                carry_out(world, &c.plan->items[i]);
        for (unsigned i = 0; i < SPOTS; i++)
                world->spots[i].seen = false;
        case_done(&c);
}

/* After a plan that was carried out whole, and the one that follows what was adopted, nothing is left to do. */
static void assert_settled(World *world) {
        Case c;

        go_on(world, UINT32_MAX);
        go_on(world, UINT32_MAX);
        make_case(world, &c);
        for (size_t i = 0; i < c.plan->n_items; i++) {
                PlanAction action = c.plan->items[i].action;

                if (action != PLAN_KEEP && action != PLAN_FORGET && action != PLAN_IGNORE)
                        fail_msg("%s is not settled: %s", plan_item_path(&c.plan->items[i]), plan_action_name(action));
        }
        for (unsigned i = 0; i < SPOTS; i++) {
                const Spot *spot = &world->spots[i];

                assert_true(spot->mirror != 0 || spot->link || spot->source == 0 || spot->orphan || spot->absent); /* nothing is missing */
                assert_true(!spot->absent || spot->source == 0 || (spot->mirror == 0 && !spot->link)); /* and nothing is there that was released */
                assert_false(is_unsaved(spot));
        }
        case_done(&c);
}

static void churn_loses_nothing_and_settles(void **state) {
        static const PlanAction common[] = { PLAN_STAGE, PLAN_REMOVE, PLAN_ADOPT, PLAN_SAVE, PLAN_CONFLICT, PLAN_DELETE, PLAN_SETATTR,
                                             PLAN_SAVEATTR, PLAN_LINK, PLAN_IGNORE, PLAN_KEEP, PLAN_RELEASE };
        uint64_t seed = random_seed();
        World world = {};

        (void) state;
        for (unsigned plan_run = 0; plan_run < 20000; plan_run++) {
                unsigned crash = random_below(&seed, 4) == 0 ? random_below(&seed, SPOTS) : UINT32_MAX;

                for (unsigned n = random_below(&seed, 4); n > 0; n--)
                        disturb(&world, &seed);
                assert_absence_is_no_deletion(&world, false);
                assert_absence_is_no_deletion(&world, true);
                go_on(&world, crash);
                if (crash == UINT32_MAX)
                        assert_settled(&world);
        }
        for (size_t i = 0; i < ELEMENTSOF(common); i++) /* all of it has happened often */
                if (world.done[common[i]] < 100)
                        fail_msg("'%s' happened only %u times", plan_action_name(common[i]), world.done[common[i]]);
}

/* --- churn of trees --- */

/* In path order some of them stand between a directory and what is in it. */
static const char *const tree[] = { "a", "a b", "a/c", "a/c-d", "a/c/e", "a/c/f.part", "a/g", "h", "h/i" };

static bool stands_in(const char *path, const char *directory) {
        size_t n = strlen(directory);

        return strncmp(path, directory, n) == 0 && path[n] == '/';
}

/* A list in which nothing stands in what is not a directory. */
static void put_tree(Manifest *list, const char *const *states, size_t n_states, uint64_t *seed) {
        char is[ELEMENTSOF(tree)] = "";

        for (size_t i = 0; i < ELEMENTSOF(tree); i++) {
                const char *state = states[random_below(seed, (unsigned) n_states)];
                bool possible = true;

                if ((string_equal(tree[i], "a") || string_equal(tree[i], "a/c") || string_equal(tree[i], "h")) && random_below(seed, 8) > 0)
                        state = "d";
                for (size_t k = 0; k < i; k++)
                        possible = possible && (!stands_in(tree[i], tree[k]) || is[k] == 'd');
                is[i] = possible ? *state : '-';
                if (possible)
                        put(list, state, tree[i]);
        }
}

static bool is_directory(const Entry *entry) {
        return entry && entry->type == ENTRY_DIRECTORY;
}

/* Of a directory and something in it: what must not be wanted of both at once. */
static void assert_possible(const PlanItem *directory, const PlanItem *inside) {
        bool stays = inside->source && inside->action != PLAN_DELETE;

        if (directory->action == PLAN_DELETE && stays)
                fail_msg("'%s' is deleted, but not '%s' in it (%s)", plan_item_path(directory), plan_item_path(inside), plan_action_name(inside->action));
        if (directory->action == PLAN_REMOVE && inside->mirror && inside->action != PLAN_REMOVE)
                fail_msg("'%s' is removed, but not '%s' in it (%s)", plan_item_path(directory), plan_item_path(inside), plan_action_name(inside->action));
        if ((inside->action == PLAN_STAGE || inside->action == PLAN_LINK) && !directory->mirror && directory->action != PLAN_STAGE)
                fail_msg("'%s' is staged into '%s', which is not (%s)", plan_item_path(inside), plan_item_path(directory), plan_action_name(directory->action));
        if (inside->action == PLAN_SAVE && !is_directory(directory->source) && is_directory(directory->mirror) && directory->action != PLAN_SAVE &&
            directory->action != PLAN_CONFLICT)
                fail_msg("'%s' is saved into '%s', which is not on disk (%s)", plan_item_path(inside), plan_item_path(directory),
                         plan_action_name(directory->action));
}

static void churn_of_trees_wants_nothing_impossible(void **state) {
        static const char *const base[] = { "-", "A", "d" }, *const source[] = { "-", "A", "B", "d", "oA" }, *const mirror[] = { "-", "A", "C", "d" };
        uint64_t seed = random_seed();
        unsigned deletions = 0, kept = 0;

        (void) state;
        for (unsigned plan_run = 0; plan_run < 20000; plan_run++) {
                Case c;

                case_init(&c);
                put_tree(c.base, base, ELEMENTSOF(base), &seed);
                put_tree(c.source, source, ELEMENTSOF(source), &seed);
                put_tree(c.mirror, mirror, ELEMENTSOF(mirror), &seed);
                for (size_t i = 0; i < ELEMENTSOF(tree); i++)
                        if (random_below(&seed, 2))
                                case_deleted(&c, tree[i]);
                case_plan(&c);
                for (size_t i = 0; i < c.plan->n_items; i++) {
                        deletions += c.plan->items[i].action == PLAN_DELETE;
                        kept += c.plan->items[i].action == PLAN_SAVE;
                        for (size_t k = 0; k < c.plan->n_items; k++)
                                if (stands_in(plan_item_path(&c.plan->items[i]), plan_item_path(&c.plan->items[k])))
                                        assert_possible(&c.plan->items[k], &c.plan->items[i]);
                }
                case_done(&c);
        }
        assert_true(deletions > 100 && kept > 100);
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
                cmocka_unit_test(attributes_that_were_changed_in_the_mirror),
                cmocka_unit_test(what_would_be_kept_is_staged_again_if_it_is_damaged),
                cmocka_unit_test(all_names_of_a_damaged_file_are_staged_again),
                cmocka_unit_test(only_what_was_seen_to_go_is_deleted),
                cmocka_unit_test(a_directory_that_was_seen_to_go_stands_for_all_below),
                cmocka_unit_test(what_only_could_not_be_seen_in_the_mirror_is_not_deleted),
                cmocka_unit_test(what_is_not_chosen_is_a_link_and_takes_no_room),
                cmocka_unit_test(what_nothing_needs_is_not_staged),
                cmocka_unit_test(shared_content_is_deleted_only_if_nothing_needs_it),
                cmocka_unit_test(there_are_not_two_versions_of_what_states_its_digest),
                cmocka_unit_test(what_is_not_finished_is_not_saved),
                cmocka_unit_test(the_way_back_is_known_by_its_actions),
                cmocka_unit_test(a_directory_is_deleted_only_with_all_that_is_in_it),
                cmocka_unit_test(a_directory_that_went_from_the_disk_comes_back_with_what_is_new_in_it),
                cmocka_unit_test(a_directory_with_news_does_not_make_way_for_a_file),
                cmocka_unit_test(every_combination_is_decided_as_the_rules_say),
                cmocka_unit_test(what_cannot_be_seen_is_not_absent),
                cmocka_unit_test(what_does_not_hold_still_waits),
                cmocka_unit_test(a_further_name_follows_the_first),
                cmocka_unit_test(a_further_name_waits_with_the_first),
                cmocka_unit_test(a_further_name_is_not_tied_to_one_that_is_deleted),
                cmocka_unit_test(a_further_name_that_was_changed_in_the_mirror_is_left_alone),
                cmocka_unit_test(items_come_in_the_order_in_which_they_can_be_done),
                cmocka_unit_test(what_is_to_be_done_is_summed_up),
                cmocka_unit_test(nothing_at_all_is_a_plan),
                cmocka_unit_test(removing_takes_what_is_in_the_mirror_the_deepest_first),
                cmocka_unit_test(of_a_path_in_both_lists_what_stands_there_is_removed),
                cmocka_unit_test(only_a_clean_copy_is_released),
                cmocka_unit_test(a_released_directory_stays_while_something_is_in_it),
                cmocka_unit_test(in_a_released_directory_what_is_wanted_has_its_place),
                cmocka_unit_test(an_accepted_deletion_goes_from_the_mirror_and_then_from_the_disk),
                cmocka_unit_test(churn_loses_nothing_and_settles),
                cmocka_unit_test(churn_of_trees_wants_nothing_impossible),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
