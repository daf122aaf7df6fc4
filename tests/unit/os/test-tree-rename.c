/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What gets a name and what loses it while another process works on the same directory. The other process comes in
 * just before a chosen renameat2(), which this program has of its own; it also plays the filesystems that refuse the
 * flags. Real ones are in the tests of save/disk, which mount one. */

#include "ground.h"
#include "os/tree-rename.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static int ours = -1, theirs = -1;
static FileIdentity expected; /* theirs/old, as it was seen */

/* --- the other process --- */

static unsigned n_renames;          /* so far */
static void (*others[4])(void);     /* what happens before each */
static void (*before_link)(void);   /* and before the next linkat() */
static bool flags_refused;
static int links_refused;           /* the errno */

int renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags) {
        unsigned n = n_renames++;

        if (flags_refused && flags != 0) {
                errno = EINVAL;
                return -1;
        }
        if (n < ELEMENTSOF(others) && others[n])
                others[n]();
        return (int) syscall(SYS_renameat2, fromfd, from, tofd, to, flags);
}

int linkat(int fromfd, const char *from, int tofd, const char *to, int flags) {
        if (links_refused) {
                errno = links_refused;
                return -1;
        }
        if (before_link) {
                before_link();
                before_link = NULL;
        }
        return (int) syscall(SYS_linkat, fromfd, from, tofd, to, flags);
}

static void replace_by(const char *text) {
        put_text("theirs/.tmp", text);
        assert_int_equal(rename("theirs/.tmp", "theirs/old"), 0);
}

static void bring_theirs(void) {
        replace_by("theirs");
}

static void bring_newest(void) {
        replace_by("the newest");
}

static void remove_it(void) {
        assert_int_equal(unlink("theirs/old"), 0);
}

static void remove_all(void) {
        remove_it();
        assert_int_equal(rmdir("theirs"), 0); /* a directory that is removed takes no names any more */
}

static void take_free_name(void) {
        put_text("theirs/free", "theirs");
}

/* --- */

static FileIdentity seen(const char *path) {
        struct stat st = stat_at(path);

        return identity_of(&st);
}

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("ours");
        make_directory("theirs");
        put_text("ours/new", "new");
        put_text("theirs/old", "old");
        expected = seen("theirs/old");
        ours = open_directory("ours");
        theirs = open_directory("theirs");
        return 0;
}

static int teardown(void **state) {
        ours = close_fd(ours);
        theirs = close_fd(theirs);
        n_renames = 0;
        memset(others, 0, sizeof(others));
        before_link = NULL;
        flags_refused = false;
        links_refused = 0;
        return ground_teardown(state);
}

static void text_is(const char *path, const char *text) {
        assert_content(path, text, strlen(text));
}

static int sync_kept(void *userdata) {
        ++*(unsigned *) userdata;
        return 0;
}

static unsigned n_synced;

static TreeReplacement replacement(void) {
        return (TreeReplacement){ .own = { ours, "new" }, .place = { theirs, "old" }, .expected = &expected,
                                  .exchanged = "between", .spare = "spare", .sync_kept = sync_kept, .userdata = &n_synced };
}

static int replace(TreeReplacement *x) {
        return tree_rename_replace(x);
}

static TreeRemoval removal(void) {
        return (TreeRemoval){ .place = { theirs, "old" }, .expected = &expected, .aside = { ours, "aside" } };
}

/* --- where nothing is --- */

static void a_free_name_is_taken_and_an_occupied_one_is_not(void **state) {
        (void) state;
        for (unsigned way = 0; way < 4; way++) { /* by the flag; by a link; by a check */
                flags_refused = way > 0;
                links_refused = way > 2 ? EIO : way > 1 ? EPERM : 0;
                put_text("ours/new", "new");
                assert_int_equal(tree_rename_new((TreeName){ ours, "new" }, (TreeName){ theirs, "old" }), TREE_OCCUPIED);
                text_is("ours/new", "new");
                text_is("theirs/old", "old");
                assert_int_equal(tree_rename_new((TreeName){ ours, "new" }, (TreeName){ theirs, "free" }), 0);
                text_is("theirs/free", "new");
                assert_false(is_there("ours/new"));
                assert_int_equal(tree_rename_new((TreeName){ ours, "absent" }, (TreeName){ theirs, "free2" }), -ENOENT);
                assert_int_equal(symlink("nowhere", "theirs/dangling"), 0);
                put_text("ours/new", "new");
                /* a link is a name as well */
                assert_int_equal(tree_rename_new((TreeName){ ours, "new" }, (TreeName){ theirs, "dangling" }), TREE_OCCUPIED);
                assert_int_equal(unlink("theirs/dangling"), 0);
                assert_int_equal(unlink("theirs/free"), 0);
        }
}

