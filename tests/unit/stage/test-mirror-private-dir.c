/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The private directory of a mirror: whose it is, and the renames in and out of it, by which no client loses anything. */

#include "ground.h"
#include "corner.h"
#include "os/fs.h"
#include "stage/mirror-private-dir.h"

#include <pthread.h>

static MirrorPrivateDir private_dir;
static const char *what;

static int try_open(const char *source, char **ret_detail) {
        private_dir.mirrorfd = open_directory("mirror");
        return mirror_private_dir_open(&private_dir, private_dir.mirrorfd, "/dev/shm/m", source, ret_detail, &what);
}

static void open_staging(void) {
        _cleanup_(freep) char *detail = NULL;

        assert_int_equal(try_open("/data/models", &detail), 0);
        assert_null(detail);
}

static void close_staging(bool remove) {
        mirror_private_dir_close(&private_dir, remove);
        assert_int_equal(private_dir.fd, -1);
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
}

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("mirror");
        return 0;
}

static int setup_open(void **state) {
        (void) setup(state);
        open_staging();
        return 0;
}

static int teardown_open(void **state) {
        mirror_private_dir_close(&private_dir, false);
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
        return ground_teardown(state);
}

/* What the scan would say of a path now. */
static Entry entry_of(const char *path) {
        static char full[256];
        struct stat st;

        (void) snprintf(full, sizeof(full), "mirror/%s", path);
        st = stat_at(full);
        return (Entry){ .path = full + 7, .size = (uint64_t) st.st_size, .ino = st.st_ino, .mtime_nsec = fs_nsec(&st.st_mtim),
                        .ctime_nsec = fs_nsec(&st.st_ctim),
                        .type = S_ISDIR(st.st_mode) ? ENTRY_DIRECTORY : S_ISLNK(st.st_mode) ? ENTRY_SYMLINK : ENTRY_FILE };
}

static const char *in_private_dir(const char *name) {
        static char path[128];

        (void) snprintf(path, sizeof(path), "mirror/" SCAN_PRIVATE_DIR "/%s", name);
        return path;
}

/* A name in the private directory with something at it, ready to be published. */
static const char *prepare(const char *text) {
        static char name[MIRROR_PRIVATE_DIR_NAME_MAX];

        put_text(in_private_dir(mirror_private_dir_name(&private_dir, name)), text);
        return name;
}

/* --- whose mirror it is --- */

static void an_empty_mirror_becomes_ours(void **state) {
        struct stat st;

        (void) state;
        open_staging();
        assert_false(private_dir.adopted);
        st = stat_at("mirror/" SCAN_PRIVATE_DIR);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_content(in_private_dir("mirror"), "/data/models\n/dev/shm/m\n", 24);
        close_staging(true);
        assert_false(is_there("mirror/" SCAN_PRIVATE_DIR));
}

static void files_without_our_mark_are_not_ours(void **state) {
        _cleanup_(freep) char *detail = NULL;

        (void) state;
        put_text("mirror/precious", "x");
        assert_int_equal(try_open("/data/models", &detail), MIRROR_PRIVATE_DIR_FOREIGN);
        assert_string_equal(detail, "precious");
        assert_false(is_there("mirror/" SCAN_PRIVATE_DIR));
        assert_content("mirror/precious", "x", 1);
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
}

static void a_corner_that_was_left_is_adopted(void **state) {
        (void) state;
        open_staging();
        close_staging(false);
        put_text("mirror/file", "x");
        open_staging();
        assert_true(private_dir.adopted);
        close_staging(false);
}

static void a_mirror_of_another_source_is_refused(void **state) {
        _cleanup_(freep) char *detail = NULL;

        (void) state;
        open_staging();
        close_staging(false);
        assert_int_equal(try_open("/data/other", &detail), MIRROR_PRIVATE_DIR_OTHER);
        assert_string_equal(detail, "/data/models");
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
        open_staging(); /* and is as it was */
        close_staging(true);
}

