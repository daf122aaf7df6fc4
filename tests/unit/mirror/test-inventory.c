/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is said of single files and models of a real mirror, at each point of its life. */

#include "base/clock.h"
#include "ground.h"
#include "live.h"
#include "live-files.h"
#include "os/memory.h"

#include <sys/epoll.h>

static int keep_file(const InventoryFile *file, void *userdata) {
        *(InventoryFile *) userdata = *file;
        return 1;
}

/* The row of one path. */
static InventoryFile row_of(const char *path) {
        _cleanup_(freep) char *before = strdup(path);
        InventoryFile found = {};

        before[strlen(before) - 1]--; /* what comes right before, more or less */
        assert_true(inventory_files(live_mirror, before, SIZE_MAX, keep_file, &found) >= 0);
        assert_string_equal(found.path, path);
        return found;
}

static bool has_all_saved(void *userdata) {
        (void) userdata;
        return status()->all_saved;
}

static bool has_trash(void *userdata) {
        return status()->trash_files == *(const uint64_t *) userdata;
}

/* ---- tests ---- */

static void nothing_is_known_before_the_source_was_read(void **state) {
        (void) state;
        put_file("source/a", 5);
        live_start("");
        assert_rows("");
        assert_models("");
        assert_ready("a", READINESS_PENDING, "has not been read yet");
        assert_ready("nothing", READINESS_PENDING, "has not been read yet");
        live_settle();
}

static void what_is_planned_waits_and_what_is_done_is_staged(void **state) {
        (void) state;
        make_directory("source/sub");
        put_file("source/a.gguf", 5000);
        put_file("source/sub/b", 3);
        live_start("");
        live_wait(live_is_planned, NULL, "a plan");
        assert_rows("a.gguf waiting disk, sub/b waiting disk");
        assert_ready("a.gguf", READINESS_PENDING, "'a.gguf': not staged yet (0 of 1 files ready)");
        assert_ready("sub", READINESS_PENDING, "'sub'");
        assert_ready("nothing", READINESS_UNKNOWN, NULL);
        live_settle();
        assert_rows("a.gguf staged ram disk, sub/b staged ram disk");
        assert_ready("a.gguf", READINESS_READY, NULL);
        assert_ready("sub", READINESS_READY, NULL);
        assert_ready("a", READINESS_READY, NULL); /* the model */
        assert_ready("nothing", READINESS_UNKNOWN, NULL);
        assert_int_equal(row_of("a.gguf").size, 5000);
        assert_int_equal(row_of("a.gguf").room, 8192);
        assert_non_null(row_of("a.gguf").digest);
        assert_string_equal(row_of("a.gguf").method, "buffered");
        assert_null(row_of("a.gguf").reason);
}

static void pages_go_on_after_a_path_that_need_not_be_there(void **state) {
        (void) state;
        for (char name[] = "source/a"; name[7] <= 'e'; name[7]++)
                put_file(name, 1);
        live_start("");
        live_settle();
        assert_string_equal(rows(NULL, 2), "a staged ram disk, b staged ram disk");
        assert_string_equal(rows("b", 2), "c staged ram disk, d staged ram disk");
        assert_string_equal(rows("bb", 1), "c staged ram disk");
        assert_string_equal(rows("d", 9), "e staged ram disk");
        assert_string_equal(rows("e", 9), "");
        assert_string_equal(rows(NULL, 0), "");
}

static void a_failure_of_the_reader_ends_the_walk(void **state) {
        Awaited awaited = { .path = "a", .state = FILE_STAGED };

        (void) state;
        put_file("source/a", 1);
        put_file("source/b", 1);
        live_start("");
        live_settle();
        assert_int_equal(inventory_files(live_mirror, NULL, 9, compare_state, &awaited), -ECANCELED);
}

/* What was done is known before the base is told, at the end of the round. */
static void a_file_is_staged_before_the_round_is_over(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 20 * MIB);
        live_start("BandwidthLimit=10M\nPriority=a");
        live_wait(live_is_planned, NULL, "a plan");
        assert_true(mirror_fits(live_mirror));
        mirror_proceed(live_mirror);
        wait_state("a", FILE_STAGED);
        assert_int_equal(mirror_status(live_mirror).state, MIRROR_STAGING);
        assert_rows("a staged ram disk, b waiting disk");
        assert_ready("a", READINESS_READY, NULL);
        assert_ready("b", READINESS_PENDING, "'b'");
        assert_string_equal(row_of("a").method, "buffered");
        assert_null(row_of("a").digest);
        mirror_set_limit(live_mirror, UINT64_MAX);
        live_wait(live_is_settled, NULL, "settled");
        assert_rows("a staged ram disk, b staged ram disk");
        assert_non_null(row_of("a").digest);
        assert_string_equal(row_of("a").method, "buffered");
}

