/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files that may have been written are read once, and what is found counts only if nothing was reported since. */

#include "ground.h"
#include "mirror/proofs.h"
#include "os/file-digest.h"
#include "traceless.h"

#include <poll.h>
#include <sys/mman.h>

enum { PATIENCE_MSEC = 60000, SIZE = 100000 };

/* Takes minutes to read, but no room. */
#define ENDLESS (4096 * GIB)

typedef struct Trial {
        Proofs proofs;
        MirrorConfig config;
        Attachment attachment;
        Manifest *base;
        atomic_uint_fast64_t progress;
        unsigned n_ended;
        size_t n_altered;      /* of the last take */
} Trial;

static void on_ended(void *userdata) {
        ((Trial *) userdata)->n_ended++;
}

static void begin(Trial *t) {
        *t = (Trial){ .config = { .name = (char *) "test", .source = (char *) "/source", .target = (char *) "/target" } };
        t->attachment.mount.fd = open_directory(".");
        assert_int_equal(manifest_new(&t->base), 0);
        assert_int_equal(pool_new(1, &t->proofs.pool), 0);
        t->proofs.config = &t->config;
        t->proofs.attachment = &t->attachment;
        t->proofs.progress = &t->progress;
        t->proofs.ended = on_ended;
        t->proofs.userdata = t;
}

static void end(Trial *t) {
        assert_false(t->proofs.running);
        proofs_done(&t->proofs);
        t->proofs.pool = pool_free(t->proofs.pool);
        t->base = manifest_free(t->base);
        (void) close(t->attachment.mount.fd);
}

/* Until no job is out. Nothing is done meanwhile but what jobs do. */
static void wait_for_end(Trial *t) {
        struct pollfd fd = { .fd = pool_get_fd(t->proofs.pool), .events = POLLIN };

        while (t->proofs.running) {
                assert_int_equal(poll(&fd, 1, PATIENCE_MSEC), 1);
                pool_dispatch(t->proofs.pool);
        }
}

static Entry *entry_of(Trial *t, const char *path) {
        Entry *entry = manifest_find(t->base, path);

        assert_non_null(entry);
        return entry;
}

/* The base has the file as it is. */
static void agree(Trial *t, const char *path, unsigned flags) {
        struct stat st = stat_at(path);
        Entry entry = { .path = (char *) path, .size = (uint64_t) st.st_size, .mtime_nsec = fs_nsec(&st.st_mtim),
                        .ctime_nsec = fs_nsec(&st.st_ctim), .ino = st.st_ino, .flags = (uint16_t) flags };
        atomic_uint_fast64_t progress = 0;

        if (entry.size < GIB)
                assert_int_equal(file_digest_at(t->attachment.mount.fd, path,
                                                &(FileDigestOptions){ .progress = &progress }, &entry.digest), 0);
        assert_int_equal(manifest_put(t->base, &entry), 0);
        manifest_sort(t->base);
}