static void a_corner_that_is_a_link_is_not_entered(void **state) {
        _cleanup_(freep) char *detail = NULL;

        (void) state;
        make_directory("elsewhere");
        assert_int_equal(symlink("../elsewhere", "mirror/" SCAN_PRIVATE_DIR), 0);
        assert_int_equal(try_open("/data/models", &detail), -ENOTDIR);
        assert_non_null(what);
        assert_int_equal(rmdir("elsewhere"), 0); /* nothing is in it */
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
}

static void a_second_daemon_learns_which_process_holds_it(void **state) {
        _cleanup_(freep) char *detail = NULL;
        char expected[32];
        int ready[2], end[2], status;
        char byte = 'x';
        pid_t pid;

        (void) state;
        assert_true(pipe(ready) == 0 && pipe(end) == 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) close(end[1]);
                if (try_open("/data/models", &detail) != 0 || write(ready[1], &byte, 1) != 1)
                        _exit(1);
                _exit(read(end[0], &byte, 1) != 0); /* until the parent lets go */
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(try_open("/data/models", &detail), MIRROR_PRIVATE_DIR_BUSY);
        (void) snprintf(expected, sizeof(expected), "%d", (int) pid);
        assert_string_equal(detail, expected);
        private_dir.mirrorfd = close_fd(private_dir.mirrorfd);
        (void) close(end[0]);
        (void) close(end[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        open_staging(); /* the lock ends with its holder */
        assert_true(private_dir.adopted);
        close_staging(true);
        (void) close(ready[0]);
        (void) close(ready[1]);
}

static void closing_keeps_what_is_not_ours(void **state) {
        (void) state;
        open_staging();
        put_text(in_private_dir("something"), "x");
        close_staging(true);
        assert_content("mirror/" SCAN_PRIVATE_DIR "/something", "x", 1);
        assert_false(is_there("mirror/" SCAN_PRIVATE_DIR "/lock"));
}

/* --- into place --- */

static void what_is_new_is_placed(void **state) {
        (void) state;
        make_directory("mirror/sub");
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "sub/file", NULL), 0);
        assert_content("mirror/sub/file", "new", 3);
        assert_int_equal(names_in_corner(), 0);
}

static void what_stands_there_unexpectedly_is_left_alone(void **state) {
        ino_t ino;

        (void) state;
        put_text("mirror/file", "a client's");
        ino = stat_at("mirror/file").st_ino;
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", NULL), TREE_OCCUPIED);
        assert_content("mirror/file", "a client's", 10);
        assert_int_equal(stat_at("mirror/file").st_ino, ino);
}

static void what_is_expected_is_replaced(void **state) {
        Entry expected;
        int reader;
        char buffer[8] = "";

        (void) state;
        put_text("mirror/file", "old");
        expected = entry_of("file");
        reader = open("mirror/file", O_RDONLY | O_CLOEXEC);
        assert_false(mirror_private_dir_is_busy(&private_dir, &expected));
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", &expected), 0);
        assert_content("mirror/file", "new", 3);
        assert_int_equal(names_in_corner(), 0);
        assert_int_equal(read(reader, buffer, 8), 3); /* a process that has it open keeps it */
        assert_string_equal(buffer, "old");
        (void) close(reader);
}

static void what_is_expected_may_have_vanished(void **state) {
        Entry expected;

        (void) state;
        put_text("mirror/file", "old");
        expected = entry_of("file");
        assert_int_equal(unlink("mirror/file"), 0);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", &expected), 0);
        assert_content("mirror/file", "new", 3);
}

static void what_has_changed_since_is_put_back_as_it_was(void **state) {
        Entry expected;
        ino_t ino;

        (void) state;
        put_text("mirror/file", "old");
        expected = entry_of("file");
        put_text("mirror/other", "a client's");
        ino = stat_at("mirror/other").st_ino;
        assert_int_equal(rename("mirror/other", "mirror/file"), 0);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", &expected), TREE_OCCUPIED);
        assert_content("mirror/file", "a client's", 10);
        assert_int_equal(stat_at("mirror/file").st_ino, ino);

        expected = entry_of("file"); /* written into: the same inode */
        put_text("mirror/file", "longer than before");
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", &expected), TREE_OCCUPIED);
        assert_content("mirror/file", "longer than before", 18);
}

