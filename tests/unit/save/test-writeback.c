/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The way back as a whole: what starts first, what waits for what, and when something is tried again. Two directories are source and
 * mirror, real scans and real savers do the rest; only what is due is put forward by hand instead of waiting for it. */

#include "ground.h"
#include "on-pool.h"
#include "os/fs.h"
#include "save/retry.h"
#include "save/writeback.h"
#include "tree/scan.h"

#define SECOND USEC_PER_SEC
#define HOUR (3600 * SECOND)
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define MODEL "models--a--x"
#define BLOB MODEL "/blobs/weights"
#define LINK MODEL "/snapshots/" COMMIT "/model.safetensors"
#define REF MODEL "/refs/main"

typedef struct Rig {
        sd_event *event;
        Pool *pool;
        MirrorConfig config;
        char source[64], target[64];
        int sourcefd, mirrorfd;
        Manifest *base;
        Deletions deletions;
        Writeback wb;
        atomic_uint_fast64_t progress;
        unsigned n_scans;      /* asked for */
        char *order[32];       /* what came to its end, in that order */
        size_t n_order;
} Rig;

static bool is_over(const Rig *rig, const char *path) {
        for (size_t i = 0; i < rig->n_order; i++)
                if (strcmp(rig->order[i], path) == 0)
                        return true;
        return false;
}

static void on_moved_on(void *userdata) {
        Rig *rig = userdata;

        for (size_t i = 0; i < rig->wb.queue.n; i++) {
                const SaveItem *item = rig->wb.queue.items[i];

                if (item->state == ITEM_DONE && !is_over(rig, item->path)) {
                        assert_true(rig->n_order < ELEMENTSOF(rig->order));
                        rig->order[rig->n_order++] = strdup(item->path);
                }
        }
}

static void on_scan_wanted(void *userdata) {
        ((Rig *) userdata)->n_scans++;
}

static int setup(void **state) {
        static char *nothing[] = { NULL };
        Rig *rig = calloc(1, sizeof(*rig));

        assert_non_null(rig);
        (void) ground_setup(state);
        *state = rig;
        make_directory("disk");
        make_directory("mirror");
        (void) snprintf(rig->source, sizeof(rig->source), "%s/disk", ground_base);
        (void) snprintf(rig->target, sizeof(rig->target), "%s/mirror", ground_base);
        rig->config = (MirrorConfig){ .name = (char *) "m", .source = rig->source, .target = rig->target, .include = nothing, .exclude = nothing,
                                      .priority = nothing, .models = nothing, .write_back = true,
                                      .mass_delete_limit = { .names = 3, .percent = 25 } };
        rig->sourcefd = open_directory("disk");
        rig->mirrorfd = open_directory("mirror");
        assert_int_equal(manifest_new(&rig->base), 0);
        return 0;
}

/* So many savers. */
static void begin(Rig *rig, unsigned savers) {
        assert_true(sd_event_new(&rig->event) >= 0);
        assert_int_equal(pool_new(savers, &rig->pool), 0);
        add_pool(rig->event, rig->pool);
        rig->wb = (Writeback){ .event = rig->event, .pool = rig->pool, .config = &rig->config, .deletions = &rig->deletions,
                               .progress = &rig->progress, .survey = on_scan_wanted, .moved_on = on_moved_on, .userdata = rig };
        writeback_init(&rig->wb);
        assert_int_equal(writeback_attach(&rig->wb, rig->sourcefd, rig->mirrorfd), 0);
}

static int teardown(void **state) {
        Rig *rig = *state;

        writeback_done(&rig->wb);
        deletions_done(&rig->deletions);
        (void) pool_free(rig->pool);
        (void) sd_event_unref(rig->event);
        (void) manifest_free(rig->base);
        (void) close(rig->sourcefd);
        (void) close(rig->mirrorfd);
        for (size_t i = 0; i < rig->n_order; i++)
                free(rig->order[i]);
        free(rig);
        return ground_teardown(state);
}