static void what_was_found_in_the_mirror_has_no_method(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("RemoveOnStop=no");
        live_settle();
        live_end();
        live_start("");
        live_wait(live_is_planned, NULL, "a plan");
        assert_rows("a waiting ram disk"); /* it is there, but nobody has looked yet */
        live_settle();
        assert_rows("a staged ram disk");
        assert_null(row_of("a").method);
        assert_non_null(row_of("a").digest);
}

static void what_does_not_fit_is_left_out(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/big", 70 * MIB);
        live_start("OnNoRoom=skip");
        live_settle();
        assert_rows("a staged ram disk, big skipped disk");
        assert_ready("big", READINESS_NEVER, "'big': no room in RAM");
        assert_null(row_of("big").method);
}

static void what_does_not_fit_is_linked(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/big.gguf", 70 * MIB);
        live_start("OnNoRoom=link");
        live_settle();
        assert_rows("a staged ram disk, big.gguf linked disk");
        assert_string_equal(row_of("big.gguf").reason, "no room in RAM");
        assert_ready("big.gguf", READINESS_READY, NULL);
        assert_models("big linked 1/1 0/73400320");
        assert_int_equal(mirror_status(live_mirror).n_linked, 1);
        assert_int_equal(mirror_status(live_mirror).n_models, 0);
}

static void what_is_not_what_it_says_is_withheld(void **state) {
        (void) state;
        shell("mkdir -p source/store/blobs");
        put_file("source/a.gguf", 10);
        put_file("source/store/blobs/sha256-1" ZEROS "1", 10);
        live_start("");
        live_settle();
        assert_rows("a.gguf staged ram disk, store/blobs/sha256-1" ZEROS "1 withheld disk");
        assert_ready("store", READINESS_NEVER, "sha256-1" ZEROS "1':");
        assert_ready("a.gguf", READINESS_READY, NULL);
}

static void what_nothing_needs_stays_on_disk_and_is_not_missed(void **state) {
        (void) state;
        make_directory("source/blobs");
        put_file("source/blobs/sha256-1" ZEROS "1", 10);
        live_start("");
        live_settle();
        assert_rows("blobs/sha256-1" ZEROS "1 disk disk");
        assert_ready("blobs", READINESS_READY, NULL);
        assert_ready("blobs/sha256-1" ZEROS "1", READINESS_NEVER, "': nothing in the source refers to it");
}

static void what_a_client_makes_is_unsaved_and_then_staged(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=2s");
        live_settle();
        put_file("mirror/new", 11);
        wait_state("new", FILE_UNSAVED);
        assert_rows("a staged ram disk, new unsaved ram");
        assert_int_equal(row_of("new").size, 11);
        assert_null(row_of("new").digest);
        assert_ready("new", READINESS_READY, NULL);
        wait_state("new", FILE_STAGED);
        assert_rows("a staged ram disk, new staged ram disk");
        assert_true(is_there("source/new"));
        live_wait(live_is_settled, NULL, "settled");
        assert_rows("a staged ram disk, new staged ram disk");
        assert_non_null(row_of("new").digest);
        assert_null(row_of("new").method);
}

static void what_a_client_changes_is_described_as_it_is_now(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        live_start("WriteBack=yes\nSettleTime=2s");
        live_settle();
        put_file("mirror/a", 11);
        wait_state("a", FILE_UNSAVED);
        assert_rows("a unsaved ram disk, b staged ram disk");
        assert_int_equal(row_of("a").size, 11);
        assert_null(row_of("a").digest);
        assert_null(row_of("a").method);
        wait_state("a", FILE_STAGED);
        assert_int_equal(row_of("a").size, 11);
        live_wait(has_all_saved, NULL, "all saved");
        live_wait(live_is_settled, NULL, "settled");
        assert_rows("a staged ram disk, b staged ram disk");
        assert_int_equal(row_of("a").size, 11);
        assert_non_null(row_of("a").digest);
        assert_null(row_of("a").method);
        assert_non_null(row_of("b").method);
}

static void what_a_client_changes_without_write_back_is_told(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=no");
        live_settle();
        put_file("mirror/a", 11);
        put_file("mirror/new", 12);
        wait_state("new", FILE_CHANGED);
        wait_state("a", FILE_CHANGED);
        assert_rows("a changed ram disk, new changed ram");
        assert_ready("new", READINESS_READY, NULL);
        assert_int_equal(unlink("mirror/new"), 0);
        live_wait(has_no_row, (void *) "new", "no row");
}

