/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Operations on a real mirror: what each does, when it is done, and what it refuses. */

#include "control/operation.h"
#include "ground.h"
#include "live.h"
#include "live-files.h"
#include "traceless.h"

#include <sys/epoll.h>

#define BLOB(digit) "blobs/sha256-" digit ZEROS digit

/* An array of the words of @text, which @room holds. */
static void split(char *names[static 8], char room[static 256], const char *text) {
        size_t n = 0;

        for (char *word = strtok(strcpy(room, text), " "); word; word = strtok(NULL, " "))
                names[n++] = word;
        names[n] = NULL;
}

static Operation *begin(OperationKind kind, const char *text) {
        _cleanup_(freep) char *refusal = NULL;
        Operation *operation = NULL;
        char *names[8], room[256];

        split(names, room, text);
        if (control_operation_new(&operation, live_mirror, kind, names, "test", &refusal) != 0)
                fail_msg("refused: %s", refusal);
        assert_null(refusal);
        return operation;
}

static void assert_refused(OperationKind kind, const char *text, const char *part) {
        _cleanup_(freep) char *refusal = NULL;
        Operation *operation = NULL;
        char *names[8], room[256];

        split(names, room, text);
        assert_int_equal(control_operation_new(&operation, live_mirror, kind, names, "test", &refusal), OPERATION_REFUSED);
        assert_null(operation);
        if (!strstr(refusal, part))
                fail_msg("'%s' does not say '%s'", refusal, part);
}

static bool is_over(void *userdata) {
        return control_operation_status(userdata, live_mirror).over;
}

/* Waits for the end of the operation and frees it. @part: of a sentence of its report. Returns the bytes that it did. */
static uint64_t end(Operation *operation, bool failed, const char *part) {
        OperationStatus status;
        bool found = false;

        live_wait(is_over, operation, "the end of the operation");
        status = control_operation_status(operation, live_mirror);
        for (char *const *text = status.report; *text; text++)
                found = found || strstr(*text, part);
        if (!found || status.failed != failed)
                fail_msg("%s, '%s' instead of '%s'", status.failed ? "failed" : "done", status.report[0], part);
        if (!failed)
                assert_int_equal(status.done, status.total);
        (void) control_operation_free(operation);
        return status.done;
}

static uint64_t done(OperationKind kind, const char *names, const char *part) {
        return end(begin(kind, names), false, part);
}

static void failed(OperationKind kind, const char *names, const char *part) {
        (void) end(begin(kind, names), true, part);
}

static void settle(void) {
        live_wait(live_is_settled, NULL, "settled");
}

/* ---- release ---- */

static void a_release_frees_ram_and_reports_how_much(void **state) {
        (void) state;
        put_file("source/a.gguf", 10000);
        put_file("source/b", 10);
        live_start("");
        live_settle();
        assert_int_equal(done(OPERATION_RELEASE, "a", "Freed 12K of RAM by releasing 'a'"), 12288);
        settle();
        assert_rows("a.gguf released disk, b staged ram disk");
        assert_models("a released 0/1 0/10000");
        assert_ready("a", READINESS_NEVER, "'a.gguf'");
        assert_int_equal(status()->n_released, 1);
        assert_int_equal(status()->n_models, 0);
        assert_int_equal(done(OPERATION_STAGE, "a", "Staged 'a': 1 file"), 10000);
        settle();
        assert_rows("a.gguf staged ram disk, b staged ram disk");
        assert_int_equal(status()->n_models, 1);
}

static void what_was_released_is_ready_if_a_link_stands_for_it(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        live_start("OnNoRoom=link");
        live_settle();
        (void) done(OPERATION_RELEASE, "a", "'a'");
        settle();
        assert_rows("a released disk, b staged ram disk");
        assert_ready("a", READINESS_READY, NULL);
}

static void a_release_without_names_is_refused(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("");
        live_settle();
        assert_refused(OPERATION_RELEASE, "", "Mirror 'm' cannot be released as a whole; specify NAMEs");
        settle();
        assert_rows("a staged ram disk");
}

static void nothing_is_released_if_one_file_is_not_saved(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=1h");
        live_settle();
        put_file("mirror/new", 11);
        wait_state("new", FILE_UNSAVED);
        failed(OPERATION_RELEASE, "a new", "Failed to release 'new': it is not on disk yet");
        settle();
        assert_rows("a staged ram disk, new unsaved ram");
        assert_int_equal(overrides_get(&live_mirror->overrides, "a"), OVERRIDE_NONE);
}