/* A scan of both sides, and what it brings. */
static int scan(Rig *rig) {
        SurveyOptions options = { .config = &rig->config, .base = rig->base, .sourcefd = rig->sourcefd, .mirrorfd = rig->mirrorfd,
                                  .budget = UINT64_MAX, .deleted = deletions_begin(&rig->deletions), .armed = true, .progress = &rig->progress };
        const char *what = "";
        Survey survey;
        int r = survey_run(&options, &survey, &what);

        if (r != 0)
                fail_msg("failed to %s: %d", what, r);
        r = writeback_update(&rig->wb, &survey, rig->base, NULL);
        survey_done(&survey);
        return r;
}

static void go_on(Rig *rig) {
        writeback_go_on(&rig->wb, true, true);
}

/* Until no saver has anything to do. */
static void settle(Rig *rig) {
        while (rig->wb.n_running > 0)
                assert_true(sd_event_run(rig->event, HOUR) > 0);
}

static void save(Rig *rig) {
        assert_int_equal(scan(rig), 0);
        go_on(rig);
        settle(rig);
}

static SaveItem *item_of(const Rig *rig, const char *path) {
        SaveItem *item = save_queue_find(&rig->wb.queue, path);

        if (!item)
                fail_msg("'%s' is not in the queue", path);
        return item;
}

static size_t turn_of(const Rig *rig, const char *path) {
        for (size_t i = 0; i < rig->n_order; i++)
                if (strcmp(rig->order[i], path) == 0)
                        return i;
        fail_msg("'%s' has not come to its end", path);
        return 0;
}

static void make_model(void) {
        make_directory("mirror/" MODEL);
        make_directory("mirror/" MODEL "/blobs");
        make_directory("mirror/" MODEL "/refs");
        make_directory("mirror/" MODEL "/snapshots");
        make_directory("mirror/" MODEL "/snapshots/" COMMIT);
        put_text("mirror/" BLOB, "bytes");
        assert_int_equal(symlink("../../blobs/weights", "mirror/" LINK), 0);
        put_text("mirror/" REF, COMMIT);
}

/* --- what comes first --- */

static void directories_come_first_then_content_then_links_then_pointers(void **state) {
        Rig *rig = *state;

        rig->config.layout = LAYOUT_HUGGINGFACE;
        make_model();
        begin(rig, 1);
        save(rig);
        assert_int_equal(rig->n_order, 8);
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(item_of(rig, rig->order[i])->mirror.type, ENTRY_DIRECTORY);
        assert_string_equal(rig->order[0], MODEL);
        assert_int_equal(turn_of(rig, BLOB), 5);
        assert_int_equal(turn_of(rig, LINK), 6);
        assert_int_equal(turn_of(rig, REF), 7);
        assert_content("disk/" REF, COMMIT, strlen(COMMIT));
        assert_content("disk/" BLOB, "bytes", 5);
        assert_true(writeback_is_over(&rig->wb));
}

static void what_is_on_disk_goes_to_the_base(void **state) {
        Rig *rig = *state;
        Manifest *taken;

        put_text("mirror/file", "bytes");
        begin(rig, 1);
        assert_null(writeback_take(&rig->wb));
        save(rig);
        taken = writeback_take(&rig->wb);
        assert_non_null(taken);
        assert_int_equal(taken->n_entries, 1);
        assert_string_equal(taken->entries[0].path, "file");
        assert_true(taken->entries[0].flags & ENTRY_SAVED);
        assert_int_equal(taken->entries[0].ino, stat_at("mirror/file").st_ino);
        assert_int_equal(taken->entries[0].disk.ino, stat_at("disk/file").st_ino); /* both objects are known */
        assert_true(taken->entries[0].disk.ctime_nsec != 0);
        assert_int_equal(taken->entries[0].dev, (uint32_t) stat_at("disk/file").st_dev);
        assert_null(writeback_take(&rig->wb));
        manifest_free(taken);
}

