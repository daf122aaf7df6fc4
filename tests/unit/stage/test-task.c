/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One item of a plan, from scan to entry, with a real disk and a real tmpfs; and whole plans, which must leave nothing to do. */

#include "ground.h"
#include "broken-call.h"
#include "mirror/base-update.h"
#include "os/fs.h"
#include "stage/task.h"
#include "traceless.h"
#include "tree/scan.h"

#include <pthread.h>

#define CHUNK (64 * KIB)

/* A mirror's daemon without the daemon. */
typedef struct Rig {
        MirrorPrivateDir private_dir;
        TaskContext context;
        Manifest *base, *source, *mirror;
        Plan *plan;
        atomic_bool cancel;
        atomic_uint_fast64_t progress, steps;
        char source_path[64];
        bool unwatched; /* neither side */
        bool too_soon;  /* what has just changed counts as that; else as if time had passed */
        Task task;
} Rig;

static Rig rig;

static int group_setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 32);
        make_tmpfs("mirror", "size=32m");
        make_directory("state");
        return 0;
}

static int setup(void **state) {
        _cleanup_(freep) char *detail = NULL;
        const char *what;

        (void) state;
        rig = (Rig){ .context = { .sourcefd = open_directory("disk"), .chunk_size = CHUNK, .journalfd = -1 }, .task = { .outgoing = -1 } };
        (void) snprintf(rig.source_path, sizeof(rig.source_path), "%s/disk", ground_base);
        assert_int_equal(mirror_private_dir_open(&rig.private_dir, open_directory("mirror"), "/m", rig.source_path, &detail, &what), 0);
        assert_int_equal(manifest_new(&rig.base), 0);
        rig.context.source_path = rig.source_path;
        rig.context.private_dir = &rig.private_dir;
        rig.context.cancel = &rig.cancel;
        rig.context.progress = &rig.progress;
        rig.context.steps = &rig.steps;
        return 0;
}

static int teardown(void **state) {
        (void) state;
        task_done(&rig.task);
        rig.plan = plan_free(rig.plan);
        rig.base = manifest_free(rig.base);
        rig.source = manifest_free(rig.source);
        rig.mirror = manifest_free(rig.mirror);
        mirror_private_dir_close(&rig.private_dir, true);
        (void) close_fd(rig.private_dir.mirrorfd);
        (void) close_fd(rig.context.sourcefd);
        (void) close_fd(rig.context.journalfd);
        shell("rm -rf disk/* mirror/* mirror/" SCAN_PRIVATE_DIR " state/*");
        return 0;
}

/* Both sides as they are now, and what is to be done. */
static void survey(void) {
        static char *nothing[] = { NULL };
        ScanOptions of_source = { .root = rig.source_path }, of_mirror = { .root = "/m", .mirror = true };
        PlanInput input = { .source_path = rig.source_path, .priority = nothing, .keeps_owners = true,
                            .mirror_watched = !rig.unwatched, .source_watched = !rig.unwatched };
        uint16_t *doubts;

        rig.context.mirror_watched = !rig.unwatched;
        rig.plan = plan_free(rig.plan);
        rig.source = manifest_free(rig.source);
        rig.mirror = manifest_free(rig.mirror);
        assert_int_equal(scan_tree(rig.context.sourcefd, &of_source, &rig.source), 0);
        assert_int_equal(scan_tree(rig.private_dir.mirrorfd, &of_mirror, &rig.mirror), 0);
        for (size_t i = 0; !rig.too_soon && i < rig.source->n_entries; i++)
                rig.source->entries[i].flags &= (uint16_t) ~ENTRY_RACY;
        doubts = calloc(rig.base->n_entries + 1, sizeof(*doubts));
        assert_non_null(doubts);
        pair_mark_unproven(rig.base, rig.mirror, !rig.unwatched, doubts);
        manifest_add_flags(rig.base, doubts);
        free(doubts);
        input.base = rig.base;
        input.source = rig.source;
        input.mirror = rig.mirror;
        assert_int_equal(plan_new(&input, &rig.plan), 0);
}

static PlanItem *item_of(const char *path) {
        static PlanItem none;

        for (size_t i = 0; i < rig.plan->n_items; i++)
                if (strcmp(plan_item_path(&rig.plan->items[i]), path) == 0)
                        return &rig.plan->items[i];
        fail_msg("there is nothing to do about '%s'", path);
        return &none;
}

static bool is_work(PlanAction action) {
        return action == PLAN_ADOPT || action == PLAN_STAGE || action == PLAN_SETATTR || action == PLAN_LINK || action == PLAN_REMOVE;
}

/* Runs one item on the spot. What came of it stays in rig.task. */
static TaskOutcome run(const char *path) {
        task_done(&rig.task);
        task_init(&rig.task, &rig.context, item_of(path));
        task_run(&rig.task);
        return rig.task.outcome;
}

/* Carries out a whole plan as execute.c does, and lets the base move on. Every item must end well. */
static void settle(void) {
        Manifest *changes = NULL;

        survey();
        assert_int_equal(manifest_new(&changes), 0);
        for (size_t finish = 0; finish < 2; finish++)
                for (size_t i = 0; i < rig.plan->n_items; i++) {
                        const PlanItem *item = &rig.plan->items[i];
                        bool directory = item->source && item->source->type == ENTRY_DIRECTORY;
                        Task task;

                        if (!is_work(item->action) || (finish && !directory))
                                continue;
                        task_init(&task, &rig.context, item);
                        task.finish = finish;
                        task_run(&task);
                        if (task.outcome != TASK_AGREED && task.outcome != TASK_REMOVED)
                                fail_msg("%s of '%s' ended with outcome %d (%s: %s)", plan_action_name(item->action), plan_item_path(item),
                                         task.outcome, task.what, strerror(task.error));
                        base_update_note(changes, &task);
                        task_done(&task);
                }
        base_update_merge(rig.base, rig.source, &rig.plan, &changes);
}

static void assert_nothing_to_do(void) {
        survey();
        for (size_t i = 0; i < rig.plan->n_items; i++)
                if (rig.plan->items[i].action != PLAN_KEEP)
                        fail_msg("'%s': %s", plan_item_path(&rig.plan->items[i]), plan_action_name(rig.plan->items[i].action));
}

/* Runs one item, lets the base know what came of it, and plans anew. */
static TaskOutcome run_and_record(const char *path) {
        TaskOutcome outcome = run(path);

        if (outcome == TASK_AGREED || outcome == TASK_COMPARED) {
                assert_int_equal(manifest_put(rig.base, &rig.task.entry), 0);
                manifest_sort(rig.base);
        }
        task_done(&rig.task);
        rig.task = (Task){ .outgoing = -1 };
        survey();
        return outcome;
}

