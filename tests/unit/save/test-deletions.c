/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which deletions the disk may follow, and when: reports in, plans decided, time passed in by hand. */

#include "ground.h"
#include "save/deletions.h"

#define SECOND USEC_PER_SEC
#define START (100 * SECOND)

/* A mirror's names, all agreed and on disk; what is in the mirror is what has not been removed. */
typedef struct Rig {
        MirrorConfig config;
        LayoutKind layout;
        Manifest *base, *source, *mirror, *marked;
        Deletions deletions;
        Plan *plan;
} Rig;

static int setup(void **state) {
        Rig *rig = calloc(1, sizeof(*rig));

        *state = rig;
        if (!rig)
                return -1;
        rig->layout = LAYOUT_PLAIN;
        rig->config = (MirrorConfig){ .source = (char *) "/disk", .target = (char *) "/mirror",
                                      .mass_delete_limit = { .names = 3, .percent = 25 } };
        return manifest_new(&rig->base) < 0 || manifest_new(&rig->source) < 0 || manifest_new(&rig->mirror) < 0 || manifest_new(&rig->marked) < 0;
}

static int teardown(void **state) {
        Rig *rig = *state;

        plan_free(rig->plan);
        deletions_done(&rig->deletions);
        manifest_free(rig->base);
        manifest_free(rig->source);
        manifest_free(rig->mirror);
        manifest_free(rig->marked);
        free(rig);
        return 0;
}

static void put_entry(Rig *rig, const Entry *entry) {
        Entry base = *entry;

        manifest_entry_set_disk(&base, entry);
        assert_int_equal(manifest_put(rig->base, &base), 0);
        assert_int_equal(manifest_put(rig->source, entry), 0);
        assert_int_equal(manifest_put(rig->mirror, entry), 0);
        manifest_sort(rig->base);
        manifest_sort(rig->source);
        manifest_sort(rig->mirror);
}

static void put(Rig *rig, const char *path) {
        put_entry(rig, &(Entry){ .path = (char *) path, .size = 10, .mtime_nsec = 10, .ctime_nsec = 10, .ino = 1 });
}

static void put_directory(Rig *rig, const char *path) {
        put_entry(rig, &(Entry){ .path = (char *) path, .type = ENTRY_DIRECTORY });
}

static void put_many(Rig *rig, unsigned n) {
        char path[16];

        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(path, sizeof(path), "f%02u", i);
                put(rig, path);
        }
}

static void report(Rig *rig, unsigned flags, const char *path) {
        char *paths[] = { (char *) path, NULL };

        deletions_note(&rig->deletions, &(WatchReport){ .flags = flags, .paths = paths, .n_paths = 1 });
}

static bool is_path(const Entry *entry, void *path) {
        return strcmp(entry->path, path) == 0;
}

static void vanish(Rig *rig, const char *path) {
        manifest_filter(rig->mirror, is_path, (void *) path);
}

/* A client removes it, which is seen. */
static void delete(Rig *rig, const char *path) {
        vanish(rig, path);
        report(rig, WATCH_DIRTY, path);
}

static void delete_some(Rig *rig, unsigned from, unsigned to) {
        char path[16];

        for (unsigned i = from; i < to; i++) {
                (void) snprintf(path, sizeof(path), "f%02u", i);
                delete(rig, path);
        }
}

static void plan(Rig *rig) {
        static char *nothing[] = { NULL };
        PlanInput input = { .base = rig->base, .source = rig->source, .mirror = rig->mirror, .source_path = "/disk", .priority = nothing,
                            .layout = rig->layout, .armed = true, .deleted = deletions_begin(&rig->deletions) };

        rig->plan = plan_free(rig->plan);
        assert_int_equal(plan_new(&input, &rig->plan), 0);
}

static int survey(Rig *rig, uint64_t now) {
        DeletionsInput input = { .config = &rig->config, .layout = rig->layout, .base = rig->base, .now_usec = now };
        int r;

        plan(rig);
        r = deletions_decide(&rig->deletions, &input, rig->plan, rig->marked);
        manifest_sort(rig->marked);
        return r;
}

static PlanAction action_of(const Rig *rig, const char *path) {
        for (size_t i = 0; i < rig->plan->n_items; i++)
                if (strcmp(plan_item_path(&rig->plan->items[i]), path) == 0)
                        return rig->plan->items[i].action;
        fail_msg("'%s' is not in the plan", path);
        return PLAN_KEEP;
}