static void only_an_empty_directory_is_replaced(void **state) {
        Entry expected;

        (void) state;
        make_directory("mirror/dir");
        put_text("mirror/dir/precious", "x");
        expected = entry_of("dir");
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "dir", &expected), TREE_OCCUPIED);
        assert_content("mirror/dir/precious", "x", 1);
        assert_int_equal(unlink("mirror/dir/precious"), 0);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "dir", &expected), 0);
        assert_content("mirror/dir", "new", 3);
}

static void no_way_leads_out_of_the_mirror(void **state) {
        (void) state;
        make_directory("outside");
        assert_int_equal(symlink("../outside", "mirror/link"), 0);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "link/file", NULL), -ELOOP);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "../outside/file", NULL), -EXDEV);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "absent/file", NULL), -ENOENT);
        assert_int_equal(rmdir("outside"), 0);
}

/* --- away --- */

static void what_is_expected_is_taken_away(void **state) {
        Entry expected;

        (void) state;
        put_text("mirror/file", "x");
        expected = entry_of("file");
        assert_int_equal(mirror_private_dir_remove(&private_dir, "file", &expected), 0);
        assert_false(is_there("mirror/file"));
        assert_int_equal(names_in_corner(), 0);
        assert_int_equal(mirror_private_dir_remove(&private_dir, "file", &expected), 0); /* it is gone already */
        assert_int_equal(mirror_private_dir_remove(&private_dir, "no/such/directory", &expected), 0);
        assert_int_equal(symlink("nowhere", "mirror/link"), 0);
        expected = entry_of("link");
        assert_int_equal(mirror_private_dir_remove(&private_dir, "link", &expected), 0);
        assert_false(is_there("mirror/link"));
}

static void what_is_open_for_writing_does_not_give_way(void **state) {
        Entry expected;
        int writer, reader;

        (void) state;
        put_text("mirror/file", "x");
        expected = entry_of("file");
        writer = open("mirror/file", O_RDWR | O_CLOEXEC);
        assert_true(writer >= 0);
        assert_true(mirror_private_dir_is_busy(&private_dir, &expected));
        assert_int_equal(mirror_private_dir_remove(&private_dir, "file", &expected), TREE_BUSY);
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", &expected), TREE_BUSY);
        assert_int_equal(stat_at("mirror/file").st_ino, expected.ino);
        assert_int_equal(entry_of("file").ctime_nsec, expected.ctime_nsec); /* it was not moved away for a moment either */
        assert_int_equal(pwrite(writer, "y", 1, 0), 1);
        assert_content("mirror/file", "y", 1);
        (void) close(writer);
        assert_int_equal(mirror_private_dir_remove(&private_dir, "file", &expected), TREE_OCCUPIED); /* it is another one now */
        expected = entry_of("file");
        reader = open("mirror/file", O_RDONLY | O_CLOEXEC);
        assert_false(mirror_private_dir_is_busy(&private_dir, &expected));
        assert_int_equal(mirror_private_dir_publish(&private_dir, prepare("new"), "file", &expected), 0);
        assert_content("mirror/file", "new", 3);
        expected = entry_of("file");
        assert_int_equal(mirror_private_dir_remove(&private_dir, "file", &expected), 0);
        assert_false(is_there("mirror/file"));
        (void) close(reader);
}

static void what_was_changed_is_not_taken_away(void **state) {
        Entry expected;
        ino_t ino;

        (void) state;
        put_text("mirror/file", "x");
        expected = entry_of("file");
        ino = stat_at("mirror/file").st_ino;
        put_text("mirror/file", "a client's");
        assert_int_equal(mirror_private_dir_remove(&private_dir, "file", &expected), TREE_OCCUPIED);
        assert_content("mirror/file", "a client's", 10);
        assert_int_equal(stat_at("mirror/file").st_ino, ino);
        assert_int_equal(names_in_corner(), 0);
}