static Entry *base_of(const char *path) {
        static Entry none;
        Entry *entry = manifest_find(rig.base, path);

        if (!entry)
                fail_msg("the base does not know '%s'", path);
        return entry ? entry : &none;
}

/* Lets the base remember another digest for a path. */
static void misremember(const char *path) {
        Entry *entry = manifest_find(rig.base, path);

        assert_true(entry && entry->flags & ENTRY_HAS_DIGEST);
        if (entry)
                entry->digest.bytes[0] ^= 1;
}

/* --- whole plans --- */

static void make_tree(void) {
        make_directory("disk/a");
        make_directory("disk/a/b");
        make_directory("disk/empty");
        free(put_pattern("disk/a/small", 100, 1));
        free(put_pattern("disk/a/b/large", 5 * CHUNK + 3, 2));
        put_text("disk/nothing", "");
        assert_int_equal(symlink("../small", "disk/a/b/link"), 0);
        assert_int_equal(link("disk/a/small", "disk/z-again"), 0);
        assert_int_equal(link("disk/a/small", "disk/empty/again"), 0);
        assert_int_equal(chmod("disk/a", 0750), 0);
        set_mtime("disk/a/b", 1000000000, 7);
        set_mtime("disk/a", 1000000000, 8);
}

static void a_tree_is_staged_and_then_there_is_nothing_to_do(void **state) {
        (void) state;
        make_tree();
        settle();
        assert_nothing_to_do(); /* further names moved the first one's ctime, which is no change */
        shell("diff -r disk mirror -x lost+found -x .shmstaged");
        assert_int_equal(stat_at("mirror/a").st_mode & 0777, 0750);
        assert_int_equal(stat_at("mirror/a").st_mtim.tv_nsec, 8);
        assert_int_equal(stat_at("mirror/a/b").st_mtim.tv_nsec, 7);
        assert_int_equal(stat_at("mirror/z-again").st_ino, stat_at("mirror/a/small").st_ino);
        assert_int_equal(stat_at("mirror/a/small").st_nlink, 3);
}

static void every_change_of_the_source_arrives(void **state) {
        (void) state;
        make_tree();
        settle();
        put_text("disk/a/small", "changed, with all of its names");
        put_text("disk/new", "new");
        assert_int_equal(chmod("disk/nothing", 0600), 0);
        shell("rm disk/a/b/large");
        shell("rm disk/a/b/link && ln -s large disk/a/b/link");
        settle();
        assert_nothing_to_do();
        shell("diff -r disk mirror -x lost+found -x .shmstaged --no-dereference");
        assert_int_equal(stat_at("mirror/z-again").st_ino, stat_at("mirror/a/small").st_ino);
        shell("rm -r disk/*");
        settle();
        shell("test -z \"$(ls mirror)\"");
}

static void kinds_change_into_one_another(void **state) {
        (void) state;
        put_text("disk/x", "file");
        make_directory("disk/y");
        put_text("disk/y/inside", "x");
        assert_int_equal(symlink("x", "disk/z"), 0);
        settle();
        shell("rm -r disk/*");
        make_directory("disk/x");
        put_text("disk/x/inside", "x");
        assert_int_equal(symlink("x", "disk/y"), 0);
        put_text("disk/z", "file");
        settle();
        assert_nothing_to_do();
        shell("diff -r disk mirror -x .shmstaged --no-dereference");
}

static void attributes_change_alone(void **state) {
        ino_t ino;
        Digest before;

        (void) state;
        make_tree();
        settle();
        ino = stat_at("mirror/a/small").st_ino;
        before = manifest_find(rig.base, "a/small")->digest;
        assert_int_equal(chmod("disk/a/small", 0604), 0);
        assert_int_equal(chown("disk/a", 5, 6), 0);
        survey();
        assert_int_equal(item_of("a/small")->action, PLAN_SETATTR);
        settle();
        assert_nothing_to_do();
        assert_int_equal(stat_at("mirror/a/small").st_ino, ino);
        assert_int_equal(stat_at("mirror/a/small").st_mode & 0777, 0604);
        assert_int_equal(stat_at("mirror/a").st_uid, 5);
        assert_true(digest_equal(&manifest_find(rig.base, "a/small")->digest, &before));
}

static void what_a_killed_daemon_left_is_adopted_and_not_copied(void **state) {
        ino_t ino;

        (void) state;
        make_tree();
        settle();
        ino = stat_at("mirror/a/b/large").st_ino;
        manifest_free(rig.base);
        assert_int_equal(manifest_new(&rig.base), 0); /* and the memory is lost as well */
        atomic_store(&rig.progress, 0);
        settle();
        assert_nothing_to_do();
        assert_int_equal(rig.progress, 0);
        assert_int_equal(stat_at("mirror/a/b/large").st_ino, ino);
}

/* --- one item --- */

static void a_staged_file_has_its_digest_and_is_in_the_journal(void **state) {
        static const Generation generation = { .mirror_dev = 1 };
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        int fd = open_directory("state");
        const Entry *entry;
        unsigned line;

        (void) state;
        put_text("disk/file", "content");
        assert_int_equal(manifest_journal_open(fd, "m", &generation, &rig.context.journalfd), 0);
        survey();
        assert_int_equal(run("file"), TASK_AGREED);
        assert_int_equal(rig.task.entry.flags, ENTRY_HAS_DIGEST);
        assert_int_equal(rig.progress, 7);
        assert_true(rig.steps > 0);
        assert_int_equal(manifest_load(fd, "m", &loaded, &line), 0);
        entry = manifest_find(loaded, "file");
        assert_true(entry && digest_equal(&entry->digest, &rig.task.entry.digest) && entry->ino == rig.task.entry.ino);
        (void) close(fd);
}

static void *help(void *userdata) {
        copy_work(userdata);
        return NULL;
}

static void a_large_file_is_shared_by_several(void **state) {
        _cleanup_(freep) uint8_t *data = put_pattern("disk/file", 20 * CHUNK + 5, 1);
        pthread_t threads[3];

        (void) state;
        survey();
        task_init(&rig.task, &rig.context, item_of("file"));
        assert_true(task_is_large(&rig.task));
        assert_true(task_open(&rig.task));
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, help, rig.task.copy), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(task_close(&rig.task));
        assert_int_equal(rig.task.outcome, TASK_AGREED);
        assert_content("mirror/file", data, 20 * CHUNK + 5);
}