/* What did not fit is a link to the disk, and a client renames it: that is the file's rename. */
static void a_renamed_link_to_the_disk_renames_the_file(void **state) {
        Rig *rig = *state;
        char target[128];
        struct stat st;
        Manifest *taken;
        Entry entry;

        put_text("disk/old", "bytes");
        st = stat_at("disk/old");
        (void) snprintf(target, sizeof(target), "%s/old", rig->source);
        assert_int_equal(symlink(target, "mirror/new"), 0);
        entry = (Entry){ .path = (char *) "old", .size = 5, .mtime_nsec = fs_nsec(&st.st_mtim), .mode = 0644,
                         .ino = stat_at("mirror/new").st_ino, .flags = ENTRY_LINKED, .dev = (uint32_t) st.st_dev,
                         .disk = { .ino = st.st_ino, .mtime_nsec = fs_nsec(&st.st_mtim),
                                   .ctime_nsec = fs_nsec(&st.st_ctim) } };
        assert_int_equal(manifest_put(rig->base, &entry), 0);
        manifest_sort(rig->base);
        deletions_note_path(&rig->deletions, "old");
        begin(rig, 1);
        save(rig);
        assert_content("disk/new", "bytes", 5);
        assert_int_equal(stat_at("disk/new").st_ino, st.st_ino);
        assert_false(is_there("disk/old"));
        assert_false(is_there("disk/" SCAN_PRIVATE_DIR "/trash"));
        assert_int_equal(rig->wb.n_deletions, 0);
        taken = writeback_take(&rig->wb);
        assert_true(manifest_find(taken, "new")->flags & ENTRY_RECORD); /* in the mirror there is the old link still */
        assert_int_equal(manifest_find(taken, "old")->flags, ENTRY_RECORD | ENTRY_DELETED);
        manifest_free(taken);
}

/* Also at a stop, when nothing is compared beforehand. */
static void equal_bytes_on_both_sides_are_agreed_at_a_stop(void **state) {
        Rig *rig = *state;
        Manifest *taken;
        ino_t ino;

        put_text("disk/file", "bytes");
        put_text("mirror/file", "bytes");
        ino = stat_at("disk/file").st_ino;
        begin(rig, 1);
        writeback_hurry(&rig->wb, true);
        save(rig);
        assert_int_equal(stat_at("disk/file").st_ino, ino);
        assert_true(writeback_is_over(&rig->wb));
        assert_int_equal(rig->wb.conflicts.n, 0);
        taken = writeback_take(&rig->wb);
        assert_int_equal(manifest_find(taken, "file")->flags & (ENTRY_RECORD | ENTRY_HAS_DIGEST), ENTRY_HAS_DIGEST);
        manifest_free(taken);
}

/* --- what waits --- */

static void a_pointer_waits_until_what_it_references_is_on_disk(void **state) {
        Rig *rig = *state;
        int fd;

        rig->config.layout = LAYOUT_HUGGINGFACE;
        make_model();
        begin(rig, 3);
        fd = open("mirror/" BLOB, O_WRONLY | O_CLOEXEC);
        save(rig);
        assert_int_equal(item_of(rig, BLOB)->save.outcome, SAVE_BUSY);
        assert_true(is_there("disk/" MODEL "/refs"));
        assert_false(is_there("disk/" REF));
        assert_false(is_there("disk/" LINK));
        assert_false(writeback_is_over(&rig->wb)); /* it is tried again */
        (void) close(fd);
        save(rig); /* a scan makes what was busy due at once */
        assert_true(is_there("disk/" REF));
        assert_true(turn_of(rig, BLOB) < turn_of(rig, LINK));
        assert_true(turn_of(rig, LINK) < turn_of(rig, REF));
}

static void a_pointer_to_what_is_nowhere_is_not_saved_and_nothing_waits_for_it(void **state) {
        Rig *rig = *state;

        rig->config.layout = LAYOUT_HUGGINGFACE;
        make_model();
        begin(rig, 3);
        assert_int_equal(unlink("mirror/" BLOB), 0);
        save(rig);
        assert_false(is_there("disk/" LINK));
        assert_false(is_there("disk/" REF));
        assert_int_equal(save_queue_status(&rig->wb.queue).n_refused, 2);
        assert_true(writeback_is_over(&rig->wb));
}

static void what_may_still_change_waits_until_it_has_held_still(void **state) {
        Rig *rig = *state;
        uint64_t due;

        rig->config.settle_usec = HOUR;
        put_text("mirror/file", "bytes");
        begin(rig, 1);
        save(rig);
        assert_false(is_there("disk/file"));
        assert_false(writeback_is_over(&rig->wb));
        assert_true(clock_timer_is_set(&rig->wb.timer, &due)); /* it comes back to it by itself */
        assert_int_equal(due, item_of(rig, "file")->due_usec);
        assert_int_equal(due, item_of(rig, "file")->since_usec + HOUR);
        save(rig); /* another scan that sees the same does not start that again */
        assert_int_equal(item_of(rig, "file")->due_usec, due);
        put_text("mirror/file", "other bytes");
        save(rig);
        assert_true(item_of(rig, "file")->due_usec > due);
}