static size_t count(const Rig *rig, PlanAction action) {
        size_t n = 0;

        for (size_t i = 0; i < rig->plan->n_items; i++)
                n += rig->plan->items[i].action == action;
        return n;
}

/* The disk follows. */
static void carry_out(Rig *rig, const char *path, uint64_t now) {
        manifest_find(rig->base, path)->flags |= ENTRY_RECORD;
        manifest_filter(rig->source, is_path, (void *) path);
        deletions_carried_out(&rig->deletions, path, now);
}

/* --- one --- */

static void a_deletion_waits_until_a_whole_wave_would_have_been_seen(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        delete(rig, "f03");
        assert_int_equal(deletions_due(&rig->deletions, "f03"), 0);
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_DELETE);
        assert_int_equal(count(rig, PLAN_DELETE), 1);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), START + 5 * SECOND);
        assert_int_equal(deletions_due(&rig->deletions, "f04"), 0);
        assert_int_equal(survey(rig, START + 4 * SECOND), 0); /* another scan does not start it again, and needs no second report */
        assert_int_equal(action_of(rig, "f03"), PLAN_DELETE);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), START + 5 * SECOND);
        carry_out(rig, "f03", START + 5 * SECOND);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), 0);
        assert_int_equal(survey(rig, START + 6 * SECOND), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 0);
        assert_null(rig->deletions.held);
}

static void what_came_back_is_not_deleted(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        delete(rig, "f03");
        assert_int_equal(survey(rig, START), 0);
        put(rig, "f03");
        assert_int_equal(survey(rig, START + SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_KEEP);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), 0);
        vanish(rig, "f03"); /* a second time, unseen */
        assert_int_equal(survey(rig, START + 2 * SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_STAGE);
}

static void what_changed_on_disk_meanwhile_is_not_deleted(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        delete(rig, "f03");
        assert_int_equal(survey(rig, START), 0);
        manifest_find(rig->source, "f03")->size = 11;
        assert_int_equal(survey(rig, START + SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_STAGE);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), 0);
}

static void absence_that_was_not_reported_is_no_deletion(void **state) {
        Rig *rig = *state;
        char *paths[] = { (char *) "f02", NULL };

        put_many(rig, 10);
        vanish(rig, "f00");
        vanish(rig, "f01");
        vanish(rig, "f02");
        report(rig, WATCH_DIRTY | WATCH_LOST, "f00"); /* the last words of a mirror that is going */
        deletions_note(&rig->deletions, &(WatchReport){ .flags = WATCH_RESYNC });
        deletions_note(&rig->deletions, &(WatchReport){ .flags = WATCH_DIRTY | WATCH_RESYNC, .paths = paths, .n_paths = 1 });
        deletions_note(&rig->deletions, &(WatchReport){ .flags = WATCH_ARMED });
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 0);
        assert_int_equal(count(rig, PLAN_STAGE), 3);
}

static void a_report_counts_for_one_scan(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        report(rig, WATCH_DIRTY, "f03"); /* something happened to it, but it is there */
        assert_int_equal(survey(rig, START), 0);
        vanish(rig, "f03");
        assert_int_equal(survey(rig, START + SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_STAGE);
}

static void a_report_outlives_a_scan_that_failed(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        delete(rig, "f03");
        plan(rig);
        delete(rig, "f04"); /* during the scan */
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_DELETE);
        assert_int_equal(action_of(rig, "f04"), PLAN_DELETE);
}

static void what_is_reported_during_a_scan_is_for_the_next(void **state) {
        Rig *rig = *state;
        DeletionsInput input = { .config = &rig->config, .layout = LAYOUT_PLAIN, .base = rig->base, .now_usec = START };

        put_many(rig, 10);
        plan(rig);
        delete(rig, "f03");
        assert_int_equal(deletions_decide(&rig->deletions, &input, rig->plan, rig->marked), 0);
        assert_int_equal(survey(rig, START + SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_DELETE);
}

static void a_mirror_that_went_takes_its_deletions_with_it(void **state) {
        Rig *rig = *state;

        put_many(rig, 20);
        delete(rig, "f03");
        assert_int_equal(survey(rig, START), 0);
        delete(rig, "f04");
        plan(rig);
        delete(rig, "f05");
        deletions_forget(&rig->deletions);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), 0);
        assert_int_equal(survey(rig, START + SECOND), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 0);
        assert_int_equal(count(rig, PLAN_STAGE), 3);
}