static void a_source_that_changed_since_the_scan_is_read_again(void **state) {
        (void) state;
        put_text("disk/file", "old");
        survey();
        put_text("disk/file", "new and longer");
        assert_int_equal(run("file"), TASK_AGREED);
        assert_content("mirror/file", "new and longer", 14);
        assert_int_equal(rig.task.entry.size, 14); /* what is recorded is what was copied */
}

static void a_source_that_is_gone_has_an_outcome_of_its_own(void **state) {
        (void) state;
        put_text("disk/file", "x");
        put_text("disk/other", "x");
        survey();
        assert_int_equal(unlink("disk/file"), 0);
        assert_int_equal(run("file"), TASK_GONE);
        assert_false(is_there("mirror/file"));
        assert_int_equal(unlink("disk/other"), 0);
        make_directory("disk/other");
        assert_int_equal(run("other"), TASK_GONE);
}

/* Behind the filesystem's back. */
static void rot(const char *path, const char *from, const char *to) {
        int image = open("disk.img", O_RDWR | O_CLOEXEC);
        struct stat st;
        char *bytes, *found;

        drop_cache(path);
        assert_int_equal(fstat(image, &st), 0);
        bytes = malloc((size_t) st.st_size);
        assert_non_null(bytes);
        assert_int_equal(pread(image, bytes, (size_t) st.st_size, 0), st.st_size);
        found = memmem(bytes, (size_t) st.st_size, from, strlen(from));
        assert_non_null(found);
        assert_int_equal(pwrite(image, to, strlen(to), found - bytes), strlen(to));
        free(bytes);
        assert_int_equal(close(image), 0);
}

static void corruption_on_the_disk_is_seen(void **state) {
        Digest expected;

        (void) state;
        put_text("disk/file", "good bytes");
        settle();
        expected = manifest_find(rig.base, "file")->digest;
        rot("disk/file", "good bytes", "bad  bytes");
        assert_int_equal(unlink("mirror/file"), 0);
        survey();
        assert_int_equal(run("file"), TASK_CORRUPT);
        assert_false(is_there("mirror/file"));
        assert_true(digest_equal(&rig.task.expected, &expected));
        assert_false(digest_equal(&rig.task.found, &expected));
        assert_int_equal(rig.progress, 10 + 3 * 10); /* it was given three chances */
}

static void new_bytes_with_a_new_time_are_no_corruption(void **state) {
        (void) state;
        put_text("disk/file", "old bytes");
        settle();
        put_text("disk/file", "new bytes"); /* no byte more or less */
        set_mtime("disk/file", 1234567890, 0);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_STAGE);
        assert_int_equal(run("file"), TASK_AGREED);
        assert_content("mirror/file", "new bytes", 9);
}

/* Another version of the same size and time is not a damaged one. */
static void a_digest_is_on_record_only_for_the_very_object(void **state) {
        struct stat st;

        (void) state;
        put_text("disk/file", "old bytes");
        settle();
        st = stat_at("disk/file");
        assert_int_equal(unlink("mirror/file"), 0);
        put_text("disk/new", "new bytes");
        set_mtime("disk/new", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        assert_int_equal(rename("disk/new", "disk/file"), 0);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_STAGE);
        assert_int_equal(run("file"), TASK_AGREED);
        assert_content("mirror/file", "new bytes", 9);
}

static void a_digest_is_on_record_for_what_was_only_touched(void **state) {
        (void) state;
        put_text("disk/file", "content");
        settle();
        assert_int_equal(unlink("mirror/file"), 0);
        misremember("file");
        assert_int_equal(link("disk/file", "disk/again"), 0);
        assert_int_equal(unlink("disk/again"), 0);
        survey();
        assert_int_equal(item_of("file")->on_disk, PAIR_TOUCHED);
        assert_int_equal(run("file"), TASK_CORRUPT);
        rig.unwatched = true;
        survey();
        assert_int_equal(run("file"), TASK_AGREED); /* nobody knows that it was only touched */
}

static void no_digest_is_on_record_for_what_was_seen_too_soon_or_is_unknown(void **state) {
        (void) state;
        put_text("disk/file", "content");
        settle();
        misremember("file");
        assert_int_equal(unlink("mirror/file"), 0);
        base_of("file")->flags |= ENTRY_RACY;
        survey();
        assert_int_equal(run("file"), TASK_AGREED);
        base_of("file")->flags &= (uint16_t) ~ENTRY_RACY;
        assert_int_equal(unlink("mirror/file"), 0);
        survey();
        assert_int_equal(run("file"), TASK_CORRUPT);
        base_of("file")->disk = (DiskObject){}; /* of a manifest of format 1 */
        survey();
        assert_int_equal(run("file"), TASK_AGREED);
}

static void what_was_staged_too_soon_is_marked_until_it_was_compared(void **state) {
        (void) state;
        put_text("disk/file", "content");
        survey();
        manifest_find(rig.source, "file")->flags |= ENTRY_RACY;
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(base_of("file")->flags, ENTRY_HAS_DIGEST | ENTRY_RACY);
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        atomic_store(&rig.steps, 0);
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(rig.steps, 1 + 7); /* the disk's bytes were read, the copy's are known */
        assert_int_equal(base_of("file")->flags, ENTRY_HAS_DIGEST);
        assert_int_equal(item_of("file")->action, PLAN_KEEP);
}

/* Large enough for several chunks, and with a hole. */
static void put_blob(const char *name) {
        char path[160];
        int fd;

        shell("mkdir -p disk/blobs");
        (void) snprintf(path, sizeof(path), "disk/blobs/%s", name);
        free(put_pattern(path, 3 * CHUNK + 17, 5));
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CHUNK, CHUNK), 0);
        assert_int_equal(close(fd), 0);
}

static void a_blob_is_staged_only_if_its_bytes_are_what_its_name_says(void **state) {
        _cleanup_(claim_stream_freep) ClaimStream *stream = NULL;
        uint8_t data[3 * CHUNK + 17];
        char hex[CLAIM_HEX_MAX], name[80], path[96];
        Claim claim;

        (void) state;
        fill_bytes(data, sizeof(data), 5);
        memset(data + CHUNK, 0, CHUNK);
        assert_int_equal(claim_stream_new(&stream, CLAIM_SHA256, sizeof(data)), 0);
        claim_stream_update(stream, data, sizeof(data));
        claim = claim_stream_get(stream);
        (void) snprintf(name, sizeof(name), "sha256-%s", claim_to_hex(&claim, hex));
        (void) snprintf(path, sizeof(path), "blobs/%s", name);
        rig.context.layout = LAYOUT_OLLAMA;
        put_blob(name);
        put_blob("sha256-0123456789012345678901234567890123456789012345678901234567890123");
        survey();
        assert_int_equal(run("blobs"), TASK_AGREED);
        assert_int_equal(run(path), TASK_AGREED);
        assert_int_equal(run("blobs/sha256-0123456789012345678901234567890123456789012345678901234567890123"), TASK_MISNAMED);
        assert_string_equal(claim_to_hex(&rig.task.claim_found, hex), name + strlen("sha256-"));
        assert_false(is_there("mirror/blobs/sha256-0123456789012345678901234567890123456789012345678901234567890123"));
        /* in a tree of another kind a name is a name */
        rig.context.layout = LAYOUT_AUTO;
        assert_int_equal(run("blobs/sha256-0123456789012345678901234567890123456789012345678901234567890123"), TASK_AGREED);
}