static void nothing_is_released_if_one_file_is_changed_in_the_mirror_only(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        live_start("WriteBack=no");
        live_settle();
        put_file("mirror/b", 11);
        wait_state("b", FILE_CHANGED);
        failed(OPERATION_RELEASE, "a b", "Failed to release 'b': it was changed only in the mirror");
        assert_rows("a staged ram disk, b changed ram disk");
}

static void nothing_is_released_if_one_file_is_open_for_writing(void **state) {
        int fd;

        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        live_start("");
        live_settle();
        fd = open("mirror/b", O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        failed(OPERATION_RELEASE, "a b", "Failed to release 'b': another process has it open for writing");
        assert_rows("a staged ram disk, b staged ram disk");
        (void) close(fd);
}

/* ---- stage ---- */

static void a_staging_brings_what_was_not_selected(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 3000);
        put_file("source/c", 10);
        live_start("Include=a");
        live_settle();
        assert_int_equal(done(OPERATION_STAGE, "b", "Staged 'b': 1 file (4K) in RAM and verified"), 3000);
        settle();
        assert_int_equal(mirror_status(live_mirror).files, 2);
        assert_true(is_there("mirror/b") && !is_there("mirror/c"));
}

static void a_staging_without_names_undoes_every_release(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        put_file("source/c", 10);
        live_start("");
        live_settle();
        (void) done(OPERATION_RELEASE, "a b", "'a', 'b'");
        (void) done(OPERATION_STAGE, "", "Staged all files that were released, withheld or skipped: 2 files");
        settle();
        assert_rows("a staged ram disk, b staged ram disk, c staged ram disk");
        assert_int_equal(overrides_get(&live_mirror->overrides, "a"), OVERRIDE_NONE);
}

static void a_staging_without_room_leaves_the_overrides_as_they_were(void **state) {
        (void) state;
        put_file("source/a", 10);
        put_file("source/b", 10);
        put_file("source/big", 70 * MIB);
        live_start("Exclude=\nInclude=a b");
        live_settle();
        failed(OPERATION_STAGE, "big", "'big'");
        assert_int_equal(overrides_get(&live_mirror->overrides, "big"), OVERRIDE_NONE);
        settle();
        (void) done(OPERATION_RELEASE, "b", "'b'");
        put_file("source/b", 70 * MIB);
        failed(OPERATION_STAGE, "b", "'b'");
        assert_int_equal(overrides_get(&live_mirror->overrides, "b"), OVERRIDE_RELEASED);
        settle();
        assert_true(is_there("mirror/a") && !is_there("mirror/b") && !is_there("mirror/big"));
}

static void a_staging_of_a_withheld_file_fails_with_its_reason_once(void **state) {
        Operation *operation;

        (void) state;
        make_directory("source/blobs");
        put_file("source/" BLOB("1"), 10);
        put_file("source/a.gguf", 10);
        live_start("Layout=plain");
        live_settle();
        operation = begin(OPERATION_STAGE, "blobs");
        live_wait(is_over, operation, "the end");
        assert_null(control_operation_status(operation, live_mirror).report[1]);
        (void) end(operation, true, BLOB("1"));
}

/* ---- accept ---- */

/* Two blobs whose names state another digest. */
static void start_with_withheld_blobs(void) {
        make_directory("source/blobs");
        put_file("source/" BLOB("1"), 10);
        put_file("source/" BLOB("2"), 20);
        put_file("source/a.gguf", 10);
        live_start("Layout=plain");
        live_settle();
        assert_rows("a.gguf staged ram disk, " BLOB("1") " withheld disk, " BLOB("2") " withheld disk");
}

static void an_accepted_file_is_staged_and_no_other(void **state) {
        (void) state;
        start_with_withheld_blobs();
        (void) done(OPERATION_ACCEPT, BLOB("1"), "Accepted '" BLOB("1") "': it is staged although its name states another digest");
        settle();
        assert_rows("a.gguf staged ram disk, " BLOB("1") " staged ram disk, " BLOB("2") " withheld disk");
}

static void nothing_is_accepted_if_one_name_has_nothing_to_accept(void **state) {
        (void) state;
        start_with_withheld_blobs();
        failed(OPERATION_ACCEPT, BLOB("1") " " "a.gguf", "There is nothing to accept under 'a.gguf'");
        settle();
        assert_rows("a.gguf staged ram disk, " BLOB("1") " withheld disk, " BLOB("2") " withheld disk");
        assert_refused(OPERATION_ACCEPT, "", "Mirror 'm' has no conflicts and no deletions that were held back");
}