static void carrying_out_what_is_not_pending_does_nothing(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        deletions_carried_out(&rig->deletions, "f03", START);
        delete(rig, "f04");
        assert_int_equal(survey(rig, START), 0);
        deletions_carried_out(&rig->deletions, "f03", START);
        assert_int_equal(rig->deletions.n_recent, 0);
        assert_int_equal(deletions_due(&rig->deletions, "f04"), START + 5 * SECOND);
}

/* --- the guard --- */

static void three_of_a_few_are_let_through_and_four_are_not(void **state) {
        Rig *rig = *state;

        put_many(rig, 8);
        delete_some(rig, 0, 3);
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 3);
        delete(rig, "f03");
        assert_int_equal(survey(rig, START + SECOND), 1);
        assert_int_equal(count(rig, PLAN_DELETE), 0);
        assert_int_equal(count(rig, PLAN_STAGE), 4); /* all of the wave, not only the one too many */
        assert_int_equal(rig->plan->n_stage, 4);     /* and they are counted as such */
        assert_int_equal(rig->deletions.n_held, 4);
        assert_non_null(strstr(rig->deletions.held, "4 of the 8 files in '/mirror'"));
        assert_non_null(strstr(rig->deletions.held, "'f00'"));
        assert_non_null(strstr(rig->deletions.held, "'/disk'"));
        assert_int_equal(rig->deletions.n_pending, 0);
        assert_int_equal(survey(rig, START + 2 * SECOND), 0); /* nothing of it is left: absent without a report */
        assert_int_equal(count(rig, PLAN_STAGE), 4);
        assert_non_null(rig->deletions.held); /* until it is acknowledged */
        deletions_acknowledge(&rig->deletions);
        assert_null(rig->deletions.held);
        assert_int_equal(rig->deletions.n_held, 0);
}

static void accept(Rig *rig, const char *a, const char *b) {
        DeletionsInput input = { .config = &rig->config, .layout = rig->layout };
        PathSet paths = {};

        assert_int_equal(a ? pathset_add(&paths, a) : 0, 0);
        assert_int_equal(b ? pathset_add(&paths, b) : 0, 0);
        deletions_accept(&rig->deletions, &input, &paths);
        pathset_done(&paths);
}

static void what_was_accepted_is_not_held_any_more(void **state) {
        Rig *rig = *state;

        put_many(rig, 8);
        delete_some(rig, 0, 4);
        accept(rig, "f00", NULL); /* nothing is held back yet */
        assert_int_equal(survey(rig, START), 1);
        accept(rig, NULL, NULL);
        assert_int_equal(rig->deletions.n_held, 4);
        accept(rig, "f01", "f03");
        assert_int_equal(rig->deletions.n_held, 2);
        assert_non_null(rig->deletions.held);
        accept(rig, "f02", "f05"); /* which is not of the wave */
        assert_int_equal(rig->deletions.n_held, 1);
        accept(rig, "f00", NULL);
        assert_int_equal(rig->deletions.n_held, 0);
        assert_null(rig->deletions.held);
        assert_null(rig->deletions.wave);
}

static void a_quarter_of_many_is_let_through_and_more_is_not(void **state) {
        Rig *rig = *state;

        put_many(rig, 40);
        delete_some(rig, 0, 10);
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 10);
        delete(rig, "f10");
        assert_int_equal(survey(rig, START + SECOND), 1);
        assert_int_equal(count(rig, PLAN_STAGE), 11);
}

static void what_was_carried_out_a_moment_ago_is_of_the_wave(void **state) {
        Rig *rig = *state;

        put_many(rig, 8);
        delete_some(rig, 0, 3);
        assert_int_equal(survey(rig, START), 0);
        for (unsigned i = 0; i < 3; i++)
                carry_out(rig, rig->deletions.pending[i].path, START + 5 * SECOND);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(deletions_due(&rig->deletions, rig->deletions.pending[i].path), 0);
        deletions_carried_out(&rig->deletions, rig->deletions.pending[0].path, START + 5 * SECOND); /* not again */
        delete(rig, "f05");
        assert_int_equal(survey(rig, START + 6 * SECOND), 1);
        assert_int_equal(action_of(rig, "f05"), PLAN_STAGE);
        assert_non_null(strstr(rig->deletions.held, "4 of the 8 files"));
}