static void a_record_is_enough_to_see_corruption(void **state) {
        (void) state;
        put_text("disk/file", "good bytes");
        settle();
        manifest_find(rig.base, "file")->flags |= ENTRY_RECORD; /* a reboot */
        assert_int_equal(unlink("mirror/file"), 0);
        survey();
        assert_int_equal(run("file"), TASK_AGREED);
        assert_int_equal(unlink("mirror/file"), 0);
        misremember("file");
        survey();
        assert_int_equal(run("file"), TASK_CORRUPT);
}

/* --- comparing --- */

/* Puts another file with this content in the place of one, with the same mtime. */
static void put_copy(const char *path, const char *text) {
        struct stat st = stat_at(path);
        char temporary[64];

        (void) snprintf(temporary, sizeof(temporary), "%s.new", path);
        put_text(temporary, text);
        set_mtime(temporary, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        assert_int_equal(rename(temporary, path), 0);
}

static void touch_ctime(const char *path) {
        (void) usleep(20000); /* the kernel's clock for files ticks in milliseconds */
        assert_int_equal(chmod(path, stat_at(path).st_mode & 0777), 0);
}

static void put_agreed(const char *text) {
        put_text("disk/file", text);
        settle();
        assert_nothing_to_do();
        atomic_store(&rig.steps, 0);
}

static int64_t ctime_of(const char *path) {
        struct stat st = stat_at(path);

        return fs_nsec(&st.st_ctim);
}

static void assert_finding(unsigned flags) {
        assert_int_equal(rig.task.outcome, TASK_COMPARED);
        assert_int_equal(rig.task.entry.flags, flags);
        assert_int_equal(rig.task.entry.disk.ino, stat_at("disk/file").st_ino);
        assert_int_equal(rig.task.entry.disk.ctime_nsec, ctime_of("disk/file"));
        assert_int_equal(rig.task.entry.dev, (uint32_t) stat_at("disk/file").st_dev);
}

static void equal_bytes_without_a_base_are_agreed(void **state) {
        (void) state;
        put_text("disk/file", "content");
        put_text("mirror/file", "content");
        assert_int_equal(chmod("mirror/file", 0600), 0);
        set_mtime("mirror/file", 1234567890, 5);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        assert_int_equal(run("file"), TASK_AGREED);
        assert_int_equal(rig.steps, 1 + 2 * 7);
        assert_int_equal(rig.task.entry.flags, ENTRY_HAS_DIGEST | ENTRY_OWN_COPY); /* it came while it was watched */
        assert_int_equal(rig.task.entry.ino, stat_at("mirror/file").st_ino);
        assert_int_equal(rig.task.entry.mode, 0600); /* as it is there */
        assert_int_equal(rig.task.entry.mtime_nsec, rig.task.entry.disk.mtime_nsec); /* it got the time of the disk */
        assert_int_equal(rig.task.entry.disk.ino, stat_at("disk/file").st_ino);
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0600);
}

/* Of two links the times are never the same, and of one on the disk perhaps only whole seconds are known. */
static void a_link_that_both_sides_have_is_known_by_what_it_is_in_the_mirror(void **state) {
        (void) state;
        assert_int_equal(symlink("x", "mirror/link"), 0);
        (void) usleep(20000);
        assert_int_equal(symlink("x", "disk/link"), 0);
        settle();
        assert_nothing_to_do();
        rig.plan = plan_free(rig.plan);
        assert_int_equal(plan_new_removal(rig.base, NULL, &rig.plan), 0);
        assert_int_equal(run("link"), TASK_REMOVED);
}

static void other_bytes_without_a_base_differ(void **state) {
        (void) state;
        put_text("disk/file", "content");
        put_text("mirror/file", "conTent");
        survey();
        (void) run("file");
        assert_finding(ENTRY_RECORD | ENTRY_SIDES_DIFFER | ENTRY_HAS_DIGEST);
        assert_content("mirror/file", "conTent", 7);
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_CONFLICT);
}

static void another_object_of_the_disk_with_the_bytes_of_the_base_is_agreed(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "content");
        survey();
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(rig.steps, 1 + 7); /* the copy was not read */
        assert_nothing_to_do();
}

static void another_object_of_the_disk_with_other_bytes_is_found_out(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "conTent");
        survey();
        (void) run("file");
        assert_finding(ENTRY_HAS_DIGEST | ENTRY_DISK_DIFFERS);
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_STAGE);
}

/* Each comparison found the same again, because the time on record was not that of the copy. */
static void a_copy_whose_time_alone_was_changed_gives_way_to_other_bytes_of_the_disk(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "conTent");
        set_mtime("mirror/file", 1234567890, 5);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        (void) run("file");
        assert_finding(ENTRY_HAS_DIGEST | ENTRY_DISK_DIFFERS);
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_STAGE);
}

static void a_copy_that_was_altered_and_changed_back_gives_way_to_other_bytes_of_the_disk(void **state) {
        (void) state;
        put_agreed("content");
        base_of("file")->flags |= ENTRY_MIRROR_DIFFERS;
        touch_ctime("mirror/file");
        put_copy("disk/file", "conTent");
        survey();
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_STAGE);
}

static void a_copy_of_a_clients_own_with_the_bytes_of_the_base_is_agreed(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("mirror/file", "content");
        survey();
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(rig.steps, 1 + 7); /* the disk was not read */
        assert_int_equal(base_of("file")->ino, stat_at("mirror/file").st_ino);
        assert_nothing_to_do();
        assert_int_equal(chmod("disk/file", 0604), 0);
        settle(); /* which sets that on the copy, and is no reason to forget whose it is */
        assert_nothing_to_do();
        assert_int_equal(unlink("disk/file"), 0); /* mv(1) removes what it has copied */
        survey();
        assert_int_equal(item_of("file")->action, PLAN_SAVE);
}