static void the_timer_starts_what_is_due(void **state) {
        Rig *rig = *state;

        rig->config.settle_usec = SECOND / 100;
        put_text("mirror/file", "bytes");
        begin(rig, 1);
        save(rig);
        while (!is_over(rig, "file"))
                assert_true(sd_event_run(rig->event, HOUR) > 0);
        assert_content("disk/file", "bytes", 5);
}

static void nothing_is_begun_when_the_mirror_ends(void **state) {
        Rig *rig = *state;

        rig->config.settle_usec = SECOND / 100;
        put_text("mirror/file", "bytes");
        begin(rig, 1);
        save(rig);
        writeback_stop(&rig->wb);
        assert_int_equal(sd_event_run(rig->event, SECOND / 10), 0); /* no timer */
        go_on(rig);
        assert_int_equal(rig->wb.n_running, 0);
        assert_int_equal(access("disk/file", F_OK), -1);
}

/* --- what is deleted --- */

/* Both sides have "gone" and "stays", and have agreed on them; then a client deletes the first. */
static void delete_one(Rig *rig) {
        static const char *const names[] = { "gone", "stays" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char on_disk[16], mirrored[16];
                struct stat st, on_the_disk;
                Entry entry;

                (void) snprintf(on_disk, sizeof(on_disk), "disk/%s", names[i]);
                (void) snprintf(mirrored, sizeof(mirrored), "mirror/%s", names[i]);
                put_text(on_disk, "bytes");
                put_text(mirrored, "bytes");
                set_mtime(on_disk, 1000, 0);
                set_mtime(mirrored, 1000, 0);
                st = stat_at(mirrored);
                on_the_disk = stat_at(on_disk);
                entry = (Entry){ .path = (char *) names[i], .size = 5, .mtime_nsec = 1000 * NSEC_PER_SEC,
                                 .ino = st.st_ino, .mode = 0644, .ctime_nsec = fs_nsec(&st.st_ctim), .dev = (uint32_t) on_the_disk.st_dev,
                                 .disk = { .ino = on_the_disk.st_ino, .mtime_nsec = 1000 * NSEC_PER_SEC,
                                           .ctime_nsec = fs_nsec(&on_the_disk.st_ctim) } };
                assert_int_equal(manifest_put(rig->base, &entry), 0);
        }
        manifest_sort(rig->base);
        assert_int_equal(unlink("mirror/gone"), 0);
        deletions_note_path(&rig->deletions, "gone");
}

static void deletions_start_only_when_every_report_was_scanned(void **state) {
        Rig *rig = *state;
        static const bool unsure[][2] = { { false, true }, { true, false }, { false, false } };

        delete_one(rig);
        begin(rig, 1);
        assert_int_equal(scan(rig), 0);
        assert_int_equal(item_of(rig, "gone")->action, PLAN_DELETE);
        go_on(rig);
        assert_int_equal(rig->wb.n_running, 0); /* it could be the first of a wave */
        item_of(rig, "gone")->due_usec = 0;
        for (size_t i = 0; i < ELEMENTSOF(unsure); i++) {
                writeback_go_on(&rig->wb, unsure[i][0], unsure[i][1]);
                assert_int_equal(rig->wb.n_running, 0);
        }
        writeback_go_on(&rig->wb, true, true);
        assert_int_equal(rig->wb.n_running, 1);
        settle(rig);
        assert_false(is_there("disk/gone"));
        assert_true(is_there("disk/stays"));
        assert_int_equal(rig->wb.n_deletions, 1);
}

static void deletions_that_are_forgotten_are_not_carried_out(void **state) {
        Rig *rig = *state;

        delete_one(rig);
        begin(rig, 1);
        assert_int_equal(scan(rig), 0);
        item_of(rig, "gone")->due_usec = 0;
        writeback_forget_deletions(&rig->wb);
        go_on(rig);
        assert_int_equal(rig->wb.n_running, 0);
        assert_true(is_there("disk/gone"));
        assert_true(writeback_is_over(&rig->wb));
}