static void deletions_that_take_their_time_are_no_wave(void **state) {
        Rig *rig = *state;
        uint64_t now = START;
        char path[16];

        put_many(rig, 20);
        for (unsigned i = 0; i < 19; i++, now += 20 * SECOND) {
                (void) snprintf(path, sizeof(path), "f%02u", i);
                delete(rig, path);
                assert_int_equal(survey(rig, now), 0);
                assert_int_equal(action_of(rig, path), PLAN_DELETE);
                carry_out(rig, path, now + 5 * SECOND);
        }
        assert_null(rig->deletions.held);
}

static void pending_ones_grow_old_too(void **state) {
        Rig *rig = *state;

        put_many(rig, 8);
        delete_some(rig, 0, 3);
        assert_int_equal(survey(rig, START), 0);
        delete(rig, "f03");
        assert_int_equal(survey(rig, START + 10 * SECOND), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 4);
        assert_int_equal(deletions_due(&rig->deletions, "f03"), START + 15 * SECOND);
}

static void all_there_is_is_held_back_but_one_name_alone_may_go(void **state) {
        Rig *rig = *state;

        put_many(rig, 2);
        delete_some(rig, 0, 2);
        assert_int_equal(survey(rig, START), 1);
        assert_int_equal(count(rig, PLAN_STAGE), 2);
        put(rig, "f00");
        put(rig, "f01");
        manifest_find(rig->base, "f01")->flags |= ENTRY_RECORD;
        manifest_filter(rig->source, is_path, (void *) "f01");
        vanish(rig, "f01");
        delete(rig, "f00");
        assert_int_equal(survey(rig, START + 30 * SECOND), 0);
        assert_int_equal(action_of(rig, "f00"), PLAN_DELETE);
}

static void the_last_of_all_is_held_back_with_those_before(void **state) {
        Rig *rig = *state;

        put_many(rig, 2);
        delete(rig, "f00");
        assert_int_equal(survey(rig, START), 0);
        carry_out(rig, "f00", START + 5 * SECOND);
        delete(rig, "f01");
        assert_int_equal(survey(rig, START + 6 * SECOND), 1);
        assert_int_equal(action_of(rig, "f01"), PLAN_STAGE);
}

static void the_guard_can_be_set_and_taken_off(void **state) {
        Rig *rig = *state;

        put_many(rig, 20);
        rig->config.mass_delete_limit = (DeleteLimit){ .names = 10, .percent = 50 };
        delete_some(rig, 0, 10);
        assert_int_equal(survey(rig, START), 0);
        rig->config.mass_delete_limit = (DeleteLimit){ .names = 0, .percent = 0 };
        assert_int_equal(survey(rig, START + SECOND), 1);
        delete_some(rig, 0, 20);
        rig->config.mass_delete_limit = (DeleteLimit){ .off = true };
        assert_int_equal(survey(rig, START + 2 * SECOND), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 20);
}

static void directories_are_not_counted(void **state) {
        Rig *rig = *state;
        char path[16];

        put_many(rig, 10);
        for (unsigned i = 0; i < 10; i++) {
                (void) snprintf(path, sizeof(path), "d%u", i);
                put_directory(rig, path);
                delete(rig, path);
        }
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 10);
}

static void what_is_in_a_directory_is_counted(void **state) {
        Rig *rig = *state;

        put_many(rig, 10);
        put_directory(rig, "dir");
        put(rig, "dir/a");
        put(rig, "dir/b");
        put(rig, "dir/c");
        put(rig, "dir/d");
        vanish(rig, "dir/a");
        vanish(rig, "dir/b");
        vanish(rig, "dir/c");
        vanish(rig, "dir/d");
        delete(rig, "dir"); /* with "rm -r", or moved away: one report may stand for all */
        assert_int_equal(survey(rig, START), 1);
        assert_int_equal(action_of(rig, "dir"), PLAN_STAGE);
        assert_int_equal(action_of(rig, "dir/a"), PLAN_STAGE);
        assert_non_null(strstr(rig->deletions.held, "4 of the 14 files"));
        assert_non_null(strstr(rig->deletions.held, "'dir/a'")); /* of what is counted */
}