static void a_name_that_is_taken_at_the_last_moment_is_not_overwritten(void **state) {
        (void) state;
        others[0] = take_free_name;
        assert_int_equal(tree_rename_new((TreeName){ ours, "new" }, (TreeName){ theirs, "free" }), TREE_OCCUPIED);
        text_is("theirs/free", "theirs");
        text_is("ours/new", "new");
}

/* --- links --- */

static void only_what_is_expected_gets_a_second_name(void **state) {
        TreeName from = { theirs, "old" }, to = { ours, "link" };
        int64_t ctime;

        (void) state;
        assert_int_equal(tree_rename_link(from, to, &expected), 0);
        assert_int_equal(stat_at("ours/link").st_ino, expected.ino);
        assert_int_equal(tree_rename_link(from, (TreeName){ ours, "new" }, &expected), TREE_OCCUPIED); /* its ctime has moved */
        expected = seen("theirs/old");
        assert_int_equal(tree_rename_link(from, to, &expected), -EEXIST);
        put_text("theirs/old", "longer");
        ctime = seen("theirs/old").ctime_nsec;
        assert_int_equal(tree_rename_link(from, (TreeName){ ours, "link2" }, &expected), TREE_OCCUPIED);
        assert_false(is_there("ours/link2"));
        assert_int_equal(seen("theirs/old").ctime_nsec, ctime); /* not linked for a moment either */
        assert_int_equal(tree_rename_link((TreeName){ theirs, "absent" }, to, &expected), TREE_ABSENT);
        expected = seen("theirs/old");
        links_refused = EMLINK;
        assert_int_equal(tree_rename_link(from, (TreeName){ ours, "link2" }, &expected), TREE_NO_LINKS);
        assert_false(tree_rename_has_links((TreeName){ ours, "new" }, (TreeName){ ours, "free" }));
        links_refused = 0;
        assert_true(tree_rename_has_links((TreeName){ ours, "new" }, (TreeName){ ours, "free" }));
        assert_false(is_there("ours/free"));
}

static void what_came_between_the_look_and_the_link_gets_no_second_name(void **state) {
        (void) state;
        before_link = bring_theirs;
        assert_int_equal(tree_rename_link((TreeName){ theirs, "old" }, (TreeName){ ours, "link" }, &expected), TREE_OCCUPIED);
        assert_false(is_there("ours/link"));
        text_is("theirs/old", "theirs");
}

/* --- replacing --- */

static void what_is_expected_is_replaced(void **state) {
        (void) state;
        for (unsigned refused = 0; refused < 2; refused++) {
                TreeReplacement x = replacement();

                flags_refused = refused;
                put_text("ours/new", "new");
                put_text("theirs/old", "old");
                expected = seen("theirs/old");
                x.durable = true;
                assert_int_equal(replace(&x), 0);
                text_is("theirs/old", "new");
                assert_false(is_there("ours/new") || is_there("ours/between") || is_there("ours/spare"));
                assert_null(x.left);
        }
}

static void what_is_replaced_can_be_kept(void **state) {
        (void) state;
        for (unsigned way = 0; way < 3; way++) { /* exchanged; linked; moved */
                TreeReplacement x = replacement();

                flags_refused = way > 0;
                links_refused = way > 1 ? EPERM : 0;
                put_text("ours/new", "new");
                put_text("theirs/old", "old");
                expected = seen("theirs/old");
                n_synced = 0;
                x.kept = (TreeName){ ours, "kept" };
                assert_int_equal(replace(&x), 0);
                text_is("theirs/old", "new");
                text_is("ours/kept", "old");
                assert_int_equal(n_synced, 1);
                assert_false(is_there("ours/new") || is_there("ours/between"));
                assert_int_equal(unlink("ours/kept"), 0);
        }
}

static void what_has_changed_before_is_not_touched(void **state) {
        ino_t ino;

        (void) state;
        for (unsigned refused = 0; refused < 2; refused++) {
                TreeReplacement x = replacement();
                int64_t ctime;

                flags_refused = refused;
                bring_theirs();
                ino = stat_at("theirs/old").st_ino;
                ctime = seen("theirs/old").ctime_nsec;
                n_renames = 0;
                assert_int_equal(replace(&x), TREE_OCCUPIED);
                assert_int_equal(n_renames, 0); /* it was seen at the first look */
                text_is("theirs/old", "theirs");
                assert_int_equal(stat_at("theirs/old").st_ino, ino);
                assert_int_equal(seen("theirs/old").ctime_nsec, ctime);
                text_is("ours/new", "new");
        }
}