/* The source is not watched: a look is for the mirror only, and what was seen of the source stays. */
static void a_look_at_the_mirror_only_tells_what_changed_there(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        live_start("WriteBack=no\nWatchSource=no");
        live_settle();
        put_file("source/c", 10);
        (void) usleep(50000); /* else it may be so new that the source is seen once more */
        put_file("mirror/b", 11);
        wait_state("b", FILE_CHANGED);
        live_wait(live_is_settled, NULL, "settled");
        assert_rows("a staged ram disk, b changed ram disk");
}

static void what_a_client_deletes_is_told_until_the_disk_has_followed(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        put_file("source/c", 10);
        live_start("WriteBack=yes");
        live_settle();
        assert_int_equal(unlink("mirror/b"), 0);
        wait_state("b", FILE_DELETING);
        assert_rows("a staged ram disk, b deleting disk, c staged ram disk");
        assert_null(row_of("b").digest);
        assert_null(row_of("b").method);
        assert_ready("b", READINESS_NEVER, "'b': deleted by a client");
        live_wait(has_no_row, (void *) "b", "no row");
        assert_false(is_there("source/b"));
}

static void what_is_never_saved_says_why(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=0");
        live_settle();
        make_directory("mirror/blobs");
        put_file("mirror/blobs/sha256-1" ZEROS "1", 10);
        wait_state("blobs/sha256-1" ZEROS "1", FILE_REJECTED);
        assert_rows("a staged ram disk, blobs/sha256-1" ZEROS "1 rejected ram");
        assert_non_null(row_of("blobs/sha256-1" ZEROS "1").reason);
        assert_ready("blobs/sha256-1" ZEROS "1", READINESS_NEVER, "1': ");
}

static void links_count_with_what_they_lead_to(void **state) {
        (void) state;
        make_directory("source/links");
        make_directory("source/data");
        put_file("source/data/big", 70 * MIB);
        put_file("source/data/small", 7);
        shell("ln -s ../data/big source/links/big; ln -s ../data/small source/links/small");
        live_start("OnNoRoom=skip");
        live_settle();
        assert_rows("data/big skipped disk, data/small staged ram disk");
        assert_ready("links/small", READINESS_READY, NULL);
        assert_ready("links/big", READINESS_NEVER, "'data/big': no room in RAM");
        assert_ready("links", READINESS_NEVER, "'data/big': no room in RAM");
}

static void further_names_have_rows_of_their_own(void **state) {
        (void) state;
        put_file("source/a", 10);
        assert_int_equal(link("source/a", "source/b"), 0);
        live_start("");
        live_settle();
        assert_rows("a staged ram disk, b staged ram disk");
        assert_string_equal(row_of("b").method, "buffered");
        assert_non_null(row_of("b").digest);
}