static void a_rejected_file_is_saved_when_it_is_accepted(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=0");
        live_settle();
        make_directory("mirror/blobs");
        put_file("mirror/" BLOB("1"), 10);
        wait_state(BLOB("1"), FILE_REJECTED);
        failed(OPERATION_SYNC, "", BLOB("1"));
        assert_false(is_there("source/" BLOB("1")));
        (void) done(OPERATION_ACCEPT, BLOB("1"), "it is saved as it is");
        assert_true(is_there("source/" BLOB("1")));
}

static bool has_held_back(void *userdata) {
        return status()->n_deletions_held == *(size_t *) userdata;
}

static void of_the_deletions_held_back_those_that_are_named_are_made(void **state) {
        size_t n = 8;

        (void) state;
        for (char name[] = "source/a"; name[7] <= 'j'; name[7]++)
                put_file(name, 100);
        live_start("WriteBack=yes\nMassDeleteLimit=2 10%");
        live_settle();
        for (char name[] = "mirror/a"; name[7] <= 'h'; name[7]++)
                assert_int_equal(unlink(name), 0);
        live_wait(has_held_back, &n, "deletions held back");
        settle();
        (void) done(OPERATION_ACCEPT, "b c", "Deleted 2 of 2 files on disk");
        assert_false(is_there("source/b") || is_there("source/c") || is_there("mirror/b"));
        assert_true(is_there("source/a") && is_there("mirror/a") && is_there("source/d"));
        (void) done(OPERATION_ACCEPT, "", "Deleted 6 of 6 files on disk");
        assert_false(is_there("source/a") || is_there("mirror/a"));
        assert_true(is_there("source/i") && is_there("mirror/j"));
}

static bool has_conflict(void *userdata) {
        (void) userdata;
        return status()->n_conflicts == 1;
}

static void start_with_conflict(void) {
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=0\nWatchSource=no");
        live_settle();
        put_file("source/a", 11);
        put_file("mirror/a", 12);
        live_wait(has_conflict, NULL, "a conflict");
}

static void an_accepted_conflict_is_reported_no_more(void **state) {
        (void) state;
        start_with_conflict();
        (void) done(OPERATION_ACCEPT, "", "Accepted 'a': its conflict is no longer reported");
        assert_int_equal(status()->n_conflicts, 0);
}

/* ---- sync ---- */

static void a_sync_does_not_wait_for_files_to_settle(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=1h");
        live_settle();
        (void) done(OPERATION_SYNC, "", "Mirror 'm': everything is on disk already");
        put_file("mirror/new", 11);
        wait_state("new", FILE_UNSAVED);
        assert_int_equal(done(OPERATION_SYNC, "", "Mirror 'm': saved 1 entry (11B)"), 11);
        assert_true(is_there("source/new"));
}

static bool was_busy(void *userdata) {
        const SaveItem *item = save_queue_find(&live_mirror->writeback.queue, "new");

        (void) userdata;
        return item && item->attempts > 0 && item->save.outcome == SAVE_BUSY;
}