static void a_change_of_the_ctime_counts_before_the_act_and_not_after_it(void **state) {
        TreeReplacement x = replacement();

        (void) state;
        assert_int_equal(chmod("theirs/old", 0600), 0);
        assert_int_equal(replace(&x), TREE_OCCUPIED);
        expected.ctime_nsec = 0;
        assert_int_equal(replace(&x), 0); /* whoever does not know the ctime need not */
}

static void what_came_between_the_look_and_the_exchange_goes_back(void **state) {
        TreeReplacement x = replacement();

        (void) state;
        others[1] = bring_theirs; /* after the renaming of our own file */
        assert_int_equal(replace(&x), TREE_OCCUPIED);
        text_is("theirs/old", "theirs");
        text_is("ours/new", "new");
        assert_null(x.left);
        assert_false(is_there("ours/between"));
}

static void something_newer_keeps_the_name_and_what_was_taken_out_is_left(void **state) {
        TreeReplacement x = replacement();

        (void) state;
        others[1] = bring_theirs;
        others[2] = bring_newest; /* over what the exchange has placed, which is gone then */
        assert_int_equal(replace(&x), TREE_OCCUPIED);
        text_is("theirs/old", "the newest");
        assert_string_equal(x.left, "between");
        text_is("ours/between", "theirs");
        assert_false(is_there("ours/new"));
}

static void what_was_taken_out_goes_back_when_the_name_is_free_again(void **state) {
        TreeReplacement x = replacement();

        (void) state;
        others[1] = bring_theirs;
        others[2] = remove_it;
        assert_int_equal(replace(&x), TREE_OCCUPIED);
        text_is("theirs/old", "theirs");
        assert_null(x.left);
        assert_false(is_there("ours/new") || is_there("ours/between"));
}

static void what_cannot_go_back_is_kept_under_another_name(void **state) {
        TreeReplacement x = replacement();

        (void) state;
        others[1] = bring_theirs;
        others[2] = remove_all;
        assert_int_equal(replace(&x), TREE_OCCUPIED);
        assert_string_equal(x.left, "spare");
        text_is("ours/spare", "theirs");
}

static void what_is_gone_is_absent(void **state) {
        TreeReplacement x = replacement();
        TreeRemoval y = removal();

        (void) state;
        others[1] = remove_it; /* between the look and the exchange */
        assert_int_equal(replace(&x), TREE_ABSENT);
        text_is("ours/new", "new");
        assert_int_equal(replace(&x), TREE_ABSENT);
        assert_int_equal(tree_rename_remove(&y), TREE_ABSENT);
        put_text("theirs/old", "old");
        expected = seen("theirs/old");
        n_renames = 0;
        others[0] = remove_it;
        others[1] = NULL;
        assert_int_equal(tree_rename_remove(&y), TREE_ABSENT);
        put_text("theirs/old", "old");
        expected = seen("theirs/old");
        assert_int_equal(unlink("ours/new"), 0);
        assert_int_equal(rmdir("ours"), 0); /* not the place, but what is ours is gone */
        assert_int_equal(tree_rename_remove(&y), -ENOENT);
        text_is("theirs/old", "old");
}

static void what_came_before_it_was_kept_plainly_goes_back(void **state) {
        (void) state;
        flags_refused = true;
        for (unsigned way = 0; way < 2; way++) { /* linked; moved */
                TreeReplacement x = replacement();

                before_link = bring_theirs;
                links_refused = way > 0 ? EPERM : 0;
                n_renames = 0;
                others[3] = links_refused ? bring_theirs : NULL; /* after our own to another name and back, and the exchange */
                put_text("theirs/old", "old");
                expected = seen("theirs/old");
                x.kept = (TreeName){ ours, "kept" };
                assert_int_equal(replace(&x), TREE_OCCUPIED);
                text_is("theirs/old", "theirs");
                text_is("ours/new", "new");
                assert_false(is_there("ours/kept"));
        }
}

static int bring_newest_meanwhile(void *userdata) {
        (void) userdata;
        bring_newest();
        return 0;
}

static void what_was_kept_plainly_stays_kept_if_something_newer_has_the_name(void **state) {
        (void) state;
        flags_refused = true;
        for (unsigned way = 0; way < 2; way++) { /* linked; moved */
                TreeReplacement x = replacement();

                links_refused = way > 0 ? EPERM : 0;
                put_text("theirs/old", "old");
                expected = seen("theirs/old");
                x.kept = (TreeName){ ours, "kept" };
                x.sync_kept = bring_newest_meanwhile;
                assert_int_equal(replace(&x), TREE_OCCUPIED);
                text_is("theirs/old", "the newest");
                text_is("ours/kept", "old");
                text_is("ours/new", "new");
                assert_int_equal(unlink("ours/kept"), 0);
        }
}

