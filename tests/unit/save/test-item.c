/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One thing on its way to the disk: what it remembers of a scan, how long it has to hold still, and what goes before what. */

#include "ground.h"
#include "save/item.h"

#define SETTLE (2 * USEC_PER_SEC)
#define BLOB "blobs/sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SNAPSHOT "models--a--x/snapshots/c0ffee/model.safetensors"

static Entry entry_of(EntryType type, const char *path) {
        return (Entry){ .path = (char *) path, .type = (uint8_t) type, .size = 100, .mtime_nsec = 1000, .ctime_nsec = 1001, .ino = 5, .mode = 0644 };
}

/* An item as a scan would make it. */
static SaveItem *item_for(PlanAction action, const Entry *base, const Entry *source, const Entry *mirror, LayoutKind layout) {
        PlanItem wanted = { .action = action, .base = base, .source = source, .mirror = mirror };
        SaveItem *item = NULL;

        assert_int_equal(save_item_new(&item, &wanted), 0);
        if (item)
                item->role = layout_role(layout, item->path);
        return item;
}

static SaveItem *saved(EntryType type, const char *path, LayoutKind layout) {
        Entry mirror = entry_of(type, path);

        return item_for(PLAN_SAVE, NULL, NULL, &mirror, layout);
}

static SaveItem *deleted(EntryType type, const char *path, LayoutKind layout) {
        Entry source = entry_of(type, path);

        return item_for(PLAN_DELETE, &source, &source, NULL, layout);
}

static void it_owns_what_it_remembers(void **state) {
        char path[] = "dir/name", target[] = "dir/first";
        Entry mirror = entry_of(ENTRY_HARDLINK, path), source = entry_of(ENTRY_FILE, path);
        SaveItem *item;

        (void) state;
        mirror.target = target;
        source.size = 50;
        item = item_for(PLAN_SAVE, &source, &source, &mirror, LAYOUT_PLAIN);
        memset(path, 'x', sizeof(path) - 1);
        memset(target, 'x', sizeof(target) - 1);
        assert_string_equal(item->path, "dir/name");
        assert_string_equal(item->mirror.path, "dir/name");
        assert_string_equal(item->mirror.target, "dir/first");
        assert_int_equal(item->source.size, 50);
        assert_string_equal(item->base.path, "dir/name");
        assert_int_equal(item->state, ITEM_WAITING);
        assert_null(save_item_free(item));
        assert_null(save_item_free(NULL));
}

/* What a link to the disk led to was agreed: the same bytes in its place are not to be written again. */
static void a_record_is_nothing_agreed_but_a_link_to_the_disk_is(void **state) {
        Entry mirror = entry_of(ENTRY_FILE, "a"), record = mirror, link = mirror;
        SaveItem *item;

        (void) state;
        record.flags = ENTRY_RECORD;
        link.flags = ENTRY_LINKED;
        item = item_for(PLAN_SAVE, &record, NULL, &mirror, LAYOUT_PLAIN);
        assert_null(item->base.path);
        save_item_free(item);
        item = item_for(PLAN_SAVE, &link, NULL, &mirror, LAYOUT_PLAIN);
        assert_string_equal(item->base.path, "a");
        save_item_free(item);
}

/* --- is it the same --- */

static bool is_same_after(PlanAction action, const Entry *source, const Entry *mirror) {
        Entry s = entry_of(ENTRY_FILE, "a"), m = entry_of(ENTRY_FILE, "a");
        SaveItem *item = item_for(PLAN_SAVE, NULL, &s, &m, LAYOUT_PLAIN);
        bool same = save_item_is_same(item, &(PlanItem){ .action = action, .source = source, .mirror = mirror });

        save_item_free(item);
        return same;
}

static void what_looks_the_same_keeps_its_age(void **state) {
        Entry a = entry_of(ENTRY_FILE, "a");

        (void) state;
        assert_true(is_same_after(PLAN_SAVE, &a, &a));
        a.flags = ENTRY_DISK_ONLY; /* says nothing about what is there */
        a.room = 4096;
        assert_true(is_same_after(PLAN_SAVE, &a, &a));
}