static void a_copy_of_a_clients_own_with_other_bytes_is_found_out(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("mirror/file", "conTent");
        survey();
        (void) run("file");
        assert_finding(ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        assert_int_equal(rig.task.entry.ino, stat_at("mirror/file").st_ino);
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_SAVE);
}

static void where_neither_has_the_bytes_of_the_base_both_are_compared(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "CONTENT");
        put_copy("mirror/file", "conTent");
        survey();
        (void) run("file");
        assert_finding(ENTRY_RECORD | ENTRY_SIDES_DIFFER | ENTRY_HAS_DIGEST);
        put_copy("mirror/file", "CONTENT");
        survey();
        assert_int_equal(run("file"), TASK_AGREED);
}

/* A client's own copy is its own, also if it has the bytes that both sides had once. */
static void an_own_copy_of_the_base_is_not_what_was_published(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "CONTENT");
        put_copy("mirror/file", "content");
        survey();
        (void) run("file");
        assert_finding(ENTRY_RECORD | ENTRY_SIDES_DIFFER | ENTRY_HAS_DIGEST);
}

/* It is given nothing of the disk's, as nothing of its own is carried to the disk. */
static void an_own_copy_keeps_its_attributes_until_they_are_set_as_those_of_the_disk(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("mirror/file", "content");
        assert_int_equal(chmod("mirror/file", 0600), 0);
        survey();
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0600);
        assert_int_equal(stat_at("disk/file").st_mode & 0777, 0644);
        assert_int_equal(item_of("file")->action, PLAN_SETATTR);
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0644);
        assert_nothing_to_do();
}

static void what_has_another_size_in_the_mirror_is_not_read(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "content");
        put_text("mirror/file", "longer than that");
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        (void) run("file");
        assert_int_equal(rig.steps, 1 + 7);
        assert_finding(ENTRY_HAS_DIGEST); /* the disk has what it had */
        assert_int_equal(run_and_record("file"), TASK_COMPARED);
        assert_int_equal(item_of("file")->action, PLAN_SAVE);
}

static void what_was_stored_through_a_mapping_is_found_out_when_it_is_compared(void **state) {
        (void) state;
        put_agreed("content");
        store_traceless("mirror/file", "CONTENT");
        base_of("file")->flags |= ENTRY_UNPROVEN | ENTRY_WRITTEN; /* as reported */
        put_copy("disk/file", "content");
        survey();
        (void) run("file");
        assert_finding(ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        assert_int_equal(rig.steps, 1 + 2 * 7);
}

static void what_was_only_touched_is_recorded_without_reading(void **state) {
        (void) state;
        put_agreed("content");
        touch_ctime("mirror/file");
        touch_ctime("disk/file");
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(rig.steps, 1);
        assert_nothing_to_do();
}

static void what_is_open_for_writing_is_not_compared(void **state) {
        int writer;

        (void) state;
        put_agreed("content");
        writer = open("mirror/file", O_WRONLY | O_CLOEXEC);
        put_copy("disk/file", "conTent");
        base_of("file")->flags |= ENTRY_UNPROVEN;
        survey();
        assert_int_equal(run("file"), TASK_BUSY);
        assert_int_equal(close(writer), 0);
        assert_int_equal(run("file"), TASK_COMPARED);
}

/* Its ctime has moved, and more may come. */
static void what_is_open_for_writing_was_not_only_touched(void **state) {
        int writer;

        (void) state;
        put_agreed("content");
        writer = open("mirror/file", O_WRONLY | O_CLOEXEC);
        touch_ctime("mirror/file");
        survey();
        assert_int_equal(item_of("file")->in_mirror, PAIR_TOUCHED);
        assert_int_equal(run("file"), TASK_AGREED);
        assert_int_equal(rig.task.entry.flags, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        assert_int_equal(close(writer), 0);
        assert_int_equal(run("file"), TASK_AGREED);
        assert_int_equal(rig.task.entry.flags, ENTRY_HAS_DIGEST);
}

static void what_has_changed_since_the_scan_is_left_to_the_next_one(void **state) {
        static const char *const commands[] = {
                "rm mirror/file", "echo more >> mirror/file", "rm mirror/file && mkdir mirror/file",
                "rm disk/file", "echo more >> disk/file", "rm disk/file && ln -s x disk/file",
                "cp -p mirror/file x && mv x mirror/file", "cp -p disk/file disk/x && mv disk/x disk/file",
                "sleep 0.02; chmod 600 mirror/file", "sleep 0.02; chmod 600 disk/file",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                shell("rm -rf disk/file mirror/file");
                put_text("disk/file", "content");
                put_text("mirror/file", "content");
                survey();
                shell(commands[i]);
                if (run("file") != TASK_GONE)
                        fail_msg("'%s': outcome %d", commands[i], rig.task.outcome);
        }
}

static void the_copy_takes_the_attributes_of_another_object_on_the_disk(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "content");
        set_mtime("disk/file", 1234567890, 0);
        assert_int_equal(chmod("disk/file", 0600) | chown("disk/file", 5, 6), 0);
        survey();
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0600);
        assert_int_equal(stat_at("mirror/file").st_uid, 5);
        assert_int_equal(stat_at("mirror/file").st_mtim.tv_sec, 1234567890);
        assert_nothing_to_do();
}

static void what_a_client_did_to_its_attributes_is_not_undone(void **state) {
        (void) state;
        put_agreed("content");
        assert_int_equal(chmod("mirror/file", 0600), 0);
        put_copy("disk/file", "content");
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        assert_int_equal(run_and_record("file"), TASK_AGREED);
        assert_int_equal(stat_at("mirror/file").st_mode & 0777, 0600);
        assert_int_equal(item_of("file")->action, PLAN_SAVEATTR);
}

/* With the disk's time it would look as if it had never been written to. */
static void new_attributes_do_not_hide_a_write(void **state) {
        (void) state;
        put_agreed("content");
        assert_int_equal(chmod("disk/file", 0600), 0);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_SETATTR);
        put_text("mirror/file", "CONTENT");
        assert_int_equal(run("file"), TASK_GONE);
        survey();
        assert_int_equal(item_of("file")->in_mirror, PAIR_OTHER);
}

static void new_attributes_of_a_compared_file_do_not_hide_a_write(void **state) {
        (void) state;
        put_agreed("content");
        put_copy("disk/file", "content");
        assert_int_equal(chmod("disk/file", 0600), 0);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_ADOPT);
        put_text("mirror/file", "CONTENT");
        assert_int_equal(run("file"), TASK_GONE);
        survey();
        assert_int_equal(item_of("file")->in_mirror, PAIR_OTHER);
}