static void a_directory_with_something_in_it_stays(void **state) {
        Entry expected;

        (void) state;
        make_directory("mirror/dir");
        put_text("mirror/dir/precious", "x");
        expected = entry_of("dir");
        assert_int_equal(mirror_private_dir_remove(&private_dir, "dir", &expected), TREE_OCCUPIED);
        assert_content("mirror/dir/precious", "x", 1);
        assert_int_equal(unlink("mirror/dir/precious"), 0);
        assert_int_equal(mirror_private_dir_remove(&private_dir, "dir", &expected), 0);
        assert_false(is_there("mirror/dir"));
}

/* --- while a client is at work on the same path --- */

enum { ROUNDS = 3000, RENAMES = 4 };

typedef struct Client {
        atomic_uint turn; /* begun by the test, ended by the client */
        atomic_uint ended;
} Client;

/* Puts one whole file after the other at the path, as every careful program does. */
static void *rename_over(void *userdata) {
        Client *client = userdata;

        for (unsigned turn = 1; turn <= ROUNDS; turn++) {
                while (atomic_load(&client->turn) < turn)
                        ;
                for (unsigned i = 0; i < RENAMES; i++) {
                        char from[64];

                        (void) snprintf(from, sizeof(from), "clients/%u", i);
                        if (rename(from, "mirror/file") < 0) {
                                atomic_store(&client->ended, UINT32_MAX);
                                return NULL;
                        }
                }
                atomic_store(&client->ended, turn);
        }
        return NULL;
}

static bool disk_private_dir_has(ino_t ino) {
        _cleanup_(closedirp) DIR *dir = opendir("mirror/" SCAN_PRIVATE_DIR);
        struct dirent *d;

        while ((d = readdir(dir)))
                if (d->d_ino == ino)
                        return true;
        return false;
}