static void whatever_changed_makes_it_another(void **state) {
        Entry a = entry_of(ENTRY_FILE, "a"), others[10];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                others[i] = a;
        others[0].size++;
        others[1].mtime_nsec++;
        others[2].ctime_nsec++; /* a write that put the time back */
        others[3].ino++;
        others[4].mode = 0600;
        others[5].uid++;
        others[6].gid++;
        others[7].type = ENTRY_DIRECTORY;
        others[8].type = ENTRY_SYMLINK;
        others[9].target = (char *) "elsewhere";
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                assert_false(is_same_after(PLAN_SAVE, &a, &others[i]));
                assert_false(is_same_after(PLAN_SAVE, &others[i], &a)); /* on disk likewise */
        }
        assert_false(is_same_after(PLAN_CONFLICT, &a, &a));
        assert_false(is_same_after(PLAN_SAVE, NULL, &a));
        assert_false(is_same_after(PLAN_SAVE, &a, NULL));
}

static void a_directory_is_the_same_whatever_happens_in_it(void **state) {
        Entry directory = entry_of(ENTRY_DIRECTORY, "dir");
        SaveItem *item = item_for(PLAN_SAVE, NULL, NULL, &directory, LAYOUT_PLAIN);

        (void) state;
        directory.ctime_nsec++;
        assert_true(save_item_is_same(item, &(PlanItem){ .action = PLAN_SAVE, .mirror = &directory }));
        directory.mode = 0700;
        assert_false(save_item_is_same(item, &(PlanItem){ .action = PLAN_SAVE, .mirror = &directory }));
        save_item_free(item);
}

/* --- holding still --- */

static uint64_t settle_usec(SaveItem *item, LayoutKind layout) {
        uint64_t usec = save_item_settle_usec(item, layout, SETTLE);

        save_item_free(item);
        return usec;
}

static void files_hold_still_unless_something_else_says_that_they_are_whole(void **state) {
        Entry entry = entry_of(ENTRY_FILE, "a");

        (void) state;
        assert_int_equal(settle_usec(saved(ENTRY_FILE, "a.gguf", LAYOUT_PLAIN), LAYOUT_PLAIN), SETTLE);
        assert_int_equal(settle_usec(item_for(PLAN_CONFLICT, NULL, &entry, &entry, LAYOUT_PLAIN), LAYOUT_PLAIN), SETTLE);
        assert_int_equal(settle_usec(saved(ENTRY_FILE, "m-00001-of-00002.gguf", LAYOUT_PLAIN), LAYOUT_PLAIN), SETTLE); /* a pointer, but content too */
        assert_int_equal(settle_usec(saved(ENTRY_FILE, "x/blobs/other", LAYOUT_OLLAMA), LAYOUT_OLLAMA), SETTLE);
        assert_int_equal(settle_usec(saved(ENTRY_FILE, SNAPSHOT, LAYOUT_HUGGINGFACE), LAYOUT_HUGGINGFACE), SETTLE);
        /* its name states its digest */
        assert_int_equal(settle_usec(saved(ENTRY_FILE, BLOB, LAYOUT_OLLAMA), LAYOUT_OLLAMA), 0);
        /* it is checked by what it names */
        assert_int_equal(settle_usec(saved(ENTRY_FILE, "manifests/h/n/m/t", LAYOUT_OLLAMA), LAYOUT_OLLAMA), 0);
        assert_int_equal(settle_usec(saved(ENTRY_FILE, "models--a--x/refs/main", LAYOUT_HUGGINGFACE), LAYOUT_HUGGINGFACE), 0);
}

static void what_has_no_bytes_to_write_need_not_hold_still(void **state) {
        Entry entry = entry_of(ENTRY_FILE, "a");

        (void) state;
        assert_int_equal(settle_usec(saved(ENTRY_DIRECTORY, "dir", LAYOUT_PLAIN), LAYOUT_PLAIN), 0);
        assert_int_equal(settle_usec(saved(ENTRY_SYMLINK, "link", LAYOUT_PLAIN), LAYOUT_PLAIN), 0);
        assert_int_equal(settle_usec(saved(ENTRY_HARDLINK, "more", LAYOUT_PLAIN), LAYOUT_PLAIN), 0);
        assert_int_equal(settle_usec(deleted(ENTRY_FILE, "a", LAYOUT_PLAIN), LAYOUT_PLAIN), 0);
        assert_int_equal(settle_usec(item_for(PLAN_SAVEATTR, &entry, &entry, &entry, LAYOUT_PLAIN), LAYOUT_PLAIN), 0);
}

/* --- order --- */

static int compare(const void *a, const void *b) {
        return save_item_compare(*(SaveItem *const *) a, *(SaveItem *const *) b);
}