/* --- savers --- */

static void put_hole(const char *path, uint64_t size) {
        put_text(path, "");
        assert_int_equal(truncate(path, (off_t) size), 0);
}

static void large_files_never_take_the_last_saver(void **state) {
        Rig *rig = *state;

        put_hole("mirror/a", 64 * MIB);
        put_hole("mirror/b", 64 * MIB);
        put_text("mirror/c", "small");
        begin(rig, 2);
        assert_int_equal(scan(rig), 0);
        go_on(rig);
        assert_int_equal(item_of(rig, "a")->state, ITEM_RUNNING);
        assert_int_equal(item_of(rig, "b")->state, ITEM_WAITING);
        assert_int_equal(item_of(rig, "c")->state, ITEM_RUNNING);
        settle(rig);
        assert_int_equal(stat_at("disk/a").st_size, 64 * MIB);
        assert_int_equal(stat_at("disk/b").st_size, 64 * MIB); /* it had its turn */
        assert_int_equal(rig->wb.n_large, 0);
}

static void a_single_saver_takes_large_files_too(void **state) {
        Rig *rig = *state;

        put_hole("mirror/a", 64 * MIB);
        begin(rig, 1);
        save(rig);
        assert_true(is_there("disk/a"));
}

static void no_more_is_begun_than_there_are_savers(void **state) {
        Rig *rig = *state;

        put_text("mirror/a", "1");
        put_text("mirror/b", "2");
        put_text("mirror/c", "3");
        begin(rig, 2);
        assert_int_equal(scan(rig), 0);
        go_on(rig);
        assert_int_equal(rig->wb.n_running, 2);
        assert_int_equal(item_of(rig, "c")->state, ITEM_WAITING);
        settle(rig);
        assert_int_equal(rig->n_order, 3);
}

/* --- what fails --- */

/* Everything fails: where our private directory should be, there is a file. */
static void break_disk(void) {
        put_text("disk/.shmstaged", "");
}

static void a_failure_is_tried_again_after_pauses_that_grow(void **state) {
        Rig *rig = *state;
        uint64_t before = 0;

        put_text("mirror/file", "bytes");
        break_disk();
        begin(rig, 1);
        assert_int_equal(scan(rig), 0);
        for (unsigned attempt = 1; attempt <= 3; attempt++) {
                const SaveItem *item = item_of(rig, "file");
                uint64_t begun = clock_usec(CLOCK_MONOTONIC);

                item_of(rig, "file")->due_usec = 0;
                go_on(rig);
                settle(rig);
                assert_int_equal(item->save.outcome, SAVE_FAILED);
                assert_int_equal(item->state, ITEM_WAITING);
                assert_int_equal(item->attempts, attempt);
                assert_true(item->due_usec >= begun + retry_pause_usec(SAVE_FAILED, attempt, false));
                assert_true(item->due_usec - begun > 3 * before / 2);
                before = item->due_usec - begun;
                save(rig); /* a scan in between does not shorten it */
                assert_int_equal(item_of(rig, "file")->attempts, attempt);
        }
        assert_int_equal(rig->wb.n_failures, 3);
        assert_int_equal(unlink("disk/.shmstaged"), 0);
        item_of(rig, "file")->due_usec = 0;
        go_on(rig);
        settle(rig);
        assert_content("disk/file", "bytes", 5);
}

static void pauses_double_up_to_a_minute(void **state) {
        static const uint64_t pauses[] = { 2, 4, 8, 16, 32, 60, 60, 60 };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(pauses); i++)
                assert_int_equal(retry_pause_usec(SAVE_FAILED, i + 1, false), pauses[i] * SECOND);
        assert_int_equal(retry_pause_usec(SAVE_FAILED, 1000, false), 60 * SECOND);
        assert_int_equal(retry_pause_usec(SAVE_BUSY, 1000, false), 2 * SECOND);
        assert_false(retry_is_over(SAVE_FAILED, 1000, false));
        assert_false(retry_is_over(SAVE_BUSY, 1000, false));
}