static void records_are_no_names(void **state) {
        Rig *rig = *state;

        put_many(rig, 40);
        for (size_t i = 10; i < 40; i++)
                rig->base->entries[i].flags |= ENTRY_RECORD;
        delete_some(rig, 0, 4);
        assert_int_equal(survey(rig, START), 1); /* four of ten */
}

/* What was a link before is one again: it was never chosen, or had no room. */
static void what_is_held_back_comes_back_as_it_was(void **state) {
        Rig *rig = *state;

        put_many(rig, 4);
        manifest_find(rig->base, "f00")->flags |= ENTRY_LINKED;
        manifest_find(rig->base, "f01")->flags |= ENTRY_LINKED;
        manifest_find(rig->source, "f01")->flags |= ENTRY_ORPHAN;
        manifest_find(rig->source, "f02")->flags |= ENTRY_DISK_ONLY;
        delete_some(rig, 0, 4);
        assert_int_equal(survey(rig, START), 1);
        assert_int_equal(action_of(rig, "f00"), PLAN_LINK);
        assert_int_equal(action_of(rig, "f01"), PLAN_LINK);
        assert_int_equal(action_of(rig, "f02"), PLAN_LINK);
        assert_int_equal(action_of(rig, "f03"), PLAN_STAGE);
        assert_int_equal(rig->plan->stage_bytes, 10);
}

/* --- what the disk keeps --- */