static int open_new_file(void) {
        int fd = open("mirror/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "one", 3), 3);
        return fd;
}

static void a_sync_waits_for_a_file_that_is_open_for_writing(void **state) {
        Operation *operation;
        int fd;

        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=1h");
        live_settle();
        fd = open_new_file();
        operation = begin(OPERATION_SYNC, "");
        live_wait(was_busy, NULL, "an attempt to save");
        assert_false(is_over(operation));
        (void) close(fd);
        (void) end(operation, false, "saved 1 entry");
        assert_true(is_there("source/new"));
}

static void a_sync_without_write_back_is_done_at_once(void **state) {
        Operation *operation;

        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=no");
        live_settle();
        operation = begin(OPERATION_SYNC, "");
        assert_true(is_over(operation));
        (void) end(operation, false, "Mirror 'm' is never saved, because of WriteBack=no");
}

/* ---- verify ---- */

static void a_verification_reads_what_is_named_and_finds_damage(void **state) {
        (void) state;
        put_file("source/a", 5000);
        put_file("source/b", 5000);
        live_start("");
        live_settle();
        assert_int_equal(done(OPERATION_VERIFY, "", "Mirror 'm': verified 2 files (9.7K) in RAM, 0 corrupted"), 10000);
        damage_traceless("mirror/b");
        assert_int_equal(done(OPERATION_VERIFY, "a", "Mirror 'm': verified 1 file (4.8K) in RAM, 0 corrupted"), 5000);
        failed(OPERATION_VERIFY, "b", "'b' in RAM is corrupted: its bytes have changed, but its size and time have not");
}

/* ---- all of them ---- */

static void a_name_that_nothing_has_is_a_failure(void **state) {
        static const OperationKind kinds[] = { OPERATION_RELEASE, OPERATION_STAGE, OPERATION_VERIFY, OPERATION_ACCEPT };

        (void) state;
        put_file("source/a", 10);
        live_start("");
        live_settle();
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                failed(kinds[i], "a nothing", "There is no file, directory or model 'nothing' in mirror 'm'");
        settle();
        assert_rows("a staged ram disk");
}

static void a_mirror_that_is_opening_or_stopping_refuses(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("");
        assert_refused(OPERATION_VERIFY, "", "Mirror 'm' cannot do this now: it is still opening its source and target");
        live_settle();
        mirror_stop(live_mirror);
        assert_refused(OPERATION_VERIFY, "", "Mirror 'm' cannot do this now: it is stopping");
}

static void the_end_of_the_mirror_is_the_end_of_its_operations(void **state) {
        Operation *operation;
        int fd;

        (void) state;
        put_file("source/a", 10);
        live_start("WriteBack=yes\nSettleTime=1h");
        live_settle();
        fd = open_new_file();
        operation = begin(OPERATION_SYNC, "");
        live_wait(was_busy, NULL, "an attempt to save");
        mirror_stop(live_mirror);
        (void) end(operation, true, "Mirror 'm' is stopping");
        (void) close(fd);
}

static void an_operation_whose_mirror_was_removed_has_failed(void **state) {
        Operation *operation;
        OperationStatus status;

        (void) state;
        put_file("source/a", 10);
        live_start("");
        live_settle();
        operation = begin(OPERATION_RELEASE, "a");
        status = control_operation_status(operation, NULL);
        assert_true(status.over && status.failed);
        (void) end(operation, true, "The mirror was removed");
}

static void an_operation_goes_on_without_its_owner(void **state) {
        (void) state;
        put_file("source/a", 10);
        live_start("");
        live_settle();
        (void) control_operation_free(begin(OPERATION_RELEASE, "a"));
        wait_state("a", FILE_RELEASED);
        settle();
        assert_null(live_mirror->listeners);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(a_release_frees_ram_and_reports_how_much),
                TEST(what_was_released_is_ready_if_a_link_stands_for_it),
                TEST(a_release_without_names_is_refused),
                TEST(nothing_is_released_if_one_file_is_not_saved),
                TEST(nothing_is_released_if_one_file_is_changed_in_the_mirror_only),
                TEST(nothing_is_released_if_one_file_is_open_for_writing),
                TEST(a_staging_brings_what_was_not_selected),
                TEST(a_staging_without_names_undoes_every_release),
                TEST(a_staging_without_room_leaves_the_overrides_as_they_were),
                TEST(a_staging_of_a_withheld_file_fails_with_its_reason_once),
                TEST(an_accepted_file_is_staged_and_no_other),
                TEST(nothing_is_accepted_if_one_name_has_nothing_to_accept),
                TEST(a_rejected_file_is_saved_when_it_is_accepted),
                TEST(of_the_deletions_held_back_those_that_are_named_are_made),
                TEST(an_accepted_conflict_is_reported_no_more),
                TEST(a_sync_does_not_wait_for_files_to_settle),
                TEST(a_sync_waits_for_a_file_that_is_open_for_writing),
                TEST(a_sync_without_write_back_is_done_at_once),
                TEST(a_verification_reads_what_is_named_and_finds_damage),
                TEST(a_name_that_nothing_has_is_a_failure),
                TEST(a_mirror_that_is_opening_or_stopping_refuses),
                TEST(the_end_of_the_mirror_is_the_end_of_its_operations),
                TEST(an_operation_whose_mirror_was_removed_has_failed),
                TEST(an_operation_goes_on_without_its_owner),
        };
        int failures;

        ground_enter();
        live_enter();
        failures = cmocka_run_group_tests(tests, NULL, NULL);
        live_leave();
        return failures;
}