static bool fails_in_step(const void *what) {
        return run("file") == TASK_FAILED && rig.task.error == EIO && strcmp(rig.task.what, what) == 0;
}

/* True if the comparison of the file fails in that step, where the first file that it syncs cannot be synced, or the
 * next. */
static bool fails_to(const char *what, bool with_file) {
        BrokenCall fsyncs = { .call = __NR_fsync, .first = next_descriptor() + !with_file, .last = UINT32_MAX, .error = EIO };

        return is_so_broken(fsyncs, fails_in_step, what);
}

/* It may come from a save that failed in that very step. */
static void what_is_found_on_both_sides_is_synced_before_it_counts(void **state) {
        (void) state;
        put_text("disk/file", "content");
        put_text("mirror/file", "content");
        survey();
        assert_true(fails_to("sync", true));
        assert_true(fails_to("sync the directory of", false));
        assert_int_equal(run("file"), TASK_AGREED);
}

static void a_tmpfs_that_is_full_is_reported(void **state) {
        (void) state;
        free(put_pattern("disk/file", 4 * MIB, 1));
        shell("fallocate -l 30M mirror/hog");
        survey();
        assert_int_equal(run("file"), TASK_NO_ROOM);
        assert_false(is_there("mirror/file"));
}

static void what_a_client_put_there_meanwhile_is_left_alone(void **state) {
        (void) state;
        put_text("disk/file", "ours");
        survey();
        put_text("mirror/file", "a client's");
        assert_int_equal(run("file"), TASK_OCCUPIED);
        assert_content("mirror/file", "a client's", 10);
}