/* Takes the items, and sees that they come in the order in which they are, from whatever order they are in before. */
static void assert_order(SaveItem **items, size_t n) {
        SaveItem *sorted[16];

        for (size_t turn = 0; turn < n; turn++) {
                for (size_t i = 0; i < n; i++)
                        sorted[i] = items[(n - 1 - i + turn) % n];
                qsort(sorted, n, sizeof(SaveItem *), compare);
                for (size_t i = 0; i < n; i++)
                        assert_string_equal(sorted[i]->path, items[i]->path);
        }
        for (size_t i = 0; i < n; i++)
                save_item_free(items[i]);
}

static void content_goes_before_what_leads_to_it_and_deletions_the_other_way_round(void **state) {
        const LayoutKind hf = LAYOUT_HUGGINGFACE;
        SaveItem *items[] = {
                saved(ENTRY_DIRECTORY, "models--a--x", hf),
                saved(ENTRY_DIRECTORY, "models--a--x/refs", hf),
                saved(ENTRY_DIRECTORY, "models--a--x/snapshots", hf),
                saved(ENTRY_FILE, "models--a--x/blobs/aa", hf),
                saved(ENTRY_FILE, "models--a--x/blobs/bb", hf),
                saved(ENTRY_SYMLINK, SNAPSHOT, hf),
                saved(ENTRY_FILE, "models--a--x/refs/main", hf),
                deleted(ENTRY_FILE, "models--b--y/refs/main", hf),
                deleted(ENTRY_SYMLINK, "models--b--y/snapshots/c0ffee/a", hf),
                deleted(ENTRY_FILE, "models--b--y/README", hf),
                deleted(ENTRY_DIRECTORY, "models--b--y/snapshots/c0ffee", hf),
                deleted(ENTRY_DIRECTORY, "models--b--y/snapshots", hf),
                deleted(ENTRY_DIRECTORY, "models--b--y", hf),
        };

        (void) state;
        assert_order(items, ELEMENTSOF(items));
}

static void ollama_manifests_go_last_and_are_deleted_first(void **state) {
        SaveItem *items[] = {
                saved(ENTRY_DIRECTORY, "manifests/h/n/m", LAYOUT_OLLAMA),
                saved(ENTRY_FILE, BLOB, LAYOUT_OLLAMA),
                saved(ENTRY_FILE, "manifests/h/n/m/t", LAYOUT_OLLAMA),
                deleted(ENTRY_FILE, "manifests/h/n/z/t", LAYOUT_OLLAMA),
                deleted(ENTRY_FILE, "a", LAYOUT_OLLAMA),
                deleted(ENTRY_DIRECTORY, "manifests/h/n/z", LAYOUT_OLLAMA),
        };

        (void) state;
        assert_order(items, ELEMENTSOF(items));
}

static void names_come_after_their_files_and_first_shards_last(void **state) {
        SaveItem *items[] = {
                saved(ENTRY_DIRECTORY, "m", LAYOUT_PLAIN),
                saved(ENTRY_FILE, "m/m-00002-of-00002.gguf", LAYOUT_PLAIN),
                saved(ENTRY_FILE, "z", LAYOUT_PLAIN),
                saved(ENTRY_HARDLINK, "a-more", LAYOUT_PLAIN),
                saved(ENTRY_SYMLINK, "b-link", LAYOUT_PLAIN),
                saved(ENTRY_FILE, "m/m-00001-of-00002.gguf", LAYOUT_PLAIN),
        };

        (void) state;
        assert_order(items, ELEMENTSOF(items));
}

/* --- an attempt --- */

static void each_action_is_its_kind_of_save(void **state) {
        Entry older = entry_of(ENTRY_FILE, "a"), newer = older;
        SaveItem *item;

        (void) state;
        newer.mtime_nsec++;
        item = saved(ENTRY_FILE, "a", LAYOUT_PLAIN);
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        assert_int_equal(item->save.kind, SAVE_CONTENT);
        assert_ptr_equal(item->save.mirror, &item->mirror);
        assert_null(item->save.expected); /* on disk there must be nothing */
        assert_null(item->save.agreed);
        assert_null(item->save.from);
        assert_false(item->save.keep || item->save.anyway);
        save_item_prepare(item, LAYOUT_PLAIN, true, true);
        assert_true(item->save.anyway);
        save_item_free(item);

        item = item_for(PLAN_SAVEATTR, &older, &older, &older, LAYOUT_PLAIN);
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        assert_int_equal(item->save.kind, SAVE_ATTRIBUTES);
        assert_ptr_equal(item->save.expected, &item->source);
        assert_ptr_equal(item->save.agreed, &item->base);
        assert_false(item->save.keep);
        save_item_free(item);

        item = deleted(ENTRY_FILE, "a", LAYOUT_PLAIN);
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        assert_int_equal(item->save.kind, SAVE_REMOVAL);
        assert_null(item->save.mirror);
        assert_ptr_equal(item->save.expected, &item->source);
        assert_true(item->save.trash);
        save_item_prepare(item, LAYOUT_PLAIN, false, false); /* Deletes=propagate */
        assert_false(item->save.trash);
        save_item_free(item);

        item = item_for(PLAN_CONFLICT, NULL, &older, &newer, LAYOUT_PLAIN); /* the mirror's is newer: it takes the name */
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        assert_int_equal(item->save.kind, SAVE_CONTENT);
        assert_true(item->save.keep);
        save_item_free(item);

        for (unsigned same = 0; same < 2; same++) { /* the disk's is newer, or as old */
                item = item_for(PLAN_CONFLICT, NULL, same ? &older : &newer, &older, LAYOUT_PLAIN);
                save_item_prepare(item, LAYOUT_PLAIN, true, false);
                assert_int_equal(item->save.kind, SAVE_BESIDE);
                save_item_free(item);
        }
}