static void put_manifest(const char *path, const char *digits) {
        char text[2048] = "{\"config\":{},\"layers\":[", command[512];

        for (const char *s = digits; *s; s++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s{\"digest\":\"sha256:%c" ZEROS "%c\",\"size\":1}", s > digits ? "," : "", *s, *s);
        strcat(text, "]}");
        (void) snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", path);
        shell(command);
        put_text(path, text);
}

/* A blob of @size bytes that is what its name says, and a manifest that names it; the name of the blob is added to @names. */
static void put_ollama_model(const char *name, size_t size) {
        char command[1024];

        (void) snprintf(command, sizeof(command),
                        "cd source; mkdir -p blobs manifests/registry.ollama.ai/library/%s; head -c %zu /dev/zero >blob; d=$(sha256sum blob | cut -c1-64); mv blob blobs/sha256-$d; "
                        "printf '{\"config\":{},\"layers\":[{\"digest\":\"sha256:%%s\",\"size\":%zu}]}' $d >manifests/registry.ollama.ai/library/%s/latest",
                        name, size, size, name);
        shell(command);
}

static void models_of_an_ollama_store_have_their_states(void **state) {
        (void) state;
        put_ollama_model("small", 1000);
        put_ollama_model("large", 2000);
        put_manifest("source/manifests/registry.ollama.ai/library/torn/7b", "1");
        live_start("Models=small");
        live_wait(live_is_planned, NULL, "a plan");
        assert_ready("small", READINESS_PENDING, "(0 of 2 files ready)");
        live_settle();
        assert_models("large:latest linked 2/2 121/2121, small:latest staged 2/2 1121/1121, torn:7b withheld 1/2 118/118");
        assert_ready("small", READINESS_READY, NULL);
        assert_ready("SMALL:latest", READINESS_READY, NULL);
        assert_ready("large:latest", READINESS_READY, NULL);
        assert_ready("small:7b", READINESS_UNKNOWN, NULL);
        assert_ready("torn:7b", READINESS_NEVER, "'blobs/sha256-1" ZEROS "1': neither on disk nor in the mirror");
        assert_int_equal(mirror_status(live_mirror).n_models, 1);
}

static void a_model_that_lacks_a_file_is_not_ready(void **state) {
        (void) state;
        put_ollama_model("good", 1000);
        put_ollama_model("bad", 2000);
        shell("cd source/blobs; for f in $(find . -size +1k); do head -c 2000 /dev/urandom >$f; done"); /* 2000 bytes, and others */
        live_start("");
        live_settle();
        assert_ready("good", READINESS_READY, NULL);
        assert_ready("bad", READINESS_NEVER, "'blobs/sha256-");
        assert_int_equal(mirror_status(live_mirror).n_models, 1);
        assert_non_null(strstr(models(), "bad:latest withheld 1/2"));
}

static void a_split_model_is_one_and_a_directory_is_one(void **state) {
        (void) state;
        make_directory("source/dir");
        make_directory("source/dir/sub");
        put_file("source/m-00001-of-00002.gguf", 10);
        put_file("source/m-00002-of-00002.gguf", 20);
        put_file("source/dir/config.json", 3);
        put_file("source/dir/sub/w.bin", 30);
        put_file("source/README", 1);
        live_start("");
        live_settle();
        assert_models("dir staged 2/2 33/33, m staged 2/2 30/30");
        assert_ready("m", READINESS_READY, NULL);
        assert_ready("dir", READINESS_READY, NULL);
        assert_int_equal(mirror_status(live_mirror).n_models, 2);
        assert_int_equal(unlink("source/m-00002-of-00002.gguf"), 0);
        live_wait(has_no_row, (void *) "m-00002-of-00002.gguf", "no row");
        live_wait(live_is_settled, NULL, "settled");
        assert_models("dir staged 2/2 33/33, m staged 1/1 10/10");
}

/* ---- the status ---- */

static void both_ends_are_told(void **state) {
        char path[64];

        (void) state;
        put_file("source/a", 5000);
        live_start("WriteBack=no");
        assert_null(status()->layout);
        assert_int_equal(status()->tmpfs_size, 0);
        assert_false(status()->watching);
        live_settle();
        (void) snprintf(path, sizeof(path), "%s/source", ground_base);
        assert_string_equal(status()->source, path);
        (void) snprintf(path, sizeof(path), "%s/mirror", ground_base);
        assert_string_equal(status()->target, path);
        assert_string_equal(status()->layout, "plain");
        assert_int_equal(status()->tmpfs_size, 96 * MIB);
        assert_in_range(status()->tmpfs_free, 95 * MIB, 96 * MIB - 8192);
        assert_int_equal(status()->source_state, SOURCE_HEALTHY);
        assert_true(status()->watching);
        assert_int_equal(status()->rate, 0);
        assert_int_equal(status()->left_usec, 0);
        assert_int_equal(status()->trash_bytes, UINT64_MAX); /* nothing goes there */
        assert_false(status()->saves || status()->all_saved);
        mirror_measure(live_mirror);
        assert_true(memory_swap_is_used("/proc") || status()->swapped_bytes == 0);
}

static void the_staging_at_hand_has_a_rate_and_an_end(void **state) {
        uint64_t left;

        (void) state;
        put_file("source/a", 4 * MIB);
        put_file("source/b", 16 * MIB);
        live_start("BandwidthLimit=10M");
        live_wait(live_is_planned, NULL, "a plan");
        assert_true(mirror_fits(live_mirror));
        mirror_proceed(live_mirror);
        wait_state("a", FILE_STAGED);
        assert_int_equal(status()->todo_bytes, 20 * MIB);
        assert_in_range(status()->rate, MIB / 2, 40 * MIB);
        left = status()->left_usec;
        assert_in_range(left, 300 * 1000, 40 * USEC_PER_SEC);
        mirror_set_limit(live_mirror, UINT64_MAX);
        live_wait(live_is_settled, NULL, "settled");
        assert_int_equal(status()->rate, 0);
}

static void what_is_not_on_disk_has_an_age_until_all_is_saved(void **state) {
        uint64_t begin = clock_usec(CLOCK_REALTIME);

        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=1s");
        live_settle();
        live_wait(has_all_saved, NULL, "all saved");
        assert_true(status()->saves);
        assert_int_equal(status()->unsaved_since_usec, 0);
        put_file("mirror/new", 11);
        wait_state("new", FILE_UNSAVED);
        assert_false(status()->all_saved);
        assert_in_range(status()->unsaved_since_usec, begin, clock_usec(CLOCK_REALTIME));
        wait_state("new", FILE_STAGED);
        live_wait(has_all_saved, NULL, "all saved");
        assert_int_equal(status()->unsaved_since_usec, 0);
}

static void what_was_reported_and_not_looked_at_is_not_said_to_be_saved(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=1s");
        live_settle();
        live_wait(has_all_saved, NULL, "all saved");
        put_file("mirror/new", 11);
        for (unsigned i = 0; i < 300 && status()->n_unsaved == 0; i++) {
                assert_true(sd_event_run(live_event, 10 * 1000) >= 0);
                if (live_mirror->schedule.mirror.dirty || mirror_state(live_mirror) == MIRROR_SCANNING)
                        assert_false(status()->all_saved);
        }
        assert_int_equal(status()->n_unsaved, 1);
}

static void the_trash_is_counted_when_it_changes(void **state) {
        uint64_t n = 0;

        (void) state;
        for (char name[] = "source/a"; name[7] <= 'h'; name[7]++)
                put_file(name, 5000);
        live_start("WriteBack=yes");
        live_settle();
        live_wait(has_trash, &n, "an empty trash");
        assert_int_equal(unlink("mirror/c"), 0);
        n = 1;
        live_wait(has_trash, &n, "a file in the trash");
        assert_int_equal(status()->trash_bytes, 8192);
}

static void a_source_that_went_is_told(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("PollInterval=1s");
        live_settle();
        assert_int_equal(rename("source", "elsewhere"), 0);
        for (unsigned i = 0; i < 300 && status()->source_state == SOURCE_HEALTHY; i++)
                assert_true(sd_event_run(live_event, 100 * 1000) >= 0);
        assert_int_equal(status()->source_state, SOURCE_LOST);
        assert_rows("a staged ram disk");
        assert_ready("a", READINESS_READY, NULL);
        assert_int_equal(rename("elsewhere", "source"), 0);
}

static void at_the_end_nothing_will_be_ready(void **state) {
        (void) state;
        put_file("source/a", 5);
        live_start("");
        live_settle();
        mirror_stop(live_mirror);
        live_wait(live_is_over, NULL, "the end");
        assert_rows("");
        assert_models("");
        assert_ready("a", READINESS_NEVER, "the mirror 'm' is being removed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(nothing_is_known_before_the_source_was_read),
                TEST(what_is_planned_waits_and_what_is_done_is_staged),
                TEST(pages_go_on_after_a_path_that_need_not_be_there),
                TEST(a_failure_of_the_reader_ends_the_walk),
                TEST(a_file_is_staged_before_the_round_is_over),
                TEST(what_was_found_in_the_mirror_has_no_method),
                TEST(what_does_not_fit_is_left_out),
                TEST(what_does_not_fit_is_linked),
                TEST(what_is_not_what_it_says_is_withheld),
                TEST(what_nothing_needs_stays_on_disk_and_is_not_missed),
                TEST(what_a_client_makes_is_unsaved_and_then_staged),
                TEST(what_a_client_changes_is_described_as_it_is_now),
                TEST(what_a_client_changes_without_write_back_is_told),
                TEST(a_look_at_the_mirror_only_tells_what_changed_there),
                TEST(what_a_client_deletes_is_told_until_the_disk_has_followed),
                TEST(what_is_never_saved_says_why),
                TEST(links_count_with_what_they_lead_to),
                TEST(further_names_have_rows_of_their_own),
                TEST(models_of_an_ollama_store_have_their_states),
                TEST(a_model_that_lacks_a_file_is_not_ready),
                TEST(a_split_model_is_one_and_a_directory_is_one),
                TEST(both_ends_are_told),
                TEST(the_staging_at_hand_has_a_rate_and_an_end),
                TEST(what_is_not_on_disk_has_an_age_until_all_is_saved),
                TEST(what_was_reported_and_not_looked_at_is_not_said_to_be_saved),
                TEST(the_trash_is_counted_when_it_changes),
                TEST(a_source_that_went_is_told),
                TEST(at_the_end_nothing_will_be_ready),
        };
        int failed;

        ground_enter();
        live_enter();
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        live_leave();
        return failed;
}