static void what_is_to_be_kept_stays_on_disk_and_out_of_the_mirror(void **state) {
        Rig *rig = *state;

        put_many(rig, 20);
        rig->config.deletes = DELETES_KEEP;
        delete(rig, "f03");
        for (unsigned i = 0; i < 10; i++) {
                assert_int_equal(survey(rig, START + i * 5 * SECOND), 0);
                assert_int_equal(action_of(rig, "f03"), PLAN_IGNORE);
        }
        delete(rig, "f04");
        assert_int_equal(survey(rig, START + 60 * SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_IGNORE);
        assert_int_equal(action_of(rig, "f04"), PLAN_IGNORE);
        deletions_forget(&rig->deletions); /* what is kept was decided long ago */
        assert_int_equal(survey(rig, START + 65 * SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_IGNORE);
        put(rig, "f03"); /* a client brings it back */
        assert_int_equal(survey(rig, START + 70 * SECOND), 0);
        assert_int_equal(action_of(rig, "f03"), PLAN_KEEP);
}

static void a_wipe_is_held_back_even_if_the_disk_is_to_keep_everything(void **state) {
        Rig *rig = *state;

        put_many(rig, 4);
        rig->config.deletes = DELETES_KEEP;
        delete_some(rig, 0, 2); /* it is seen in two parts */
        assert_int_equal(survey(rig, START), 0);
        delete_some(rig, 2, 4);
        assert_int_equal(survey(rig, START + SECOND), 1);
        assert_int_equal(count(rig, PLAN_STAGE), 4);
}

#define BLOB_A "blobs/sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BLOB_B "blobs/sha256-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define NAMES "manifests/registry/library"

static void put_store(Rig *rig) {
        static const char *const manifests[] = { NAMES "/a/latest", NAMES "/b/latest", NAMES "/c/latest", NAMES "/d/latest" };

        rig->layout = LAYOUT_OLLAMA;
        put_directory(rig, "blobs");
        put_directory(rig, "manifests");
        put_directory(rig, NAMES);
        for (size_t i = 0; i < ELEMENTSOF(manifests); i++)
                put(rig, manifests[i]);
        put(rig, BLOB_A);
        put(rig, BLOB_B);
}

static void shared_content_is_marked_and_not_deleted(void **state) {
        Rig *rig = *state;
        Entry *entry;

        put_store(rig);
        entry = manifest_find(rig->base, BLOB_A);
        entry->flags |= ENTRY_HAS_DIGEST;
        entry->digest.bytes[0] = 7;
        manifest_find(rig->source, BLOB_A)->flags |= ENTRY_ORPHAN; /* with its manifest gone */
        delete(rig, NAMES "/a/latest");
        delete(rig, BLOB_A);
        delete(rig, BLOB_B); /* which another model needs */
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(action_of(rig, NAMES "/a/latest"), PLAN_DELETE);
        assert_int_equal(action_of(rig, BLOB_A), PLAN_IGNORE);
        assert_int_equal(action_of(rig, BLOB_B), PLAN_STAGE);
        assert_int_equal(rig->marked->n_entries, 1);
        entry = &rig->marked->entries[0];
        assert_string_equal(entry->path, BLOB_A);
        assert_int_equal(entry->flags, ENTRY_HAS_DIGEST | ENTRY_RECORD | ENTRY_CONDEMNED);
        assert_int_equal(entry->digest.bytes[0], 7); /* what is known of it is not forgotten */
}

/* The manifest that a client has written instead, which does not name it, is not on disk yet. */
static void shared_content_does_not_come_back_while_a_pointer_is_on_its_way(void **state) {
        Rig *rig = *state;

        put_store(rig);
        delete(rig, BLOB_A);
        vanish(rig, BLOB_B); /* nobody has seen that */
        for (unsigned scan = 0; scan < 2; scan++) {
                plan(rig);
                assert_int_equal(action_of(rig, BLOB_A), PLAN_STAGE);
                assert_int_equal(deletions_hold_shared(&rig->deletions, rig->layout, rig->plan), 1);
                assert_int_equal(action_of(rig, BLOB_A), PLAN_IGNORE);
                assert_int_equal(action_of(rig, BLOB_B), PLAN_STAGE);
        }
        manifest_find(rig->source, BLOB_A)->flags |= ENTRY_ORPHAN; /* now it is */
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(rig->marked->n_entries, 1);
        assert_string_equal(rig->marked->entries[0].path, BLOB_A);
}

/* It has another name in the mirror, which is not saved because it looks unfinished. */
static void what_was_renamed_to_an_unfinished_name_is_not_deleted(void **state) {
        Rig *rig = *state;
        Entry part;

        put_many(rig, 4);
        manifest_find(rig->mirror, "f01")->ino = manifest_find(rig->base, "f01")->ino = 4711;
        part = *manifest_find(rig->mirror, "f01");
        part.path = (char *) "f01.part";
        assert_int_equal(manifest_put(rig->mirror, &part), 0);
        delete(rig, "f01");
        delete(rig, "f02");
        manifest_sort(rig->mirror);
        for (unsigned scan = 0; scan < 2; scan++) {
                plan(rig);
                assert_int_equal(action_of(rig, "f01"), PLAN_DELETE);
                assert_int_equal(deletions_hold_moved(&rig->deletions, rig->plan), 1);
                assert_int_equal(action_of(rig, "f01"), PLAN_IGNORE);
                assert_int_equal(action_of(rig, "f02"), PLAN_DELETE);
        }
        vanish(rig, "f01.part");
        plan(rig);
        assert_int_equal(deletions_hold_moved(&rig->deletions, rig->plan), 0);
        assert_int_equal(action_of(rig, "f01"), PLAN_DELETE);
}

static void what_is_marked_stays_away(void **state) {
        Rig *rig = *state;

        put_store(rig);
        manifest_find(rig->source, BLOB_A)->flags |= ENTRY_ORPHAN;
        delete(rig, BLOB_A);
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(manifest_put(rig->base, &rig->marked->entries[0]), 0);
        manifest_sort(rig->base);
        assert_int_equal(survey(rig, START + SECOND), 0);
        assert_int_equal(action_of(rig, BLOB_A), PLAN_IGNORE);
        assert_int_equal(rig->marked->n_entries, 1);
        manifest_find(rig->source, BLOB_A)->flags = 0; /* a model that was pulled meanwhile has it too */
        assert_int_equal(survey(rig, START + 2 * SECOND), 0);
        assert_int_equal(action_of(rig, BLOB_A), PLAN_STAGE);
}

static void a_directory_with_marked_content_is_not_deleted(void **state) {
        Rig *rig = *state;

        put_store(rig);
        manifest_find(rig->source, BLOB_A)->flags |= ENTRY_ORPHAN;
        manifest_find(rig->source, BLOB_B)->flags |= ENTRY_ORPHAN;
        vanish(rig, BLOB_A);
        vanish(rig, BLOB_B);
        delete(rig, "blobs");
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(rig->marked->n_entries, 2);
        assert_int_equal(action_of(rig, "blobs"), PLAN_IGNORE); /* on disk it is not empty */
}

static void where_content_is_shared_names_are_counted_and_not_blobs(void **state) {
        Rig *rig = *state;

        put_store(rig);
        for (size_t i = 0; i < rig->source->n_entries; i++)
                if (strncmp(rig->source->entries[i].path, "blobs/", 6) == 0)
                        rig->source->entries[i].flags |= ENTRY_ORPHAN;
        delete(rig, NAMES "/a/latest");
        delete(rig, NAMES "/b/latest");
        delete(rig, NAMES "/c/latest");
        delete(rig, BLOB_A);
        delete(rig, BLOB_B);
        assert_int_equal(survey(rig, START), 0);
        assert_int_equal(count(rig, PLAN_DELETE), 3);
        delete(rig, NAMES "/d/latest");
        assert_int_equal(survey(rig, START + SECOND), 1);
        assert_non_null(strstr(rig->deletions.held, "4 of the 4 files"));
        assert_int_equal(count(rig, PLAN_DELETE), 0);
}

static void a_model_that_hangs_by_its_snapshot_is_counted_by_that(void **state) {
        static const char *const repositories[] = { "models--a--x", "models--a--y", "models--a--z", "models--b--x" };
        Rig *rig = *state;

        rig->layout = LAYOUT_HUGGINGFACE;
        for (size_t i = 0; i < ELEMENTSOF(repositories); i++) {
                static const char *const directories[] = { "", "/snapshots", "/snapshots/c0ffee" };
                char path[64];

                for (size_t k = 0; k < ELEMENTSOF(directories); k++) {
                        (void) snprintf(path, sizeof(path), "%s%s", repositories[i], directories[k]);
                        put_directory(rig, path);
                        delete(rig, path);
                }
                (void) snprintf(path, sizeof(path), "%s/snapshots/c0ffee/config.json", repositories[i]);
                put(rig, path);
                delete(rig, path);
        }
        assert_int_equal(survey(rig, START), 1);
        assert_int_equal(rig->deletions.n_held, ELEMENTSOF(repositories));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_deletion_waits_until_a_whole_wave_would_have_been_seen),
                CASE(what_came_back_is_not_deleted),
                CASE(what_changed_on_disk_meanwhile_is_not_deleted),
                CASE(absence_that_was_not_reported_is_no_deletion),
                CASE(a_report_counts_for_one_scan),
                CASE(a_report_outlives_a_scan_that_failed),
                CASE(what_is_reported_during_a_scan_is_for_the_next),
                CASE(a_mirror_that_went_takes_its_deletions_with_it),
                CASE(carrying_out_what_is_not_pending_does_nothing),
                CASE(three_of_a_few_are_let_through_and_four_are_not),
                CASE(what_was_accepted_is_not_held_any_more),
                CASE(a_quarter_of_many_is_let_through_and_more_is_not),
                CASE(what_was_carried_out_a_moment_ago_is_of_the_wave),
                CASE(deletions_that_take_their_time_are_no_wave),
                CASE(pending_ones_grow_old_too),
                CASE(all_there_is_is_held_back_but_one_name_alone_may_go),
                CASE(the_last_of_all_is_held_back_with_those_before),
                CASE(the_guard_can_be_set_and_taken_off),
                CASE(directories_are_not_counted),
                CASE(what_is_in_a_directory_is_counted),
                CASE(records_are_no_names),
                CASE(what_is_held_back_comes_back_as_it_was),
                CASE(what_is_to_be_kept_stays_on_disk_and_out_of_the_mirror),
                CASE(a_wipe_is_held_back_even_if_the_disk_is_to_keep_everything),
                CASE(shared_content_is_marked_and_not_deleted),
                CASE(shared_content_does_not_come_back_while_a_pointer_is_on_its_way),
                CASE(what_was_renamed_to_an_unfinished_name_is_not_deleted),
                CASE(what_is_marked_stays_away),
                CASE(a_directory_with_marked_content_is_not_deleted),
                CASE(where_content_is_shared_names_are_counted_and_not_blobs),
                CASE(a_model_that_hangs_by_its_snapshot_is_counted_by_that),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