/* Another content, with size and mtime as they were. */
static void alter_quietly(const char *path, const char *text) {
        struct stat st = stat_at(path);
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        (void) usleep(20000); /* the kernel's clock for files ticks in milliseconds */
        assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
        (void) close(fd);
        set_mtime(path, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* Nobody watched, so it is read before it goes. */
static void what_a_client_altered_quietly_is_not_replaced_or_removed(void **state) {
        (void) state;
        rig.unwatched = true;
        put_text("disk/file", "content");
        free(put_pattern("disk/large", 5 * CHUNK, 1));
        put_text("disk/gone", "content");
        settle();
        alter_quietly("mirror/file", "CONTENT");
        alter_quietly("mirror/large", "CONTENT");
        alter_quietly("mirror/gone", "CONTENT");
        put_text("disk/file", "a new version");
        put_text("disk/large", "a new version");
        assert_int_equal(unlink("disk/gone"), 0);
        survey();
        assert_int_equal(run("file"), TASK_COMPARED);
        assert_int_equal(rig.task.entry.flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        assert_int_equal(rig.task.entry.ctime_nsec, ctime_of("mirror/file"));
        assert_content("mirror/file", "CONTENT", 7);
        task_init(&rig.task, &rig.context, item_of("large"));
        assert_false(task_open(&rig.task));
        assert_int_equal(rig.task.outcome, TASK_COMPARED);
        assert_int_equal(run_and_record("gone"), TASK_COMPARED);
        assert_content("mirror/gone", "CONTENT", 7);
        assert_int_equal(item_of("gone")->action, PLAN_SAVE);
}

/* Its bytes are as they were, whatever was done to it. */
static void what_is_in_doubt_is_read_before_it_goes(void **state) {
        (void) state;
        rig.unwatched = true;
        put_text("disk/file", "content");
        put_text("disk/gone", "content");
        settle();
        base_of("file")->flags |= ENTRY_UNPROVEN; /* as after a crash */
        put_text("disk/file", "a new version");
        assert_int_equal(unlink("disk/gone"), 0);
        survey();
        touch_ctime("mirror/gone"); /* since the scan: another of its names was removed, or more than that */
        atomic_store(&rig.steps, 0);
        assert_int_equal(run("file"), TASK_AGREED);
        assert_int_equal(rig.steps, 1 + 7);
        assert_content("mirror/file", "a new version", 13);
        assert_int_equal(run("gone"), TASK_REMOVED);
        assert_int_equal(rig.steps, 2 * (1 + 7));
        assert_false(is_there("mirror/gone"));
}

static void at_the_end_what_is_not_in_doubt_goes_unread(void **state) {
        (void) state;
        put_text("disk/gone", "content");
        settle();
        touch_ctime("mirror/gone"); /* every write would have been reported */
        assert_int_equal(unlink("disk/gone"), 0);
        survey();
        rig.context.ending = true;
        atomic_store(&rig.steps, 0);
        assert_int_equal(run("gone"), TASK_REMOVED);
        assert_int_equal(rig.steps, 1);
}

/* While the plan waited for its turn. */
static void what_was_stored_since_the_scan_does_not_go(void **state) {
        (void) state;
        put_text("disk/file", "content");
        put_text("disk/gone", "content");
        settle();
        put_text("disk/file", "a new version");
        assert_int_equal(unlink("disk/gone"), 0);
        survey();
        store_traceless("mirror/file", "CONTENT");
        store_traceless("mirror/gone", "CONTENT");
        assert_int_equal(run("file"), TASK_COMPARED);
        /* without a report memory may be to blame, so both are kept */
        assert_int_equal(rig.task.entry.flags, ENTRY_HAS_DIGEST | ENTRY_RECORD | ENTRY_SIDES_DIFFER);
        assert_content("mirror/file", "CONTENT", 7);
        assert_int_equal(run("gone"), TASK_COMPARED);
        assert_content("mirror/gone", "CONTENT", 7);
}

static void what_is_stored_while_the_new_version_is_copied_does_not_go(void **state) {
        (void) state;
        put_text("disk/file", "content");
        settle();
        put_text("disk/file", "a new version");
        survey();
        task_init(&rig.task, &rig.context, item_of("file"));
        assert_true(task_open(&rig.task));
        store_traceless("mirror/file", "CONTENT");
        copy_work(rig.task.copy);
        assert_false(task_close(&rig.task));
        assert_int_equal(rig.task.outcome, TASK_GONE); /* the next scan sees to it */
        assert_content("mirror/file", "CONTENT", 7);
        assert_int_equal(run("file"), TASK_COMPARED);
}

static void what_is_in_doubt_and_open_for_writing_does_not_go(void **state) {
        int writer;

        (void) state;
        put_text("disk/gone", "content");
        settle();
        base_of("gone")->flags |= ENTRY_UNPROVEN;
        writer = open("mirror/gone", O_WRONLY | O_CLOEXEC);
        assert_int_equal(unlink("disk/gone"), 0);
        survey();
        assert_int_equal(run("gone"), TASK_BUSY);
        assert_int_equal(close(writer), 0);
        assert_int_equal(run("gone"), TASK_REMOVED);
}

/* Whatever a plan that is wrong about it may say. */
static void what_was_never_put_there_does_not_go(void **state) {
        static const PlanAction actions[] = { PLAN_STAGE, PLAN_LINK, PLAN_REMOVE, PLAN_RELEASE };

        (void) state;
        put_agreed("content");
        put_copy("mirror/file", "content"); /* a client's own */
        survey();
        for (size_t i = 0; i < ELEMENTSOF(actions); i++) {
                item_of("file")->action = actions[i];
                assert_int_equal(run("file"), TASK_OCCUPIED);
                assert_content("mirror/file", "content", 7);
        }
}

static void what_was_found_to_differ_does_not_go(void **state) {
        (void) state;
        put_agreed("content");
        base_of("file")->flags |= ENTRY_MIRROR_DIFFERS;
        assert_int_equal(unlink("disk/file"), 0);
        survey();
        assert_int_equal(item_of("file")->action, PLAN_SAVE);
        item_of("file")->action = PLAN_REMOVE;
        assert_int_equal(run("file"), TASK_OCCUPIED);
        assert_true(is_there("mirror/file"));
}

static void what_is_unproven_and_has_no_digest_does_not_go(void **state) {
        (void) state;
        put_agreed("content");
        base_of("file")->flags = ENTRY_UNPROVEN;
        assert_int_equal(unlink("disk/file"), 0);
        survey();
        item_of("file")->action = PLAN_REMOVE;
        item_of("file")->in_mirror = PAIR_SAME; /* as the plan that ends a mirror has it */
        assert_int_equal(run("file"), TASK_OCCUPIED);
        assert_true(is_there("mirror/file"));
}

static void what_was_kept_aside_goes_although_it_is_a_clients(void **state) {
        (void) state;
        put_text("disk/file", "the disk's");
        put_text("mirror/file", "a client's");
        survey();
        item_of("file")->action = PLAN_STAGE;
        assert_int_equal(run("file"), TASK_OCCUPIED);
        item_of("file")->kept = true;
        assert_int_equal(run("file"), TASK_AGREED);
        assert_content("mirror/file", "the disk's", 10);
}

/* The last plan of a mirror lists it beside what the base knows. */
static void what_nobody_knows_is_removed_if_the_plan_says_so(void **state) {
        (void) state;
        put_text("mirror/file.part", "unfinished");
        survey();
        item_of("file.part")->action = PLAN_REMOVE;
        assert_int_equal(run("file.part"), TASK_REMOVED);
}

static void what_was_only_touched_is_replaced_and_removed(void **state) {
        (void) state;
        put_text("disk/file", "content");
        put_text("disk/gone", "content");
        settle();
        assert_int_equal(chmod("mirror/file", 0600), 0); /* the ctime moves, the bytes do not */
        assert_int_equal(link("mirror/gone", "mirror/again"), 0);
        assert_int_equal(unlink("mirror/again"), 0);
        put_text("disk/file", "a new version");
        assert_int_equal(unlink("disk/gone"), 0);
        survey();
        assert_int_equal(run("file"), TASK_AGREED);
        assert_content("mirror/file", "a new version", 13);
        assert_int_equal(run("gone"), TASK_REMOVED);
        assert_false(is_there("mirror/gone"));
}

static void a_link_to_the_disk_takes_the_place(void **state) {
        char target[128] = "", expected[128];

        (void) state;
        make_directory("disk/sub");
        put_text("disk/sub/file", "x");
        survey();
        assert_int_equal(run("sub"), TASK_AGREED);
        item_of("sub/file")->action = PLAN_LINK;
        assert_int_equal(run("sub/file"), TASK_AGREED);
        assert_true(rig.task.entry.flags & ENTRY_LINKED);
        assert_true(readlink("mirror/sub/file", target, sizeof(target) - 1) > 0);
        (void) snprintf(expected, sizeof(expected), "%s/sub/file", rig.source_path);
        assert_string_equal(target, expected);
        survey();
        assert_true(plan_is_disk_link(item_of("sub/file")->mirror, rig.source_path));
}

/* The flags that an entry has in the base, and in the journal, after the task for it. */
static unsigned flags_after(const char *path) {
        static const Generation generation = { .mirror_dev = 1 };
        _cleanup_(manifest_freep) Manifest *loaded = NULL;
        int fd = open_directory("state");
        const Entry *entry;
        unsigned line;

        assert_int_equal(manifest_journal_open(fd, "m", &generation, &rig.context.journalfd), 0);
        assert_int_equal(run(path), TASK_AGREED);
        rig.context.journalfd = close_fd(rig.context.journalfd);
        assert_int_equal(manifest_load(fd, "m", &loaded, &line), 0);
        entry = manifest_find(loaded, path);
        assert_non_null(entry);
        assert_int_equal(entry ? entry->flags : 0, rig.task.entry.flags);
        (void) close(fd);
        return rig.task.entry.flags;
}

static void what_the_source_was_marked_with_does_not_reach_the_base(void **state) {
        static const char *const paths[] = { "dir", "file", "large", "same" };

        (void) state;
        make_directory("disk/dir");
        put_text("disk/file", "x");
        free(put_pattern("disk/large", 5 * CHUNK, 1));
        put_text("disk/same", "x");
        shell("cp -p disk/same mirror/same");
        rig.unwatched = true; /* it may be of an earlier run */
        survey();
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                manifest_find(rig.source, paths[i])->flags |= ENTRY_ORPHAN | ENTRY_DISK_ONLY;
        assert_int_equal(item_of("same")->action, PLAN_ADOPT);
        assert_int_equal(flags_after("dir"), 0);
        assert_int_equal(flags_after("file"), ENTRY_HAS_DIGEST);
        assert_int_equal(flags_after("large"), ENTRY_HAS_DIGEST);
        assert_int_equal(flags_after("same"), ENTRY_HAS_DIGEST);
        item_of("file")->action = PLAN_LINK;
        assert_int_equal(unlink("mirror/file"), 0);
        assert_int_equal(flags_after("file"), ENTRY_LINKED);
}

static void that_a_client_brought_it_is_remembered_in_its_generation(void **state) {
        (void) state;
        put_text("disk/file", "x");
        put_text("disk/record", "x");
        put_text("disk/mode", "x");
        settle();
        for (size_t i = 0; i < rig.base->n_entries; i++)
                rig.base->entries[i].flags |= ENTRY_SAVED;
        manifest_find(rig.base, "record")->flags |= ENTRY_RECORD | ENTRY_CONDEMNED;
        assert_int_equal(unlink("mirror/record"), 0);
        put_text("disk/file", "a new version");
        assert_int_equal(chmod("disk/mode", 0600), 0);
        survey();
        assert_int_equal(flags_after("file"), ENTRY_HAS_DIGEST | ENTRY_SAVED);
        assert_int_equal(item_of("mode")->action, PLAN_SETATTR);
        assert_int_equal(flags_after("mode"), ENTRY_HAS_DIGEST | ENTRY_SAVED);
        assert_int_equal(flags_after("record"), ENTRY_HAS_DIGEST); /* of a mirror that is gone; and it is wanted again */
}

static void an_unreadable_source_is_an_error_with_its_step(void **state) {
        (void) state;
        make_directory("disk/sub");
        put_text("disk/sub/file", "x");
        survey();
        assert_int_equal(run("sub/file"), TASK_FAILED); /* its directory was not made */
        assert_int_equal(rig.task.error, ENOENT);
        assert_string_equal(rig.task.what, "move into place the copy of");
        shell("test -z \"$(ls mirror/.shmstaged | grep ^t)\"");
}

static void a_further_name_does_not_take_an_old_version(void **state) {
        (void) state;
        put_text("disk/first", "old");
        assert_int_equal(link("disk/first", "disk/more"), 0);
        settle();
        put_text("disk/first", "a new version");
        survey();
        assert_int_equal(run("more"), TASK_FAILED); /* before, or instead of, the first name */
        assert_content("mirror/more", "old", 3);
        assert_int_equal(run("first"), TASK_AGREED);
        assert_int_equal(run("more"), TASK_AGREED);
        assert_content("mirror/more", "a new version", 13);
}

static void what_is_cancelled_does_nothing_but_removals_go_on(void **state) {
        (void) state;
        put_text("disk/gone", "x");
        settle();
        assert_int_equal(unlink("disk/gone"), 0);
        put_text("disk/file", "x");
        survey();
        atomic_store(&rig.cancel, true);
        rig.context.ending = true;
        assert_int_equal(run("file"), TASK_CANCELLED);
        assert_false(is_there("mirror/file"));
        assert_int_equal(run("gone"), TASK_REMOVED); /* a stop removes */
        assert_false(is_there("mirror/gone"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_tree_is_staged_and_then_there_is_nothing_to_do),
                CASE(every_change_of_the_source_arrives),
                CASE(kinds_change_into_one_another),
                CASE(attributes_change_alone),
                CASE(what_a_killed_daemon_left_is_adopted_and_not_copied),
                CASE(a_staged_file_has_its_digest_and_is_in_the_journal),
                CASE(a_large_file_is_shared_by_several),
                CASE(a_source_that_changed_since_the_scan_is_read_again),
                CASE(a_source_that_is_gone_has_an_outcome_of_its_own),
                CASE(corruption_on_the_disk_is_seen),
                CASE(new_bytes_with_a_new_time_are_no_corruption),
                CASE(a_digest_is_on_record_only_for_the_very_object),
                CASE(a_digest_is_on_record_for_what_was_only_touched),
                CASE(no_digest_is_on_record_for_what_was_seen_too_soon_or_is_unknown),
                CASE(what_was_staged_too_soon_is_marked_until_it_was_compared),
                CASE(a_blob_is_staged_only_if_its_bytes_are_what_its_name_says),
                CASE(a_record_is_enough_to_see_corruption),
                CASE(equal_bytes_without_a_base_are_agreed),
                CASE(a_link_that_both_sides_have_is_known_by_what_it_is_in_the_mirror),
                CASE(other_bytes_without_a_base_differ),
                CASE(another_object_of_the_disk_with_the_bytes_of_the_base_is_agreed),
                CASE(another_object_of_the_disk_with_other_bytes_is_found_out),
                CASE(a_copy_whose_time_alone_was_changed_gives_way_to_other_bytes_of_the_disk),
                CASE(a_copy_that_was_altered_and_changed_back_gives_way_to_other_bytes_of_the_disk),
                CASE(a_copy_of_a_clients_own_with_the_bytes_of_the_base_is_agreed),
                CASE(a_copy_of_a_clients_own_with_other_bytes_is_found_out),
                CASE(where_neither_has_the_bytes_of_the_base_both_are_compared),
                CASE(an_own_copy_of_the_base_is_not_what_was_published),
                CASE(an_own_copy_keeps_its_attributes_until_they_are_set_as_those_of_the_disk),
                CASE(what_has_another_size_in_the_mirror_is_not_read),
                CASE(what_was_stored_through_a_mapping_is_found_out_when_it_is_compared),
                CASE(what_was_only_touched_is_recorded_without_reading),
                CASE(what_is_open_for_writing_is_not_compared),
                CASE(what_is_open_for_writing_was_not_only_touched),
                CASE(what_has_changed_since_the_scan_is_left_to_the_next_one),
                CASE(the_copy_takes_the_attributes_of_another_object_on_the_disk),
                CASE(what_a_client_did_to_its_attributes_is_not_undone),
                CASE(new_attributes_do_not_hide_a_write),
                CASE(new_attributes_of_a_compared_file_do_not_hide_a_write),
                CASE(what_is_found_on_both_sides_is_synced_before_it_counts),
                CASE(a_tmpfs_that_is_full_is_reported),
                CASE(what_a_client_put_there_meanwhile_is_left_alone),
                CASE(what_a_client_altered_quietly_is_not_replaced_or_removed),
                CASE(what_is_in_doubt_is_read_before_it_goes),
                CASE(at_the_end_what_is_not_in_doubt_goes_unread),
                CASE(what_was_stored_since_the_scan_does_not_go),
                CASE(what_is_stored_while_the_new_version_is_copied_does_not_go),
                CASE(what_is_in_doubt_and_open_for_writing_does_not_go),
                CASE(what_was_never_put_there_does_not_go),
                CASE(what_was_found_to_differ_does_not_go),
                CASE(what_is_unproven_and_has_no_digest_does_not_go),
                CASE(what_was_kept_aside_goes_although_it_is_a_clients),
                CASE(what_nobody_knows_is_removed_if_the_plan_says_so),
                CASE(what_was_only_touched_is_replaced_and_removed),
                CASE(a_link_to_the_disk_takes_the_place),
                CASE(what_the_source_was_marked_with_does_not_reach_the_base),
                CASE(that_a_client_brought_it_is_remembered_in_its_generation),
                CASE(an_unreadable_source_is_an_error_with_its_step),
                CASE(a_further_name_does_not_take_an_old_version),
                CASE(what_is_cancelled_does_nothing_but_removals_go_on),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, group_setup, ground_teardown);
}