static void only_an_empty_directory_gives_way(void **state) {
        TreeReplacement x = replacement();

        (void) state;
        assert_int_equal(unlink("theirs/old"), 0);
        make_directory("theirs/old");
        put_text("theirs/old/precious", "x");
        expected = seen("theirs/old");
        assert_int_equal(replace(&x), TREE_OCCUPIED);
        text_is("theirs/old/precious", "x");
        text_is("ours/new", "new");
        assert_int_equal(unlink("theirs/old/precious"), 0);
        assert_int_equal(replace(&x), 0);
        text_is("theirs/old", "new");
}

/* --- removing --- */

static void what_is_expected_is_removed_or_kept(void **state) {
        (void) state;
        for (unsigned refused = 0; refused < 2; refused++) {
                TreeRemoval x = removal();

                flags_refused = refused;
                assert_int_equal(tree_rename_remove(&x), 0);
                assert_false(is_there("theirs/old") || is_there("ours/aside"));
                put_text("theirs/old", "old");
                expected = seen("theirs/old");
                x.keep = true;
                assert_int_equal(tree_rename_remove(&x), 0);
                assert_false(is_there("theirs/old"));
                text_is("ours/aside", "old");
                put_text("theirs/old", "old");
                expected = seen("theirs/old");
        }
}

static void what_came_between_the_look_and_the_removal_goes_back(void **state) {
        TreeRemoval x = removal();

        (void) state;
        others[0] = bring_theirs;
        assert_int_equal(tree_rename_remove(&x), TREE_OCCUPIED);
        text_is("theirs/old", "theirs");
        assert_false(x.left || is_there("ours/aside"));
}

static void what_cannot_go_back_after_the_removal_is_left_aside(void **state) {
        TreeRemoval x = removal();

        (void) state;
        others[0] = bring_theirs;
        others[1] = bring_newest;
        assert_int_equal(tree_rename_remove(&x), TREE_OCCUPIED);
        assert_true(x.left);
        text_is("ours/aside", "theirs");
        text_is("theirs/old", "the newest");
}

static void a_directory_is_removed_where_it_is_if_it_is_empty(void **state) {
        TreeRemoval x = removal();

        (void) state;
        assert_int_equal(unlink("theirs/old"), 0);
        make_directory("theirs/old");
        put_text("theirs/old/precious", "x");
        expected = seen("theirs/old");
        assert_int_equal(tree_rename_remove(&x), TREE_OCCUPIED);
        text_is("theirs/old/precious", "x");
        assert_int_equal(unlink("theirs/old/precious"), 0);
        assert_int_equal(tree_rename_remove(&x), 0);
        assert_false(is_there("theirs/old"));
        assert_int_equal(n_renames, 0);
}

/* --- files that are being written --- */

static int writer = -1;