/* Another change may have left the same times. */
static void what_was_seen_too_soon_on_the_disk_is_kept_aside_and_not_removed(void **state) {
        Entry mirror = entry_of(ENTRY_FILE, "a"), source = mirror;
        SaveItem *item;

        (void) state;
        source.flags = ENTRY_RACY;
        item = item_for(PLAN_SAVE, &mirror, &source, &mirror, LAYOUT_PLAIN);
        save_item_prepare(item, LAYOUT_PLAIN, false, false);
        assert_int_equal(item->save.kind, SAVE_CONTENT);
        assert_true(item->save.keep);
        save_item_free(item);
        item = item_for(PLAN_DELETE, &source, &source, NULL, LAYOUT_PLAIN);
        save_item_prepare(item, LAYOUT_PLAIN, false, false); /* Deletes=propagate */
        assert_int_equal(item->save.kind, SAVE_REMOVAL);
        assert_true(item->save.trash);
        save_item_free(item);
        item = item_for(PLAN_DELETE, &source, &mirror, NULL, LAYOUT_PLAIN); /* it was too new when it was agreed */
        save_item_prepare(item, LAYOUT_PLAIN, false, false);
        assert_true(item->save.trash);
        save_item_free(item);
        item = item_for(PLAN_SAVEATTR, &mirror, &source, &mirror, LAYOUT_PLAIN); /* replaces nothing */
        save_item_prepare(item, LAYOUT_PLAIN, false, false);
        assert_false(item->save.keep);
        save_item_free(item);
}

static void what_was_renamed_is_linked_from_its_old_name(void **state) {
        SaveItem *item = saved(ENTRY_FILE, "new", LAYOUT_PLAIN);
        Entry old = entry_of(ENTRY_FILE, "old");

        (void) state;
        assert_int_equal(manifest_entry_copy(&old, &item->origin), 0);
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        assert_int_equal(item->save.kind, SAVE_LINKED);
        assert_string_equal(item->save.from, "old");
        assert_ptr_equal(item->save.from_expected, &item->origin);
        save_item_free(item);
}

static void the_name_of_a_file_states_what_its_bytes_have_to_be(void **state) {
        SaveItem *item = saved(ENTRY_FILE, BLOB, LAYOUT_OLLAMA);

        (void) state;
        save_item_prepare(item, LAYOUT_OLLAMA, true, false);
        assert_int_equal(item->save.claim.kind, CLAIM_SHA256);
        assert_int_equal(item->save.claim.bytes[0], 0xaa);
        save_item_free(item);
        item = saved(ENTRY_FILE, "a", LAYOUT_OLLAMA);
        save_item_prepare(item, LAYOUT_OLLAMA, true, false);
        assert_int_equal(item->save.claim.kind, CLAIM_NONE);
        save_item_free(item);
        item = saved(ENTRY_SYMLINK, BLOB, LAYOUT_OLLAMA); /* a link has no bytes */
        save_item_prepare(item, LAYOUT_OLLAMA, true, false);
        assert_int_equal(item->save.claim.kind, CLAIM_NONE);
        save_item_free(item);
}

