/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The three-way plan: as a table, held against a second statement of the rules for every combination of states, and by
 * random churn of trees. test-plan-bytes.c has a world in which files have bytes.
 *
 * A state is written in a few letters. "-" is nothing; "A", "B", "C" are files that differ in size and time, "T" is as
 * large as "A", and "Z" as old; "d" is a directory; "lA", "lB" are symbolic links; "hA" is a further name of the file
 * "lead" with the content of A; "D" is our link to the disk original. In a base "r" before it makes a record, "k" says
 * that a link to the disk stands in its place; in a source "o" makes an orphan, and "x" what is not chosen for RAM.
 *
 * The base of a letter names the objects that the source and the mirror have by that letter. Behind it, "!" is another
 * inode than that, "'" another ctime, "+" another mode and "%" another owner; "y" was seen too soon after its last
 * change, and "n" stands in a place without inode numbers. Of a base only: "u" is unproven, "w" was reported to be
 * written on the disk; "m", "s" and "e" say that a comparison found other bytes in the mirror, on the disk, or in one
 * of the two; "1" comes from a manifest of format 1, and "q" has no digest. */

#include "ground.h"
#include "plan/plan.h"

static const char disk[] = "/data/models";

typedef enum Side { IN_BASE, ON_DISK, IN_MIRROR } Side;

static const uint16_t prefixes[128] = {
        ['r'] = ENTRY_RECORD, ['k'] = ENTRY_LINKED, ['o'] = ENTRY_ORPHAN, ['x'] = ENTRY_DISK_ONLY,
};
static const uint16_t suffixes[128] = {
        ['y'] = ENTRY_RACY, ['u'] = ENTRY_UNPROVEN, ['w'] = ENTRY_DISK_WRITTEN, ['m'] = ENTRY_MIRROR_DIFFERS,
        ['s'] = ENTRY_DISK_DIFFERS, ['e'] = ENTRY_SIDES_DIFFER,
};

static void apply_suffix(Entry *entry, Side side, char suffix) {
        entry->flags |= suffixes[(unsigned char) suffix];
        entry->ino += suffix == '!';
        entry->ctime_nsec += suffix == '\'';
        entry->mode = suffix == '+' ? 0600 : entry->mode;
        entry->mode |= suffix == '7' ? 0700 : 0;
        entry->uid += suffix == '%';
        if (suffix == 'n' && side == ON_DISK) {
                entry->ino = 0;
                entry->flags |= ENTRY_NO_INODE;
        }
        if (suffix == 'n')
                entry->disk.ino = 0;
        if (suffix == '1')
                entry->disk = (DiskObject){};
        if (suffix == 'q')
                entry->flags &= (uint16_t) ~ENTRY_HAS_DIGEST;
}

static Entry entry_of(Side side, const char *state, const char *path) {
        static char target[64];
        Entry entry = { .path = (char *) path, .mode = 0644, .flags = prefixes[(unsigned char) *state],
                        .ino = side == ON_DISK ? 500 : 100, .ctime_nsec = side == ON_DISK ? 5000 : 1000,
                        .dev = side == IN_MIRROR ? 1 : 2 };

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
        if (manifest_entry_is_data(&entry)) {
                entry.size = entry.room = (uint64_t) (*state == 'T' ? 'A' : *state) * 4096;
                entry.mtime_nsec = (*state == 'Z' ? 'A' : *state) * 1000;
                if (side == IN_BASE) {
                        entry.disk = (DiskObject){ .ino = 500, .mtime_nsec = entry.mtime_nsec, .ctime_nsec = 5000 };
                        entry.flags |= ENTRY_HAS_DIGEST;
                }
        }
        for (state++; state[-1] && *state; state++)
                apply_suffix(&entry, side, *state);
        return entry;
}

static Manifest *make(void) {
        Manifest *manifest = NULL;

        assert_int_equal(manifest_new(&manifest), 0);
        return manifest;
}

static void put(Manifest *manifest, Side side, const char *state, const char *path) {
        Entry entry = entry_of(side, state, path);

        if (strcmp(state, "-") != 0)
                assert_int_equal(manifest_put(manifest, &entry), 0);
}