static void put_file(Trial *t, const char *path) {
        free(put_pattern(path, SIZE, 1));
        agree(t, path, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
}

static void put_endless(Trial *t, const char *path) {
        put_text(path, "data");
        assert_int_equal(truncate(path, ENDLESS), 0);
        agree(t, path, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
}

static void note(Trial *t, const char *path) {
        PathSet marked = {};

        assert_int_equal(pathset_add(&marked, path), 0);
        proofs_note(&t->proofs, t->base, &marked);
        pathset_done(&marked);
}

static bool take(Trial *t) {
        return proofs_take(&t->proofs, t->base, &t->n_altered);
}

static void update_and_wait(Trial *t) {
        proofs_update(&t->proofs, t->base);
        wait_for_end(t);
        assert_true(proofs_is_over(&t->proofs));
}

static void assert_unread(Trial *t, int error) {
        assert_int_equal(t->proofs.n, 1);
        assert_int_equal(t->proofs.items[0]->state, PROOF_UNREAD);
        assert_int_equal(t->proofs.items[0]->error, error);
        assert_false(take(t));
        assert_true(entry_of(t, "a")->flags & ENTRY_UNPROVEN);
}

/* --- results --- */

static void the_same_bytes_are_a_proof(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        proofs_update(&t.proofs, t.base);
        assert_false(proofs_is_over(&t.proofs));
        wait_for_end(&t);
        assert_true(entry_of(&t, "a")->flags & ENTRY_UNPROVEN); /* not before it is taken */
        assert_true(take(&t));
        assert_int_equal(t.n_altered, 0);
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        assert_int_equal(t.progress, SIZE);
        assert_int_equal(t.n_ended, 1);
        assert_false(take(&t));
        entry_of(&t, "a")->flags |= ENTRY_UNPROVEN;
        assert_false(take(&t)); /* it counts once */
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(t.progress, 2 * SIZE);
        end(&t);
}

static void other_bytes_behind_the_same_times_are_found(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        put_file(&t, "b");
        damage_traceless("b");
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(t.n_altered, 1);
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        update_and_wait(&t); /* it is known now */
        assert_int_equal(t.progress, 2 * SIZE);
        end(&t);
}

static void how_it_came_into_doubt_goes_with_the_proof(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        entry_of(&t, "a")->flags = ENTRY_HAS_DIGEST | ENTRY_UNPROVEN;
        update_and_wait(&t);
        assert_false(t.proofs.items[0]->reported);
        entry_of(&t, "a")->flags |= ENTRY_WRITTEN;
        note(&t, "a");
        update_and_wait(&t);
        assert_true(t.proofs.items[0]->reported);
        assert_true(take(&t));
        end(&t);
}

static void the_ctime_that_was_seen_is_recorded(void **state) {
        struct stat st;
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        put_file(&t, "b");
        entry_of(&t, "a")->ctime_nsec--; /* as if touched since */
        entry_of(&t, "b")->ctime_nsec--;
        damage_traceless("b");
        update_and_wait(&t);
        assert_true(take(&t));
        st = stat_at("a");
        assert_int_equal(entry_of(&t, "a")->ctime_nsec, fs_nsec(&st.st_ctim));
        st = stat_at("b");
        assert_int_equal(entry_of(&t, "b")->ctime_nsec, fs_nsec(&st.st_ctim));
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        end(&t);
}

static void a_later_ctime_that_was_recorded_meanwhile_stays(void **state) {
        int64_t later;
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        update_and_wait(&t);
        later = ++entry_of(&t, "a")->ctime_nsec;
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        assert_int_equal(entry_of(&t, "a")->ctime_nsec, later);
        assert_int_equal(t.progress, SIZE);
        end(&t);
}

static void names_of_one_inode_are_read_once(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        assert_int_equal(link("a", "b"), 0);
        assert_int_equal(link("a", "d"), 0);
        agree(&t, "a", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        agree(&t, "b", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        agree(&t, "d", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        entry_of(&t, "b")->type = entry_of(&t, "d")->type = ENTRY_HARDLINK;
        put_file(&t, "c");
        damage_traceless("b");
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(t.n_altered, 1);
        assert_int_equal(t.progress, 2 * SIZE);
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        assert_int_equal(entry_of(&t, "d")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        assert_int_equal(entry_of(&t, "c")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

static void any_name_that_leads_to_the_file_will_do(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        assert_int_equal(link("a", "b"), 0);
        assert_int_equal(link("a", "c"), 0);
        agree(&t, "a", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        agree(&t, "b", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        agree(&t, "c", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        assert_int_equal(unlink("a"), 0);
        assert_int_equal(unlink("b"), 0);
        free(put_pattern("b", SIZE, 2));
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(t.n_altered, 0);
        assert_int_equal(entry_of(&t, "c")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

static void only_files_of_the_mirror_that_may_have_been_written_are_read(void **state) {
        static const unsigned flags[] = {
                ENTRY_HAS_DIGEST, ENTRY_UNPROVEN, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_RECORD,
                ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_LINKED, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_MIRROR_DIFFERS,
        };
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                entry_of(&t, "a")->flags = (uint16_t) flags[i];
                proofs_update(&t.proofs, t.base);
                assert_true(proofs_is_over(&t.proofs));
        }
        assert_int_equal(t.n_ended, 0);
        entry_of(&t, "a")->flags = ENTRY_HAS_DIGEST | ENTRY_UNPROVEN;
        entry_of(&t, "a")->type = ENTRY_DIRECTORY;
        proofs_update(&t.proofs, t.base);
        assert_true(proofs_is_over(&t.proofs));
        end(&t);
}

/* --- what cannot be read --- */

/* Not what the base says: not read, and not tried again before it is reported again. */
static void assert_not_what_it_was(Trial *t, int error) {
        unsigned ended;

        update_and_wait(t);
        assert_unread(t, error);
        ended = t->n_ended;
        proofs_update(&t->proofs, t->base);
        assert_true(proofs_is_over(&t->proofs));
        assert_unread(t, error);
        note(t, "a");
        update_and_wait(t);
        assert_int_equal(t->n_ended, ended + 1);
        assert_unread(t, error);
        assert_int_equal(t->progress, 0);
        end(t);
}

static void a_file_with_another_mtime_is_not_read(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        set_mtime("a", 1000, 1);
        assert_not_what_it_was(&t, -ESTALE);
}

static void a_file_of_another_size_is_not_read(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        entry_of(&t, "a")->size++;
        assert_not_what_it_was(&t, -ESTALE);
}

static void another_file_of_the_same_name_is_not_read(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        entry_of(&t, "a")->ino++;
        assert_not_what_it_was(&t, -ESTALE);
}

static void what_is_gone_is_not_read(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        assert_int_equal(unlink("a"), 0);
        assert_not_what_it_was(&t, -ENOENT);
}

static void a_link_is_not_followed(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        assert_int_equal(rename("a", "b"), 0);
        assert_int_equal(symlink("b", "a"), 0);
        assert_not_what_it_was(&t, -ELOOP);
}

static void a_fifo_is_not_waited_for(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        assert_int_equal(unlink("a"), 0);
        assert_int_equal(mkfifo("a", 0600), 0);
        assert_not_what_it_was(&t, -ESTALE);
}

static void assert_busy(Trial *t) {
        assert_int_equal(proofs_n_busy(&t->proofs), 1);
        assert_int_equal(t->progress, 0);
        assert_false(take(t));
        assert_int_equal(entry_of(t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
}

static void what_is_open_for_writing_waits_for_the_next_report(void **state) {
        int64_t ctime_nsec;
        Trial t;
        int fd;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        ctime_nsec = entry_of(&t, "a")->ctime_nsec--;
        fd = open("a", O_RDWR | O_CLOEXEC);
        update_and_wait(&t);
        assert_busy(&t);
        assert_int_equal(t.n_ended, 1);
        (void) close(fd);
        entry_of(&t, "a")->ctime_nsec--; /* recorded again meanwhile */
        proofs_update(&t.proofs, t.base); /* it was not reported */
        assert_true(proofs_is_over(&t.proofs));
        assert_int_equal(t.n_ended, 1);
        note(&t, "a");
        update_and_wait(&t);
        assert_int_equal(proofs_n_busy(&t.proofs), 0);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        assert_int_equal(entry_of(&t, "a")->ctime_nsec, ctime_nsec);
        end(&t);
}

static void what_is_mapped_for_writing_is_not_read_either(void **state) {
        Trial t;
        char *map;
        int fd;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        fd = open("a", O_RDWR | O_CLOEXEC);
        map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(map != MAP_FAILED);
        (void) close(fd);
        update_and_wait(&t);
        assert_busy(&t);
        assert_int_equal(munmap(map, 1), 0);
        note(&t, "a"); /* that is reported too */
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

/* --- reports meanwhile --- */

static void a_report_while_it_is_read_makes_it_read_again(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        proofs_update(&t.proofs, t.base);
        note(&t, "a"); /* its end has not been noticed here, however fast it was */
        note(&t, "a");
        proofs_update(&t.proofs, t.base);
        wait_for_end(&t);
        assert_int_equal(t.progress, 2 * SIZE);
        assert_int_equal(t.n_ended, 1);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

static void a_report_before_the_result_is_taken_makes_it_void(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        put_file(&t, "b");
        update_and_wait(&t);
        damage_traceless("a");
        note(&t, "a");
        note(&t, "a");
        assert_false(proofs_is_over(&t.proofs));
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST);
        update_and_wait(&t);
        assert_int_equal(t.progress, 3 * SIZE);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        end(&t);
}

static bool is_a(const Entry *entry, void *userdata) {
        (void) userdata;
        return strcmp(entry->path, "a") == 0;
}

/* What a save of a renamed file brings into the base. */
static void move_to_b(Trial *t) {
        Entry entry = *entry_of(t, "a");

        entry.path = (char *) "b";
        assert_int_equal(manifest_put(t->base, &entry), 0);
        manifest_filter(t->base, is_a, NULL);
        manifest_sort(t->base);
}

static void what_was_not_under_its_old_name_is_read_under_the_new_one(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        assert_int_equal(rename("a", "b"), 0);
        update_and_wait(&t);
        assert_unread(&t, -ENOENT);
        move_to_b(&t);
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

static void a_report_under_another_name_makes_a_result_void_too(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        update_and_wait(&t);
        assert_int_equal(rename("a", "b"), 0);
        damage_traceless("b");
        move_to_b(&t);
        note(&t, "b");
        assert_false(take(&t));
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(t.n_altered, 1);
        end(&t);
}

static void without_a_report_nothing_is_read_twice(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        put_file(&t, "b");
        proofs_update(&t.proofs, t.base);
        proofs_update(&t.proofs, t.base);
        wait_for_end(&t);
        proofs_update(&t.proofs, t.base); /* the results wait */
        assert_true(proofs_is_over(&t.proofs));
        assert_int_equal(t.progress, 2 * SIZE);
        assert_true(take(&t));
        proofs_update(&t.proofs, t.base);
        assert_true(proofs_is_over(&t.proofs));
        assert_int_equal(t.progress, 2 * SIZE);
        assert_int_equal(t.n_ended, 1);
        end(&t);
}

static void a_result_does_not_count_for_another_object(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        update_and_wait(&t);
        assert_int_equal(unlink("a"), 0);
        put_file(&t, "a");
        entry_of(&t, "a")->ino++; /* tmpfs might give the same number again */
        assert_false(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        entry_of(&t, "a")->ino--;
        update_and_wait(&t);
        assert_int_equal(t.progress, 2 * SIZE);
        assert_true(take(&t));
        end(&t);
}

static void a_result_for_another_digest_does_not_count(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        update_and_wait(&t);
        entry_of(&t, "a")->digest.bytes[0] ^= 1;
        assert_false(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        update_and_wait(&t);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS);
        end(&t);
}

/* Takes long enough to do something meanwhile; the base has another digest. */
static void put_long(Trial *t, const char *path) {
        put_text(path, "data");
        assert_int_equal(truncate(path, 8 * (off_t) GIB), 0);
        agree(t, path, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
}

/* Until the job is in the middle of the first file. */
static void wait_for_begin(Trial *t) {
        for (unsigned i = 0; t->progress == 0; i++) {
                assert_true(i < 10 * PATIENCE_MSEC);
                (void) usleep(100);
        }
}

static void bytes_that_a_process_is_writing_are_no_result(void **state) {
        bool in_time = false;
        Trial t;

        (void) state;
        begin(&t);
        put_long(&t, "a");
        for (unsigned attempt = 0; !in_time && attempt < 10; attempt++) {
                int fd;

                t.progress = 0;
                proofs_update(&t.proofs, t.base);
                wait_for_begin(&t);
                fd = open("a", O_RDWR | O_CLOEXEC);
                wait_for_end(&t);
                (void) close(fd);
                in_time = proofs_n_busy(&t.proofs) == 1; /* else it was read before */
                note(&t, "a");
        }
        assert_true(in_time);
        assert_false(take(&t));
        proofs_stop(&t.proofs);
        end(&t);
}

/* Whoever links or renames it meanwhile moves its ctime. */
static void a_file_that_is_touched_while_it_is_read_is_read_again(void **state) {
        bool in_time = false;
        struct stat st;
        Trial t;

        (void) state;
        begin(&t);
        put_long(&t, "a");
        for (unsigned attempt = 0; !in_time && attempt < 10; attempt++) {
                t.progress = 0;
                proofs_update(&t.proofs, t.base);
                wait_for_begin(&t);
                assert_int_equal(chmod("a", attempt % 2 == 0 ? 0600 : 0644), 0);
                wait_for_end(&t);
                in_time = t.progress == 2 * 4096; /* else it was read already */
                if (!in_time)
                        note(&t, "a");
        }
        assert_true(in_time);
        assert_true(take(&t));
        st = stat_at("a");
        assert_int_equal(entry_of(&t, "a")->ctime_nsec, fs_nsec(&st.st_ctim));
        end(&t);
}

/* --- giving up --- */

static uint64_t now_msec(void) {
        struct timespec now;

        assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
        return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static void a_stop_does_not_wait_for_a_large_file(void **state) {
        uint64_t begun;
        Trial t;

        (void) state;
        begin(&t);
        put_endless(&t, "a");
        put_file(&t, "b");
        proofs_update(&t.proofs, t.base);
        wait_for_begin(&t);
        begun = now_msec();
        proofs_stop(&t.proofs);
        assert_true(t.proofs.running);
        wait_for_end(&t); /* would give up long before such a file is read */
        print_message("%u ms\n", (unsigned) (now_msec() - begun));
        assert_int_equal(t.n_ended, 1);
        assert_true(proofs_is_over(&t.proofs)); /* and "b" was not begun */
        assert_int_equal(t.progress, 4096);
        assert_false(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        entry_of(&t, "a")->flags = ENTRY_HAS_DIGEST;
        update_and_wait(&t); /* it can begin again */
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

static void results_outlive_a_stop(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        update_and_wait(&t);
        proofs_stop(&t.proofs);
        assert_true(proofs_is_over(&t.proofs));
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

static void what_is_not_to_be_read_any_more_is_given_up(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_endless(&t, "a");
        put_file(&t, "b");
        proofs_update(&t.proofs, t.base);
        wait_for_begin(&t);
        entry_of(&t, "a")->flags |= ENTRY_RECORD;
        proofs_update(&t.proofs, t.base);
        wait_for_end(&t);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "b")->flags, ENTRY_HAS_DIGEST);
        assert_int_equal(t.n_ended, 1);
        end(&t);
}

static void a_file_can_be_demanded_again_before_its_stop_is_over(void **state) {
        Trial t;

        (void) state;
        begin(&t);
        put_file(&t, "a");
        proofs_update(&t.proofs, t.base);
        proofs_stop(&t.proofs);
        proofs_update(&t.proofs, t.base);
        proofs_update(&t.proofs, t.base);
        wait_for_end(&t);
        assert_true(take(&t));
        assert_int_equal(entry_of(&t, "a")->flags, ENTRY_HAS_DIGEST);
        end(&t);
}

/* --- much --- */

static void many_files_are_all_read_once(void **state) {
        enum { MANY = 20000 };
        char name[16];
        Entry entry;
        Trial t;

        (void) state;
        begin(&t);
        put_text("0", "x");
        agree(&t, "0", ENTRY_HAS_DIGEST | ENTRY_UNPROVEN | ENTRY_WRITTEN);
        entry = *entry_of(&t, "0");
        for (unsigned i = 1; i < MANY; i++) {
                struct stat st;

                (void) snprintf(name, sizeof(name), "%u", i);
                put_text(name, "x");
                st = stat_at(name);
                entry.path = name;
                entry.ino = st.st_ino;
                entry.mtime_nsec = fs_nsec(&st.st_mtim);
                assert_int_equal(manifest_put(t.base, &entry), 0);
        }
        manifest_sort(t.base);
        update_and_wait(&t);
        assert_int_equal(t.n_ended, 1);
        assert_int_equal(t.progress, MANY);
        assert_true(take(&t));
        for (size_t i = 0; i < t.base->n_entries; i++)
                assert_int_equal(t.base->entries[i].flags, ENTRY_HAS_DIGEST);
        end(&t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(the_same_bytes_are_a_proof),
                ON_GROUND(other_bytes_behind_the_same_times_are_found),
                ON_GROUND(how_it_came_into_doubt_goes_with_the_proof),
                ON_GROUND(the_ctime_that_was_seen_is_recorded),
                ON_GROUND(a_later_ctime_that_was_recorded_meanwhile_stays),
                ON_GROUND(names_of_one_inode_are_read_once),
                ON_GROUND(any_name_that_leads_to_the_file_will_do),
                ON_GROUND(only_files_of_the_mirror_that_may_have_been_written_are_read),
                ON_GROUND(a_file_with_another_mtime_is_not_read),
                ON_GROUND(a_file_of_another_size_is_not_read),
                ON_GROUND(another_file_of_the_same_name_is_not_read),
                ON_GROUND(what_is_gone_is_not_read),
                ON_GROUND(a_link_is_not_followed),
                ON_GROUND(a_fifo_is_not_waited_for),
                ON_GROUND(what_is_open_for_writing_waits_for_the_next_report),
                ON_GROUND(what_is_mapped_for_writing_is_not_read_either),
                ON_GROUND(a_report_while_it_is_read_makes_it_read_again),
                ON_GROUND(a_report_before_the_result_is_taken_makes_it_void),
                ON_GROUND(what_was_not_under_its_old_name_is_read_under_the_new_one),
                ON_GROUND(a_report_under_another_name_makes_a_result_void_too),
                ON_GROUND(without_a_report_nothing_is_read_twice),
                ON_GROUND(a_result_does_not_count_for_another_object),
                ON_GROUND(a_result_for_another_digest_does_not_count),
                ON_GROUND(bytes_that_a_process_is_writing_are_no_result),
                ON_GROUND(a_file_that_is_touched_while_it_is_read_is_read_again),
                ON_GROUND(a_stop_does_not_wait_for_a_large_file),
                ON_GROUND(results_outlive_a_stop),
                ON_GROUND(what_is_not_to_be_read_any_more_is_given_up),
                ON_GROUND(a_file_can_be_demanded_again_before_its_stop_is_over),
                ON_GROUND(many_files_are_all_read_once),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