static void what_was_left_of_an_attempt_is_gone_with_the_next(void **state) {
        SaveItem *item = saved(ENTRY_FILE, "a", LAYOUT_PLAIN);

        (void) state;
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        item->save.outcome = SAVE_FOLDED;
        item->save.text = strdup("A");
        item->save.kept = strdup("kept");
        item->save.bytes = 7;
        save_item_prepare(item, LAYOUT_PLAIN, true, false);
        assert_null(item->save.text);
        assert_null(item->save.kept);
        assert_int_equal(item->save.bytes, 0);
        item->save.text = strdup("B"); /* which goes with the item */
        save_item_free(item);
}

static void bytes_are_those_that_have_to_move(void **state) {
        Entry entry = entry_of(ENTRY_FILE, "a");
        SaveItem *items[] = {
                saved(ENTRY_FILE, "a", LAYOUT_PLAIN),
                item_for(PLAN_CONFLICT, NULL, &entry, &entry, LAYOUT_PLAIN),
                saved(ENTRY_HARDLINK, "a", LAYOUT_PLAIN),
                saved(ENTRY_DIRECTORY, "a", LAYOUT_PLAIN),
                item_for(PLAN_SAVEATTR, &entry, &entry, &entry, LAYOUT_PLAIN),
                deleted(ENTRY_FILE, "a", LAYOUT_PLAIN),
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(items); i++) {
                assert_int_equal(save_item_bytes(items[i]), i < 2 ? 100 : 0);
                save_item_free(items[i]);
        }
}

static void only_what_is_wrong_in_itself_is_hopeless(void **state) {
        SaveItem *item = saved(ENTRY_FILE, "a", LAYOUT_PLAIN);

        (void) state;
        for (SaveOutcome outcome = SAVE_DONE; outcome <= SAVE_CANCELLED; outcome++) {
                item->save.outcome = outcome;
                assert_int_equal(save_item_is_hopeless(item), outcome == SAVE_BAD || outcome == SAVE_LEADS_OUT);
        }
        save_item_free(item);
}

/* --- what it points to --- */

static SurveyPointer pointer_to(const char *path, const char *missing) {
        SurveyPointer pointer = { .missing = missing ? strdup(missing) : NULL, .broken = missing ? NULL : "it is empty" };

        assert_int_equal(reference_list_add(&pointer.references, strdup(path), 10, false), 0);
        return pointer;
}

static void the_latest_scan_says_what_it_references(void **state) {
        SaveItem *item = saved(ENTRY_FILE, "manifests/h/n/m/t", LAYOUT_OLLAMA);
        SurveyPointer first = pointer_to("blobs/a", "blobs/a"), second = pointer_to("blobs/b", NULL);

        (void) state;
        save_item_take_pointer(item, &first);
        assert_int_equal(item->references.n, 1);
        assert_string_equal(item->references.items[0].path, "blobs/a");
        assert_string_equal(item->missing, "blobs/a");
        assert_null(item->broken);
        assert_null(first.missing); /* it was taken */
        assert_int_equal(first.references.n, 0);
        save_item_take_pointer(item, &second);
        assert_int_equal(item->references.n, 1);
        assert_string_equal(item->references.items[0].path, "blobs/b");
        assert_null(item->missing);
        assert_string_equal(item->broken, "it is empty");
        save_item_free(item);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(it_owns_what_it_remembers),
                cmocka_unit_test(a_record_is_nothing_agreed_but_a_link_to_the_disk_is),
                cmocka_unit_test(what_looks_the_same_keeps_its_age),
                cmocka_unit_test(whatever_changed_makes_it_another),
                cmocka_unit_test(a_directory_is_the_same_whatever_happens_in_it),
                cmocka_unit_test(files_hold_still_unless_something_else_says_that_they_are_whole),
                cmocka_unit_test(what_has_no_bytes_to_write_need_not_hold_still),
                cmocka_unit_test(content_goes_before_what_leads_to_it_and_deletions_the_other_way_round),
                cmocka_unit_test(ollama_manifests_go_last_and_are_deleted_first),
                cmocka_unit_test(names_come_after_their_files_and_first_shards_last),
                cmocka_unit_test(what_was_seen_too_soon_on_the_disk_is_kept_aside_and_not_removed),
                cmocka_unit_test(each_action_is_its_kind_of_save),
                cmocka_unit_test(what_was_renamed_is_linked_from_its_old_name),
                cmocka_unit_test(the_name_of_a_file_states_what_its_bytes_have_to_be),
                cmocka_unit_test(what_was_left_of_an_attempt_is_gone_with_the_next),
                cmocka_unit_test(bytes_are_those_that_have_to_move),
                cmocka_unit_test(only_what_is_wrong_in_itself_is_hopeless),
                cmocka_unit_test(the_latest_scan_says_what_it_references),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