static void a_clients_last_word_is_never_lost(void **state) {
        static Client client; /* outlives a failure of the test */
        Entry expected;
        pthread_t thread;

        (void) state;
        make_directory("clients");
        put_text("mirror/file", "the first");
        expected = entry_of("file");
        expected.size++; /* never what is there */
        assert_int_equal(pthread_create(&thread, NULL, rename_over, &client), 0);
        for (unsigned turn = 1; turn <= ROUNDS; turn++) {
                ino_t last = 0;

                for (unsigned i = 0; i < RENAMES; i++) {
                        char path[64];

                        (void) snprintf(path, sizeof(path), "clients/%u", i);
                        put_text(path, "a client's");
                        last = stat_at(path).st_ino;
                }
                atomic_store(&client.turn, turn);
                while (atomic_load(&client.ended) < turn) {
                        const char *name = prepare("new");

                        assert_int_equal(mirror_private_dir_publish(&private_dir, name, "file", &expected), TREE_OCCUPIED);
                        (void) unlink(in_private_dir(name)); /* as publish does */
                }
                if (stat_at("mirror/file").st_ino != last && !disk_private_dir_has(last))
                        fail_msg("in run %u the client's file is gone", turn);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
}

/* --- after a crash --- */

static Manifest *base_with(const Entry *entry) {
        Manifest *base = NULL;

        assert_int_equal(manifest_new(&base), 0);
        assert_int_equal(manifest_put(base, entry), 0);
        manifest_sort(base);
        return base;
}

static void of_what_a_crash_left_only_what_is_known_is_removed(void **state) {
        _cleanup_(manifest_freep) Manifest *base = NULL;
        Entry old;
        char name[MIRROR_PRIVATE_DIR_NAME_MAX];

        (void) state;
        put_text("mirror/file", "old version");
        old = entry_of("file");
        base = base_with(&old);
        assert_int_equal(rename("mirror/file", in_private_dir("t7")), 0); /* between two renames */
        put_text(in_private_dir("t12"), "a client's");
        assert_int_equal(mirror_private_dir_clean(&private_dir, base), 1);
        assert_false(is_there(in_private_dir("t7")));
        assert_content(in_private_dir("t12"), "a client's", 10);
        assert_true(is_there(in_private_dir("lock")) && is_there(in_private_dir("mirror")));
        assert_string_equal(mirror_private_dir_name(&private_dir, name), "t13"); /* no name is given out twice */
}

static void a_link_or_directory_that_was_created_and_not_placed_is_removed(void **state) {
        _cleanup_(manifest_freep) Manifest *base = NULL;
        char early[MIRROR_PRIVATE_DIR_NAME_MAX], late[MIRROR_PRIVATE_DIR_NAME_MAX], other[MIRROR_PRIVATE_DIR_NAME_MAX];

        (void) state;
        assert_int_equal(manifest_new(&base), 0);
        assert_int_equal(mkdir(in_private_dir(mirror_private_dir_name_new(&private_dir, early)), 0700), 0);
        assert_int_equal(symlink("x", in_private_dir(mirror_private_dir_name_new(&private_dir, late))), 0);
        assert_int_equal(mirror_private_dir_name_created(&private_dir, late), 0);
        /* what was exchanged for ours has another inode number */
        assert_int_equal(symlink("a client's", in_private_dir(mirror_private_dir_name_for(&private_dir, 1, other))), 0);
        assert_int_equal(mirror_private_dir_clean(&private_dir, base), 1);
        assert_false(is_there(in_private_dir(early)));
        assert_false(is_there(in_private_dir(late)));
        assert_int_equal(unlink(in_private_dir(other)), 0);
        assert_true(mirror_private_dir_is_empty(&private_dir));
}

static void an_old_version_that_was_written_to_is_not_known(void **state) {
        _cleanup_(manifest_freep) Manifest *base = NULL;
        Entry old;

        (void) state;
        put_text("mirror/file", "old version");
        old = entry_of("file");
        base = base_with(&old);
        assert_int_equal(rename("mirror/file", in_private_dir("t1")), 0);
        put_text(in_private_dir("t1"), "written by a process that had it open");
        assert_int_equal(mirror_private_dir_clean(&private_dir, base), 1);
        assert_true(is_there(in_private_dir("t1")));
        base->entries[0].flags |= ENTRY_RECORD;
        put_text(in_private_dir("t1"), "old version");
        assert_int_equal(mirror_private_dir_clean(&private_dir, base), 1); /* a record knows nothing of inodes */
}

static void an_empty_corner_is_clean(void **state) {
        _cleanup_(manifest_freep) Manifest *base = NULL;

        (void) state;
        assert_int_equal(manifest_new(&base), 0);
        assert_int_equal(mirror_private_dir_clean(&private_dir, base), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, ground_teardown)
#define OPEN(name) cmocka_unit_test_setup_teardown(name, setup_open, teardown_open)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(an_empty_mirror_becomes_ours),
                CASE(files_without_our_mark_are_not_ours),
                CASE(a_corner_that_was_left_is_adopted),
                CASE(a_mirror_of_another_source_is_refused),
                CASE(a_corner_that_is_a_link_is_not_entered),
                CASE(a_second_daemon_learns_which_process_holds_it),
                CASE(closing_keeps_what_is_not_ours),
                OPEN(what_is_new_is_placed),
                OPEN(what_stands_there_unexpectedly_is_left_alone),
                OPEN(what_is_expected_is_replaced),
                OPEN(what_is_expected_may_have_vanished),
                OPEN(what_has_changed_since_is_put_back_as_it_was),
                OPEN(only_an_empty_directory_is_replaced),
                OPEN(no_way_leads_out_of_the_mirror),
                OPEN(what_is_expected_is_taken_away),
                OPEN(what_is_open_for_writing_does_not_give_way),
                OPEN(what_was_changed_is_not_taken_away),
                OPEN(a_directory_with_something_in_it_stays),
                OPEN(a_clients_last_word_is_never_lost),
                OPEN(of_what_a_crash_left_only_what_is_known_is_removed),
                OPEN(a_link_or_directory_that_was_created_and_not_placed_is_removed),
                OPEN(an_old_version_that_was_written_to_is_not_known),
                OPEN(an_empty_corner_is_clean),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