static void a_stop_tries_a_few_times_and_waits_longer_for_who_still_writes(void **state) {
        (void) state;
        assert_int_equal(retry_pause_usec(SAVE_FAILED, 2, true), SECOND / 2);
        assert_int_equal(retry_pause_usec(SAVE_BUSY, 19, true), SECOND / 2);
        assert_false(retry_is_over(SAVE_NO_ROOM, 2, true));
        assert_true(retry_is_over(SAVE_NO_ROOM, 3, true));
        assert_false(retry_is_over(SAVE_BUSY, 19, true));
        assert_true(retry_is_over(SAVE_BUSY, 20, true));
}

/* --- the stop --- */

static void a_stop_waits_for_nothing_to_hold_still(void **state) {
        Rig *rig = *state;

        rig->config.settle_usec = HOUR;
        put_text("mirror/file", "bytes");
        begin(rig, 1);
        save(rig);
        assert_false(writeback_is_over(&rig->wb));
        writeback_hurry(&rig->wb, true);
        go_on(rig);
        settle(rig);
        assert_content("disk/file", "bytes", 5);
        assert_true(writeback_is_over(&rig->wb));
}

static void a_stop_waits_for_a_save_that_is_out(void **state) {
        Rig *rig = *state;

        put_text("mirror/file", "bytes");
        begin(rig, 1);
        writeback_hurry(&rig->wb, true);
        assert_int_equal(scan(rig), 0);
        go_on(rig);
        assert_int_equal(rig->wb.n_running, 1);
        assert_false(writeback_is_over(&rig->wb));
        settle(rig);
        assert_true(writeback_is_over(&rig->wb));
}

static void a_stop_waits_for_what_fails_until_it_is_given_up(void **state) {
        Rig *rig = *state;

        put_text("mirror/file", "bytes");
        break_disk();
        begin(rig, 1);
        writeback_hurry(&rig->wb, true);
        assert_int_equal(scan(rig), 0);
        for (unsigned attempt = 1; attempt <= 3; attempt++) {
                assert_false(writeback_is_over(&rig->wb));
                item_of(rig, "file")->due_usec = 0;
                go_on(rig);
                settle(rig);
        }
        assert_int_equal(item_of(rig, "file")->state, ITEM_REFUSED);
        assert_true(writeback_is_over(&rig->wb));
        assert_non_null(item_of(rig, "file")->problem);
}

static void a_deletion_is_waited_for_at_a_stop_as_at_any_time(void **state) {
        Rig *rig = *state;

        delete_one(rig);
        begin(rig, 1);
        writeback_hurry(&rig->wb, true);
        assert_int_equal(scan(rig), 0);
        go_on(rig);
        assert_int_equal(rig->wb.n_running, 0);
        assert_false(writeback_is_over(&rig->wb));
        item_of(rig, "gone")->due_usec = 0;
        go_on(rig);
        settle(rig);
        assert_false(is_there("disk/gone"));
        assert_true(writeback_is_over(&rig->wb));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(directories_come_first_then_content_then_links_then_pointers),
                CASE(what_is_on_disk_goes_to_the_base),
                CASE(a_renamed_link_to_the_disk_renames_the_file),
                CASE(equal_bytes_on_both_sides_are_agreed_at_a_stop),
                CASE(a_pointer_waits_until_what_it_references_is_on_disk),
                CASE(a_pointer_to_what_is_nowhere_is_not_saved_and_nothing_waits_for_it),
                CASE(what_may_still_change_waits_until_it_has_held_still),
                CASE(the_timer_starts_what_is_due),
                CASE(nothing_is_begun_when_the_mirror_ends),
                CASE(deletions_start_only_when_every_report_was_scanned),
                CASE(deletions_that_are_forgotten_are_not_carried_out),
                CASE(large_files_never_take_the_last_saver),
                CASE(a_single_saver_takes_large_files_too),
                CASE(no_more_is_begun_than_there_are_savers),
                CASE(a_failure_is_tried_again_after_pauses_that_grow),
                cmocka_unit_test(pauses_double_up_to_a_minute),
                cmocka_unit_test(a_stop_tries_a_few_times_and_waits_longer_for_who_still_writes),
                CASE(a_stop_waits_for_nothing_to_hold_still),
                CASE(a_stop_waits_for_a_save_that_is_out),
                CASE(a_stop_waits_for_what_fails_until_it_is_given_up),
                CASE(a_deletion_is_waited_for_at_a_stop_as_at_any_time),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