static void open_for_writing(void) {
        writer = open("theirs/old", O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* fails at once, as a lease is held: see below */
}

static void assert_stays(int outcome) {
        TreeReplacement x = replacement();
        TreeRemoval y = removal();

        x.idle = y.idle = true;
        assert_int_equal(replace(&x), outcome);
        assert_int_equal(tree_rename_remove(&y), outcome);
        assert_int_equal(stat_at("theirs/old").st_ino, expected.ino);
        text_is("ours/new", "new");
}

static void what_is_open_for_writing_stays(void **state) {
        (void) state;
        writer = open("theirs/old", O_RDWR | O_CLOEXEC);
        assert_stays(TREE_BUSY);
        assert_int_equal(seen("theirs/old").ctime_nsec, expected.ctime_nsec); /* it was not moved for a moment either */
        assert_int_equal(pwrite(writer, "longer", 6, 0), 6);
        assert_stays(TREE_BUSY); /* and that is why, not that it is another one by now */
        writer = close_fd(writer);
        assert_stays(TREE_OCCUPIED);
}

static void what_is_mapped_for_writing_stays(void **state) {
        void *memory;

        (void) state;
        writer = open("theirs/old", O_RDWR | O_CLOEXEC);
        memory = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
        assert_ptr_not_equal(memory, MAP_FAILED);
        writer = close_fd(writer);
        assert_stays(TREE_BUSY);
        assert_int_equal(munmap(memory, 3), 0);
}

static void readers_do_not_matter(void **state) {
        int reader = open("theirs/old", O_RDONLY | O_CLOEXEC);
        TreeReplacement x = replacement();

        (void) state;
        x.idle = true;
        assert_int_equal(replace(&x), 0);
        text_is("theirs/old", "new");
        (void) close(reader);
}

/* A process that opens it for writing between the look and the rename waits for the lease: it has the file, and gets
 * it back. */
static void what_a_process_is_about_to_write_goes_back(void **state) {
        TreeReplacement x = replacement();
        TreeRemoval y = removal();

        (void) state;
        x.idle = y.idle = true;
        others[1] = open_for_writing;
        assert_int_equal(replace(&x), TREE_BUSY);
        assert_int_equal(writer, -1);
        text_is("theirs/old", "old");
        text_is("ours/new", "new");
        expected.ctime_nsec = 0;
        n_renames = 0;
        others[0] = open_for_writing;
        others[1] = NULL;
        assert_int_equal(tree_rename_remove(&y), TREE_BUSY);
        text_is("theirs/old", "old");
        assert_false(y.left);
}

/* --- many times --- */

enum { ROUNDS = 2000, RENAMES = 4 };

static atomic_uint turn, ended;

/* Puts one whole file after the other at the path, as every careful program does. */
static void *rename_over(void *userdata) {
        (void) userdata;
        for (unsigned n = 1; n <= ROUNDS; n++) {
                while (atomic_load(&turn) < n)
                        ;
                for (unsigned i = 0; i < RENAMES; i++) {
                        char from[32];

                        (void) snprintf(from, sizeof(from), "clients/%u", i);
                        (void) rename(from, "theirs/old");
                }
                atomic_store(&ended, n);
        }
        return NULL;
}

static void go(void) {
        (void) atomic_fetch_add(&turn, 1);
}

static void whatever_the_moment_the_last_word_is_not_lost(void **state) {
        pthread_t thread;

        (void) state;
        make_directory("clients");
        others[1] = go;
        assert_int_equal(pthread_create(&thread, NULL, rename_over, NULL), 0);
        for (unsigned n = 1; n <= ROUNDS; n++) {
                TreeReplacement x = replacement();
                ino_t last = 0;
                int r;

                for (unsigned i = 0; i < RENAMES; i++) {
                        char path[32];

                        (void) snprintf(path, sizeof(path), "clients/%u", i);
                        put_text(path, "theirs");
                        last = stat_at(path).st_ino;
                }
                put_text("ours/new", "new");
                replace_by("old");
                expected = seen("theirs/old");
                n_renames = 0;
                r = replace(&x);
                while (atomic_load(&ended) < n)
                        ;
                /* at its place, unless it came before the exchange of a replacement that found what it expected */
                if (stat_at("theirs/old").st_ino != last &&
                    (!x.left || tree_access_inode((TreeName){ ours, x.left }) != last))
                        fail_msg("in run %u (outcome %d) the last file is gone", n, r);
                if (x.left)
                        assert_int_equal(unlinkat(ours, x.left, 0), 0);
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_free_name_is_taken_and_an_occupied_one_is_not),
                CASE(a_name_that_is_taken_at_the_last_moment_is_not_overwritten),
                CASE(only_what_is_expected_gets_a_second_name),
                CASE(what_came_between_the_look_and_the_link_gets_no_second_name),
                CASE(what_is_expected_is_replaced),
                CASE(what_is_replaced_can_be_kept),
                CASE(what_has_changed_before_is_not_touched),
                CASE(a_change_of_the_ctime_counts_before_the_act_and_not_after_it),
                CASE(what_came_between_the_look_and_the_exchange_goes_back),
                CASE(something_newer_keeps_the_name_and_what_was_taken_out_is_left),
                CASE(what_was_taken_out_goes_back_when_the_name_is_free_again),
                CASE(what_cannot_go_back_is_kept_under_another_name),
                CASE(what_is_gone_is_absent),
                CASE(what_came_before_it_was_kept_plainly_goes_back),
                CASE(what_was_kept_plainly_stays_kept_if_something_newer_has_the_name),
                CASE(only_an_empty_directory_gives_way),
                CASE(what_is_expected_is_removed_or_kept),
                CASE(what_came_between_the_look_and_the_removal_goes_back),
                CASE(what_cannot_go_back_after_the_removal_is_left_aside),
                CASE(a_directory_is_removed_where_it_is_if_it_is_empty),
                CASE(what_is_open_for_writing_stays),
                CASE(what_is_mapped_for_writing_stays),
                CASE(readers_do_not_matter),
                CASE(what_a_process_is_about_to_write_goes_back),
                CASE(whatever_the_moment_the_last_word_is_not_lost),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