/* Three lists and what else is known, and the plan that is made of them. */
typedef struct Case {
        Manifest *base, *source, *mirror, *previous;
        char **priority;
        LayoutKind layout;
        bool keeps_owners, armed, mirror_unwatched, source_unwatched;
        PathSet deleted, damaged, absent;
        const Overrides *overrides;
        Plan *plan;
} Case;

static void case_init(Case *c) {
        static char *nothing[] = { NULL };

        *c = (Case){ .base = make(), .source = make(), .mirror = make(), .priority = nothing };
}

static void case_put(Case *c, const char *path, const char *base, const char *source, const char *mirror) {
        put(c->base, IN_BASE, base, path);
        put(c->source, ON_DISK, source, path);
        put(c->mirror, IN_MIRROR, mirror, path);
}

static void case_plan(Case *c) {
        PlanInput input = { .base = c->base, .source = c->source, .mirror = c->mirror, .previous = c->previous,
                            .source_path = disk, .priority = c->priority, .layout = c->layout,
                            .keeps_owners = c->keeps_owners, .armed = c->armed,
                            .mirror_watched = !c->mirror_unwatched, .source_watched = !c->source_unwatched,
                            .deleted = c->deleted.n > 0 ? &c->deleted : NULL,
                            .damaged = c->damaged.n > 0 ? &c->damaged : NULL,
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
        bool keeps_owners, armed, mirror_unwatched, source_unwatched;
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
        c.mirror_unwatched = setting->mirror_unwatched;
        c.source_unwatched = setting->source_unwatched;
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
                        fail_msg("base %s, source %s, mirror %s: %s instead of %s%s%s", rows[i].base, rows[i].source,
                                 rows[i].mirror, plan_action_name(found), plan_action_name(rows[i].action),
                                 setting->mirror_unwatched ? ", the mirror not watched" : "",
                                 setting->source_unwatched ? ", the source not watched" : "");
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
                { "A", "A!", "A", PLAN_ADOPT },
                { "A", "A!", "A!", PLAN_ADOPT },
                { "A", "A", "A'", PLAN_ADOPT },
                { "A", "A'", "A", PLAN_ADOPT },
                { "A", "A+", "A", PLAN_SETATTR },
                { "A", "B", "A", PLAN_STAGE },
                { "A", "A", "B", PLAN_SAVE },
                { "A", "-", "A", PLAN_REMOVE },
                { "A", "A", "-", PLAN_STAGE },   /* a deletion that was not observed is none */
                { "A", "-", "B", PLAN_SAVE },
                { "A", "-", "A!", PLAN_SAVE },   /* a client's own copy, perhaps the last one */
                { "A", "-", "A'", PLAN_REMOVE },
                { "A", "A!", "-", PLAN_STAGE },
                { "A", "B", "-", PLAN_STAGE },
                { "A", "B", "C", PLAN_CONFLICT },
                { "A", "B", "A!", PLAN_CONFLICT },
                { "A", "A!", "B", PLAN_ADOPT },  /* the disk's bytes say whether it has changed too */
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
                { "A", "T", "A", PLAN_ADOPT },  /* the bytes may be the same */
                { "A", "Z", "A", PLAN_STAGE },
                { "A", "A", "T", PLAN_SAVE },   /* which compares them too */
                { "A", "A", "Z", PLAN_SAVE },
                { "A", "-", "T", PLAN_SAVE },
                { "-", "A", "T", PLAN_ADOPT },
                { "-", "A", "Z", PLAN_CONFLICT },
                { "A", "T", "T", PLAN_ADOPT },
                { "A", "T", "Z", PLAN_ADOPT },  /* perhaps only the mirror has changed */
                { "A", "Z", "T", PLAN_CONFLICT },
                { "hA", "hT", "hA", PLAN_ADOPT },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void what_was_only_touched_is_the_same_where_every_write_was_reported(void **state) {
        static const Row watched[] = {
                { "A", "A'", "A", PLAN_ADOPT },  /* recorded again */
                { "A", "A'", "B", PLAN_SAVE },
                { "A", "-", "A'", PLAN_REMOVE },
                { "A", "B", "A'", PLAN_STAGE },
                { "Aw", "A'", "B", PLAN_ADOPT }, /* a write was reported */
                { "Am", "A", "A'", PLAN_ADOPT },
                { "As", "A'", "A", PLAN_ADOPT },
                { "Ay", "A'", "B", PLAN_ADOPT }, /* nobody knows what it was */
                { "An", "A'n", "B", PLAN_ADOPT },
        };
        static const Row unwatched[] = {
                { "A", "A'", "A", PLAN_ADOPT },
                { "A", "A'", "B", PLAN_ADOPT },
                { "A", "-", "A'", PLAN_SAVE },
                { "A", "B", "A'", PLAN_CONFLICT },
                { "Au", "-", "A'", PLAN_REMOVE }, /* which reads it first */
                { "Au", "B", "A'", PLAN_STAGE },
        };

        (void) state;
        assert_rows(watched, ELEMENTSOF(watched));
        assert_rows_in(&(Setting){ .mirror_unwatched = true, .source_unwatched = true }, unwatched,
                       ELEMENTSOF(unwatched));
}

static void what_was_found_out_is_not_asked_again(void **state) {
        static const Row rows[] = {
                { "Am", "A", "A", PLAN_SAVE },
                { "Am", "-", "A", PLAN_SAVE },
                { "Am", "A!", "A", PLAN_ADOPT },
                { "Am", "B", "A", PLAN_CONFLICT },
                { "Am", "A", "A!", PLAN_ADOPT },  /* that was another object */
                { "Am", "A", "B", PLAN_SAVE },
                { "As", "A", "A", PLAN_STAGE },
                { "As", "A", "-", PLAN_STAGE },
                { "As", "-", "A", PLAN_REMOVE },
                { "As", "A", "B", PLAN_CONFLICT },
                { "As", "A!", "A", PLAN_ADOPT },
                { "Ams", "A", "A", PLAN_ADOPT },  /* the two may have the same bytes */
                { "rAe", "A", "A", PLAN_CONFLICT },
                { "rAe", "A", "A!", PLAN_ADOPT },
                { "rAe", "A'", "A", PLAN_ADOPT },
                { "rAe", "A", "-", PLAN_STAGE },
                { "rAe", "-", "A", PLAN_SAVE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void what_was_reported_to_be_written_is_compared(void **state) {
        static const Row rows[] = {
                { "Aw", "A", "A", PLAN_ADOPT },
                { "Aw", "A", "-", PLAN_STAGE },
                { "Aw", "A", "B", PLAN_ADOPT },
                { "Aw", "-", "A", PLAN_REMOVE },
                { "Au", "A", "A", PLAN_KEEP },   /* read in the background, and before it goes */
                { "Au", "A", "B", PLAN_SAVE },
                { "Au", "B", "A", PLAN_STAGE },
                { "Au", "-", "A", PLAN_REMOVE },
                { "Au", "A!", "A", PLAN_ADOPT },
                { "Au", "-", "A!", PLAN_SAVE },
                { "Auq", "A", "A", PLAN_ADOPT }, /* there is no digest to prove it by */
                { "Auq", "-", "A", PLAN_SAVE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void what_was_seen_too_soon_is_seen_again(void **state) {
        static const Row rows[] = {
                { "Ay", "Ay", "A", PLAN_KEEP },
                { "Ay", "A", "A", PLAN_ADOPT },
                { "Ay", "A", "B", PLAN_ADOPT },
                { "Ay", "A", "-", PLAN_STAGE },
                { "Ay", "-", "A", PLAN_REMOVE },
                { "A", "Ay", "A", PLAN_KEEP },
        };
        Case c;

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
        assert_int_equal(decide_in(&(Setting){ .deleted = true }, "Ay", "A", "-"), PLAN_DELETE); /* to the trash */
        assert_int_equal(decide_in(&(Setting){ .deleted = true }, "Ay", "A'", "-"), PLAN_STAGE);
        case_init(&c);
        case_put(&c, "kept", "Ay", "Ay", "A");
        case_put(&c, "staged", "-", "Ay", "-");
        case_put(&c, "adopted", "-", "Ay", "A");
        case_put(&c, "saved", "-", "-", "A");
        case_plan(&c);
        assert_int_equal(c.plan->n_racy, 3);
        case_done(&c);
}

static void without_stable_inodes_size_and_times_stand_in(void **state) {
        static const Row rows[] = {
                { "An", "An", "A", PLAN_KEEP },
                { "An", "A'n", "A", PLAN_ADOPT },
                { "An", "Tn", "A", PLAN_ADOPT },
                { "An", "Bn", "A", PLAN_STAGE },
                { "An", "An", "B", PLAN_SAVE },
                { "An", "A", "A", PLAN_ADOPT }, /* another filesystem is in its place */
                { "A", "An", "A", PLAN_ADOPT },
        };
        static const Row seen_to_go[] = {
                { "An", "An", "-", PLAN_DELETE },
                { "An", "A'n", "-", PLAN_STAGE },
                { "An", "Tn", "-", PLAN_STAGE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
        assert_rows_in(&(Setting){ .deleted = true }, seen_to_go, ELEMENTSOF(seen_to_go));
}

static void records_of_the_first_format_name_no_object(void **state) {
        static const Row rows[] = {
                { "rA1", "A", "-", PLAN_STAGE },
                { "rA1", "A", "A", PLAN_ADOPT },
                { "rA1", "-", "A", PLAN_SAVE },
                { "A1", "A", "A", PLAN_ADOPT },
                { "A1", "A", "-", PLAN_STAGE },
                { "A1", "A", "B", PLAN_ADOPT },
        };

        (void) state;
        assert_rows_in(&(Setting){ .deleted = true }, rows, ELEMENTSOF(rows));
}

static void files_whose_place_is_taken_by_a_link_to_the_disk(void **state) {
        static const Row rows[] = {
                { "kA", "A", "D", PLAN_STAGE },  /* perhaps it fits by now; fit_plan() keeps the link if not */
                { "kA", "B", "D", PLAN_STAGE },
                { "kA", "A!", "D", PLAN_STAGE },
                { "kA", "-", "D", PLAN_REMOVE },
                { "kA", "A", "-", PLAN_STAGE },
                { "kA", "-", "-", PLAN_FORGET },
                { "kA", "A", "A", PLAN_SAVE },   /* a client put a file where our link was */
                { "kA", "A", "lA", PLAN_SAVE },
                { "kA", "-", "B", PLAN_SAVE },
                { "kA", "B", "C", PLAN_CONFLICT },
                { "kA", "B", "B", PLAN_ADOPT },
                { "kA", "A!", "A", PLAN_ADOPT },
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
                { "lA", "-", "lA!", PLAN_SAVE },  /* a client's own */
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
                { "-", "hA", "A", PLAN_ADOPT },  /* first the bytes; then it is tied to its first name */
                { "-", "A", "hA", PLAN_ADOPT },
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
                { "hA", "hA", "A!", PLAN_ADOPT }, /* untied in the mirror */
                { "hA", "hB", "A!", PLAN_CONFLICT },
                { "hA", "-", "hA", PLAN_REMOVE },
                { "hA", "hA", "-", PLAN_STAGE },
        };

        (void) state;
        assert_rows(rows, ELEMENTSOF(rows));
}

static void a_link_to_the_disk_is_known_by_its_text(void **state) {
        Entry entry = entry_of(IN_MIRROR, "D", "a/b");

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
                { "Au", "A", "A'+", PLAN_SAVEATTR }, /* which compares them */
                { "A", "A'", "A+", PLAN_SAVEATTR },
                { "A", "A!", "A+", PLAN_ADOPT },
                { "A", "A'+", "A", PLAN_SETATTR },  /* as chmod(2) leaves it on the disk */
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
                { "d", "d", "d+", PLAN_SAVEATTR },
                { "d", "d", "d7", PLAN_KEEP },      /* as it is staged, so that we can write to it */
                { "d", "d", "d%", PLAN_KEEP },
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
                { "A", "A", "A'", PLAN_STAGE }, /* that was no write */
                { "A", "A", "A!", PLAN_ADOPT }, /* it is a client's: the bytes decide */
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
                { "A", "A'", "-", PLAN_DELETE },
                { "A", "B", "-", PLAN_STAGE },  /* what the client did not see is not deleted */
                { "A", "A!", "-", PLAN_STAGE },
                { "A", "T", "-", PLAN_STAGE },
                { "Aw", "A", "-", PLAN_STAGE },
                { "As", "A", "-", PLAN_STAGE },
                { "Au", "A", "-", PLAN_DELETE }, /* the mirror's is gone, the disk's is what it was */
                { "Am", "A", "-", PLAN_DELETE },
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
                { "A", "oA!", "A", PLAN_ADOPT },
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
        assert_int_equal(decide_in(&part, "A", "-", "A!"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "A", "A!", "B"), PLAN_IGNORE);
        assert_int_equal(decide_in(&part, "-", "A", "A"), PLAN_IGNORE);
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

/* From the design's page, over the letters of the states. */

static const char *const bases[] = { "-",   "A",   "d",    "lA", "hA",  "rA", "rd",  "rlA", "rhA", "kA",  "khA", "Au",
                                     "Auq", "Am",  "As",   "Aw", "Ay",  "A1", "An",  "Ams", "hAu", "hAm", "hAs", "rAe",
                                     "rAy", "rA1", "Aumw", "kAw", "Asy" };
static const char *const sources[] = { "-",  "A",  "A!",  "A'",  "A+",  "A%", "A'+", "Ay",  "An",  "A'n", "T",
                                       "B",  "d",  "d+",  "lA",  "lB",  "hA", "hA'", "hA!", "hB",  "oA",  "oA+",
                                       "oT", "oB", "ohA", "xA",  "xA%", "xA'", "xB", "xhA" };
static const char *const mirrors[] = { "-",  "A",  "A!", "A'",  "A+",  "A%", "A'+", "A!+", "T",   "B",  "C", "d",
                                       "d!", "d+", "d%", "lA",  "lA'", "lA!", "lA+", "lB", "hA", "hA'", "hA!", "hA+",
                                       "hB", "D" };

/* How a side stands to the base: the design's A is SAME or TOUCHED, its A' is POSSIBLE until the bytes were read, and
 * its B is POSSIBLE or NEW. */
typedef enum View { GONE, SAME, TOUCHED, POSSIBLE, NEW } View;

static bool has(const char *state, char letter) {
        return strchr(state, letter);
}

static const char *without_prefix(const char *state) {
        return state + (strchr("rkox", *state) != NULL);
}

static char kind_of(const char *state) {
        char c = *without_prefix(state);

        return c == 'd' || c == 'D' || c == 'l' || c == '-' ? c : 'f';
}

/* Of a file the letter, of a link its text. */
static char content_of(const char *state) {
        const char *c = without_prefix(state);

        return *c == 'h' || *c == 'l' ? c[1] : *c;
}

static char size_of(const char *state) {
        return content_of(state) == 'T' ? 'A' : content_of(state);
}

/* They may have the same bytes, text or nature. */
static bool are_alike(const char *a, const char *b) {
        return kind_of(a) == kind_of(b) &&
               (kind_of(a) == 'f' ? size_of(a) == size_of(b) : content_of(a) == content_of(b));
}

static View view_of_disk(const Setting *setting, const char *base, const char *source) {
        bool same_time = content_of(base) == content_of(source), places_agree = has(base, 'n') == has(source, 'n');

        if (*source == '-')
                return GONE;
        if (*base == '-')
                return POSSIBLE;
        if (!are_alike(base, source))
                return NEW;
        if (kind_of(base) != 'f')
                return SAME;
        if (!same_time || !places_agree || has(source, '!') || has(base, '1') || has(base, 'w'))
                return POSSIBLE;
        if (has(source, '\''))
                return setting->source_unwatched || has(base, 's') || has(base, 'y') || has(base, 'n') ? POSSIBLE
                                                                                                      : TOUCHED;
        if (has(base, 'y') && !has(source, 'y'))
                return POSSIBLE;
        return has(base, 's') ? NEW : SAME;
}

/* It was seen too soon after its last change, which is all that is unsure about it. */
static bool is_only_racy(const char *base, const char *source) {
        return has(base, 'y') && kind_of(base) == 'f' && kind_of(source) == 'f' && are_alike(base, source) &&
               content_of(base) == content_of(source) && !strpbrk(source, "!'n") &&
               !has(base, 's');
}

static View view_of_mirror(const Setting *setting, const char *base, const char *mirror) {
        if (*mirror == '-')
                return GONE;
        if (*base == '-' || *base == 'r')
                return POSSIBLE;
        if (*base == 'k')
                return *mirror == 'D' ? SAME : NEW;
        if (!are_alike(base, mirror))
                return NEW;
        if (kind_of(base) != 'f')
                return SAME;
        if (content_of(base) != content_of(mirror))
                return NEW; /* its time says that it was written to */
        if (has(mirror, '!'))
                return POSSIBLE;
        if (has(base, 'm'))
                return has(mirror, '\'') ? POSSIBLE : NEW;
        if (has(base, 'u'))
                return has(base, 'q') ? POSSIBLE : SAME;
        return !has(mirror, '\'') ? SAME : setting->mirror_unwatched ? POSSIBLE : TOUCHED;
}

static bool client_gave_attributes(const Setting *setting, const char *mirror) {
        if (kind_of(mirror) == 'd')
                return setting->armed && (has(mirror, '+') || (setting->keeps_owners && has(mirror, '%')));
        return kind_of(mirror) == 'f' && (has(mirror, '+') || (setting->keeps_owners && has(mirror, '%')));
}

/* Both have what the base has. */
static PlanAction model_same(const Setting *setting, const char *base, const char *source, const char *mirror,
                             bool touched) {
        bool tied_alike = kind_of(source) != 'f' || has(source, 'h') == has(mirror, 'h');
        bool disk_gave_attributes = kind_of(source) != 'l' && (has(source, '+') || has(source, '%'));
        bool made_again = kind_of(source) != 'f' && has(mirror, '!');

        if (*base == 'k')
                return PLAN_STAGE; /* if it fits by now */
        if (client_gave_attributes(setting, mirror) && !disk_gave_attributes && tied_alike)
                return PLAN_SAVEATTR;
        if (!tied_alike)
                return PLAN_STAGE;
        return disk_gave_attributes ? PLAN_SETATTR : touched || made_again ? PLAN_ADOPT : PLAN_KEEP;
}

/* Neither has it for sure. */
static PlanAction model_between(const char *base, const char *source, const char *mirror) {
        bool as_compared = has(base, 'e') && kind_of(source) == 'f' && content_of(source) == content_of(base) &&
                           content_of(mirror) == content_of(base) && !strpbrk(source, "!'n") && !strpbrk(mirror, "!'");

        return are_alike(source, mirror) && !as_compared ? PLAN_ADOPT : PLAN_CONFLICT;
}

/* The action if everything is wanted in RAM. */
static PlanAction model_wanted(const Setting *setting, const char *base, const char *source, const char *mirror) {
        View s = view_of_disk(setting, base, source), m = view_of_mirror(setting, base, mirror);
        bool agreed = *base != '-' && *base != 'r';
        bool s_known = s == SAME || s == TOUCHED, m_known = m == SAME || m == TOUCHED;

        if (s == GONE && m == GONE)
                return PLAN_FORGET;
        if (m == GONE)
                return agreed && setting->deleted && (s_known || is_only_racy(base, source)) ? PLAN_DELETE : PLAN_STAGE;
        if (s == GONE) /* only what was put there goes; of the same text, a link of a client's own is another one */
                return agreed && m_known && !(*base == 'l' && has(mirror, '!')) ? PLAN_REMOVE : PLAN_SAVE;
        if (!agreed)
                return kind_of(source) == 'f' && *mirror == 'D' ? PLAN_STAGE : model_between(base, source, mirror);
        if (s_known)
                return m_known ? model_same(setting, base, source, mirror, s == TOUCHED || m == TOUCHED)
                               : m == POSSIBLE ? PLAN_ADOPT : PLAN_SAVE;
        if (s == POSSIBLE)
                return *base == 'k' && m == SAME ? PLAN_STAGE : PLAN_ADOPT;
        return m_known ? PLAN_STAGE : model_between(base, source, mirror);
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

static void assert_combinations(const Setting *setting) {
        for (size_t b = 0; b < ELEMENTSOF(bases); b++)
                for (size_t s = 0; s < ELEMENTSOF(sources); s++)
                        for (size_t m = 0; m < ELEMENTSOF(mirrors); m++) {
                                Row row = { bases[b], sources[s], mirrors[m], 0 };

                                if (*row.base == '-' && *row.source == '-' && *row.mirror == '-')
                                        continue;
                                row.action = model(setting, row.base, row.source, row.mirror);
                                assert_rows_in(setting, &row, 1);
                        }
}

static void every_combination_is_decided_as_the_rules_say(void **state) {
        (void) state;
        for (unsigned known = 0; known < 32; known++)
                assert_combinations(&(Setting){ .keeps_owners = known & 1, .armed = known & 2, .deleted = known & 4,
                                                .mirror_unwatched = known & 8, .source_unwatched = known & 16 });
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
        put(c.previous, ON_DISK, previous, "it");
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
        assert_int_equal(decide_after("By", "-", "By", "-"), PLAN_WAIT); /* its times prove nothing yet */
        assert_int_equal(decide_after("By", "-", "B", "-"), PLAN_STAGE);
        assert_int_equal(decide_after("A", "A", "A!", "A"), PLAN_WAIT);
        assert_int_equal(decide_after("A!", "A", "A!", "A"), PLAN_ADOPT);
        assert_int_equal(decide_after("-", "-", "A", "A"), PLAN_WAIT); /* on the disk it is new */
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
        case_put(&c, "link", "khA", "hA", "D");
        case_put(&c, "more", "-", "hA", "-");
        c.previous = make();
        put(c.previous, ON_DISK, "B", "lead");
        put(c.previous, ON_DISK, "hA", "more");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_WAIT);
        assert_action(&c, "link", PLAN_WAIT);
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

        case_init(&c); /* what may be a client's is compared first */
        case_put(&c, "lead", "A", "B", "A");
        case_put(&c, "more", "hA", "hA!", "T");
        case_put(&c, "own", "hA", "hA", "A!");
        case_plan(&c);
        assert_action(&c, "lead", PLAN_STAGE);
        assert_action(&c, "more", PLAN_ADOPT);
        assert_action(&c, "own", PLAN_ADOPT);
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
        put(base, IN_BASE, "d", "dir");
        put(base, IN_BASE, "d", "dir/sub");
        put(base, IN_BASE, "A", "dir/sub/x");
        put(base, IN_BASE, "rA", "dir/record");
        put(base, IN_BASE, "kA", "e");
        manifest_sort(base);
        assert_removal(base, NULL, order, ELEMENTSOF(order));
        assert_removal(base, extra, order, ELEMENTSOF(order));
        put(extra, IN_MIRROR, "A", "dir/new");
        put(extra, IN_MIRROR, "A", "dir/sub/y.part");
        manifest_sort(extra);
        assert_removal(base, extra, more, ELEMENTSOF(more));
        manifest_free(base);
        manifest_free(extra);
}

static void of_a_path_in_both_lists_what_stands_there_is_removed(void **state) {
        Manifest *base = make(), *extra = make();
        Plan *plan = NULL;

        (void) state;
        put(base, IN_BASE, "A", "a");
        put(base, IN_BASE, "A", "b");
        put(extra, IN_MIRROR, "B!", "a");
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
        Entry entry = entry_of(ON_DISK, accepted, "file");
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
                { "A", "A!", "A", "A", PLAN_ADOPT }, { "rA", "B", "-", "A", PLAN_STAGE },
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

/* --- churn of trees --- */

/* In path order some of them stand between a directory and what is in it. */
static const char *const tree[] = { "a", "a b", "a/c", "a/c-d", "a/c/e", "a/c/f.part", "a/g", "h", "h/i" };

static bool stands_in(const char *path, const char *directory) {
        size_t n = strlen(directory);

        return strncmp(path, directory, n) == 0 && path[n] == '/';
}

/* A list in which nothing stands in what is not a directory. */
static void put_tree(Manifest *list, Side side, const char *const *states, size_t n_states, uint64_t *seed) {
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
                        put(list, side, state, tree[i]);
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
                put_tree(c.base, IN_BASE, base, ELEMENTSOF(base), &seed);
                put_tree(c.source, ON_DISK, source, ELEMENTSOF(source), &seed);
                put_tree(c.mirror, IN_MIRROR, mirror, ELEMENTSOF(mirror), &seed);
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
                cmocka_unit_test(what_was_only_touched_is_the_same_where_every_write_was_reported),
                cmocka_unit_test(what_was_found_out_is_not_asked_again),
                cmocka_unit_test(what_was_reported_to_be_written_is_compared),
                cmocka_unit_test(what_was_seen_too_soon_is_seen_again),
                cmocka_unit_test(without_stable_inodes_size_and_times_stand_in),
                cmocka_unit_test(records_of_the_first_format_name_no_object),
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
                cmocka_unit_test(churn_of_trees_wants_nothing_impossible),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
