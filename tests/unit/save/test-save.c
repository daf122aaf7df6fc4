/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One thing from a mirror (tmpfs) to a disk (ext4; a tiny one; exFAT in user space, which folds case and knows
 * neither links nor owners): whole with all that belongs to it, or not at all. */

#include "ground.h"
#include "broken-call.h"
#include "os/file-digest.h"
#include "os/fs.h"
#include "os/pagecache.h"
#include "save/save.h"
#include "tree/scan.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static Disk disk;
static SaveOptions options;
static atomic_bool cancel;
static atomic_uint_fast64_t progress;
static char mirror_path[64];
static Manifest *seen_mirror, *seen_disk, *agreed;
static Save save;

static void start(void) {
        make_tmpfs("mirror", "size=200m");
        (void) snprintf(mirror_path, sizeof(mirror_path), "%s/mirror", ground_base);
        disk_init(&disk, open_directory("disk"), "models");
        atomic_store(&cancel, false);
        atomic_store(&progress, 0);
        options = (SaveOptions){ .disk = &disk, .mirrorfd = open_directory("mirror"), .mirror_path = mirror_path, .cancel = &cancel,
                                 .progress = &progress };
        save = (Save){};
}

static int setup(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 160);
        start();
        return 0;
}

static int setup_tiny(void **state) {
        (void) ground_setup(state);
        make_ext4("disk", 12);
        start();
        return 0;
}

/* With inodes of 128 bytes there is no room for more than seconds. */
static int setup_coarse(void **state) {
        (void) ground_setup(state);
        make_directory("disk");
        shell("truncate -s 32M image && mkfs.ext4 -q -F -I 128 image >/dev/null 2>&1 && mount -o loop image disk");
        start();
        return 0;
}

static int setup_exfat(void **state) {
        (void) ground_setup(state);
        make_directory("disk");
        shell("truncate -s 64M image && mkfs.exfat image >/dev/null && loop=$(losetup -f --show image) && "
              "mount.exfat-fuse $loop disk >/dev/null && losetup -d $loop");
        start();
        return 0;
}

static int teardown(void **state) {
        save_done(&save);
        seen_mirror = manifest_free(seen_mirror);
        seen_disk = manifest_free(seen_disk);
        agreed = manifest_free(agreed);
        disk.rootfd = close_fd(disk.rootfd);
        options.mirrorfd = close_fd(options.mirrorfd);
        assert_int_equal(umount("mirror"), 0);
        if (umount2("disk", 0) < 0)
                (void) umount2("disk", MNT_DETACH);
        return ground_teardown(state);
}

static void survey(Manifest **manifest, const char *path, bool mirror) {
        int fd = open_directory(path);
        char *root = realpath(path, NULL);
        ScanOptions scan = { .mirror = mirror, .root = root };

        *manifest = manifest_free(*manifest);
        assert_int_equal(scan_tree(fd, &scan, manifest), 0);
        free(root);
        (void) close(fd);
}

static void survey_at_both(void) {
        survey(&seen_mirror, "mirror", true);
        survey(&seen_disk, "disk", false);
}

/* As a scan sees it now: what attempt() runs. */
static void plan(SaveKind kind, const char *path) {
        save_done(&save);
        survey_at_both();
        save = (Save){ .kind = kind, .mirror = manifest_find(seen_mirror, path), .expected = manifest_find(seen_disk, path) };
}

static SaveOutcome attempt(void) {
        save_run(&save, &options);
        if (save.outcome == SAVE_FAILED)
                print_message("failed to %s: %s\n", save.what, strerror(save.error));
        return save.outcome;
}

static SaveOutcome save_now(SaveKind kind, const char *path) {
        plan(kind, path);
        return attempt();
}

/* What both sides have now, as the base would remember it. */
static void agree(void) {
        agreed = manifest_free(agreed);
        assert_int_equal(manifest_new(&agreed), 0);
        manifest_entry_set_disk(&save.entry, &save.disk);
        assert_int_equal(manifest_put(agreed, &save.entry), 0);
        manifest_sort(agreed);
}

static void assert_entry(const Entry *log_once, const Manifest *manifest) {
        const Entry *seen = manifest_find(manifest, log_once->path);

        assert_non_null(seen);
        assert_int_equal(log_once->type, seen->type);
        assert_int_equal(log_once->size, seen->size);
        assert_int_equal(log_once->mtime_nsec, seen->mtime_nsec);
        assert_int_equal(log_once->ino, seen->ino);
        assert_int_equal(log_once->uid, seen->uid);
        assert_int_equal(log_once->mode, seen->mode);
        assert_true(string_equal(log_once->target, seen->target));
        if (log_once->type != ENTRY_DIRECTORY)
                assert_int_equal(log_once->ctime_nsec, seen->ctime_nsec);
}

static size_t count_in(const char *directory) {
        char command[128], line[32] = "";
        FILE *pipe;

        (void) snprintf(command, sizeof(command), "find disk/" SCAN_PRIVATE_DIR "/%s ! -type d 2>/dev/null | wc -l", directory);
        pipe = popen(command, "r");
        assert_non_null(fgets(line, sizeof(line), pipe));
        (void) pclose(pipe);
        return strtoul(line, NULL, 10);
}

/* The results are what the next scan sees, and nothing is left over. */
static void assert_done(SaveOutcome outcome) {
        assert_int_equal(outcome, SAVE_DONE);
        assert_false(save.gone);
        survey(&seen_disk, "disk", false);
        assert_entry(&save.disk, seen_disk);
        assert_int_equal(save.entry.ino, save.mirror->ino);
        assert_int_equal(save.entry.ctime_nsec, save.mirror->ctime_nsec);
        assert_true(string_equal(save.entry.target, save.mirror->target));
        assert_int_equal(count_in("tmp"), 0);
}

static void assert_not_done(SaveOutcome outcome, SaveOutcome expected) {
        assert_int_equal(outcome, expected);
        assert_int_equal(count_in("tmp"), 0);
        assert_int_equal(count_in("conflicts"), 0);
}

static void assert_text(const char *path, const char *text) {
        assert_content(path, text, strlen(text));
}

static Digest digest_of(const char *directory, const char *path) {
        int fd = open_directory(directory);
        atomic_uint_fast64_t bytes = 0;
        FileDigestOptions verify = { .progress = &bytes };
        Digest digest;

        assert_int_equal(file_digest_at(fd, path, &verify, &digest), 0);
        (void) close(fd);
        return digest;
}

/* --- files --- */

static void a_file_is_saved_with_all_that_belongs_to_it(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        struct stat st;
        Digest digest;
        char value[8];

        (void) state;
        data = put_pattern("mirror/file", 300001, 1);
        assert_int_equal(chown("mirror/file", 12, 13), 0);
        assert_int_equal(chmod("mirror/file", 06751), 0);
        assert_int_equal(setxattr("mirror/file", "user.origin", "here", 4, 0), 0);
        set_mtime("mirror/file", 1700000000, 123456789);
        assert_done(save_now(SAVE_CONTENT, "file"));
        assert_content("disk/file", data, 300001);
        st = stat_at("disk/file");
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_gid, 13);
        assert_int_equal(st.st_mode & 07777, 0751); /* set-id bits are never carried */
        assert_int_equal(fs_nsec(&st.st_mtim), 1700000000123456789);
        assert_int_equal(getxattr("disk/file", "user.origin", value, sizeof(value)), 4);
        assert_memory_equal(value, "here", 4);
        digest = digest_of("mirror", "file");
        assert_true(save.entry.flags & ENTRY_HAS_DIGEST && save.disk.flags & ENTRY_HAS_DIGEST);
        assert_memory_equal(&save.entry.digest, &digest, sizeof(digest));
        assert_int_equal(save.bytes, 300001);
        assert_in_range(atomic_load(&progress), 600002, 600002); /* once from the mirror, once from the disk */
}

/* A watch takes a close after writing for a client's work. */
static void under_its_name_on_the_disk_no_writer_closes_it(void **state) {
        union {
                struct inotify_event event;
                char bytes[4096];
        } buffer;
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        unsigned mask = 0;
        ssize_t n;

        (void) state;
        assert_true(fd >= 0);
        assert_true(inotify_add_watch(fd, "disk", IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE) >= 0);
        free(put_pattern("mirror/file", MIB, 1));
        assert_done(save_now(SAVE_CONTENT, "file"));
        n = read(fd, &buffer, sizeof(buffer));
        for (ssize_t at = 0; at < n;) {
                struct inotify_event event;

                memcpy(&event, buffer.bytes + at, sizeof(event));
                if (!(event.mask & IN_ISDIR))
                        mask |= event.mask;
                at += (ssize_t) (sizeof(event) + event.len);
        }
        (void) close(fd);
        assert_int_equal(mask, IN_MOVED_TO);
}

static void files_of_every_length_arrive(void **state) {
        static const size_t sizes[] = { 0, 1, MIB - 1, MIB, MIB + 1, 16 * MIB, 40 * MIB + 3 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(freep) uint8_t *data = put_pattern("mirror/file", sizes[i], i);

                assert_done(save_now(SAVE_CONTENT, "file"));
                assert_content("disk/file", data, sizes[i]);
        }
}

static void holes_stay_holes_on_both_sides(void **state) {
        _cleanup_(freep) uint8_t *data = calloc(1, 40 * MIB);
        static const uint64_t places[] = { 5 * MIB, 30 * MIB + 4096 };
        int fd = open("mirror/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        blkcnt_t blocks;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                fill_bytes(data + places[i], 8192, i);
                assert_int_equal(pwrite(fd, data + places[i], 8192, (off_t) places[i]), 8192);
        }
        assert_int_equal(ftruncate(fd, 40 * MIB), 0);
        (void) close(fd);
        blocks = stat_at("mirror/file").st_blocks;
        assert_done(save_now(SAVE_CONTENT, "file"));
        assert_content("disk/file", data, 40 * MIB);
        assert_in_range(stat_at("disk/file").st_blocks, 32, 48);
        assert_int_equal(save.bytes, 16384);
        assert_int_equal(stat_at("mirror/file").st_blocks, blocks);
        put_text("mirror/empty", "");
        assert_int_equal(truncate("mirror/empty", 10 * MIB), 0); /* nothing but a hole */
        assert_done(save_now(SAVE_CONTENT, "empty"));
        assert_int_equal(stat_at("disk/empty").st_size, 10 * MIB);
        assert_int_equal(stat_at("disk/empty").st_blocks, 0);
}

static void nothing_stays_in_the_page_cache_nor_in_memory(void **state) {
        struct rusage before, after;
        int fd;

        (void) state;
        free(put_pattern("mirror/file", 100 * MIB, 1));
        (void) getrusage(RUSAGE_SELF, &before);
        assert_done(save_now(SAVE_CONTENT, "file"));
        (void) getrusage(RUSAGE_SELF, &after);
        assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 16 * 1024); /* KiB */
        fd = open("disk/file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(pagecache_bytes(fd, 0, 100 * MIB), 0);
        (void) close(fd);
}

static void a_new_version_replaces_the_old_one_whole(void **state) {
        int reader;
        char text[8] = "";

        (void) state;
        put_text("disk/file", "old");
        put_text("mirror/file", "newer");
        reader = open("disk/file", O_RDONLY | O_CLOEXEC);
        assert_done(save_now(SAVE_CONTENT, "file"));
        assert_text("disk/file", "newer");
        assert_null(save.kept);
        assert_int_equal(read(reader, text, sizeof(text)), 3);
        assert_string_equal(text, "old");
        (void) close(reader);
}

/* --- while it is written to --- */

static void what_a_process_has_open_for_writing_is_busy(void **state) {
        int writer;
        void *map;

        (void) state;
        free(put_pattern("mirror/file", 8192, 1));
        writer = open("mirror/file", O_RDWR | O_CLOEXEC);
        assert_not_done(save_now(SAVE_CONTENT, "file"), SAVE_BUSY);
        map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
        assert_true(map != MAP_FAILED);
        (void) close(writer);
        assert_not_done(save_now(SAVE_CONTENT, "file"), SAVE_BUSY);
        assert_false(is_there("disk/file"));
        (void) munmap(map, 4096);
        assert_done(save_now(SAVE_CONTENT, "file"));
}

static atomic_bool end;

static void *open_for_ever(void *userdata) {
        while (!atomic_load(&end))
                (void) close(open(userdata, O_WRONLY | O_CLOEXEC | O_NONBLOCK));
        return NULL;
}

/* The kernel signals the holder of a lease that another process wants to break. */
static void who_opens_it_just_then_does_not_end_us(void **state) {
        unsigned busy = 0;
        pthread_t thread;

        (void) state;
        put_text("mirror/file", "x");
        plan(SAVE_BESIDE, "file");
        atomic_store(&end, false);
        assert_int_equal(pthread_create(&thread, NULL, open_for_ever, (void *) "mirror/file"), 0);
        for (unsigned i = 0; i < 2000; i++)
                busy += attempt() == SAVE_BUSY;
        atomic_store(&end, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_in_range(busy, 1, 2000);
        assert_done(save_now(SAVE_CONTENT, "file"));
}

static void what_is_not_what_was_seen_is_not_saved(void **state) {
        (void) state;
        put_text("mirror/file", "seen");
        plan(SAVE_CONTENT, "file");
        put_text("mirror/file", "SEEN"); /* the same size */
        assert_not_done(attempt(), SAVE_CHANGED);
        plan(SAVE_CONTENT, "file");
        assert_int_equal(chmod("mirror/file", 0600), 0);
        assert_not_done(attempt(), SAVE_CHANGED);
        plan(SAVE_CONTENT, "file");
        assert_int_equal(unlink("mirror/file"), 0);
        assert_not_done(attempt(), SAVE_GONE);
        assert_int_equal(mkfifo("mirror/file", 0644), 0); /* must not wait for a writer */
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_int_equal(unlink("mirror/file"), 0);
        put_text("outside", "secret");
        assert_int_equal(symlink("../outside", "mirror/file"), 0);
        assert_not_done(attempt(), SAVE_CHANGED);
        make_directory("mirror/dir");
        put_text("mirror/dir/file", "x");
        plan(SAVE_CONTENT, "dir/file");
        shell("mv mirror/dir elsewhere; ln -s ../elsewhere mirror/dir; mkdir disk/dir");
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_false(is_there("disk/file") || is_there("disk/dir/file"));
}

typedef struct Meddler {
        void (*act)(void);
        bool late; /* when it is read back, not before */
} Meddler;

static void *meddle(void *userdata) {
        Meddler *meddler = userdata;

        while (atomic_load(&progress) <= (meddler->late ? save.mirror->size : 0) && !atomic_load(&end))
                (void) nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
        meddler->act();
        return NULL;
}

/* Runs the save while @act is done to it in the middle: in time also where others keep all processors busy. */
static SaveOutcome save_with_meddler(void (*act)(void), bool late) {
        Meddler meddler = { .act = act, .late = late };
        struct sched_param first = { .sched_priority = 1 };
        SaveOutcome outcome;
        pthread_t thread;

        atomic_store(&progress, 0);
        atomic_store(&end, false);
        assert_int_equal(pthread_create(&thread, NULL, meddle, &meddler), 0);
        (void) pthread_setschedparam(thread, SCHED_FIFO, &first); /* without the right, it is in time on most machines */
        outcome = attempt();
        atomic_store(&end, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        return outcome;
}

static void append(void) {
        int fd = open("mirror/file", O_WRONLY | O_APPEND | O_CLOEXEC);

        assert_int_equal(write(fd, "more", 4), 4);
        (void) close(fd);
}

static void rewrite(void) {
        int fd = open("mirror/file", O_WRONLY | O_CLOEXEC);

        assert_int_equal(write(fd, "other", 5), 5);
        (void) close(fd);
        set_mtime("mirror/file", save.mirror->mtime_nsec / NSEC_PER_SEC, save.mirror->mtime_nsec % NSEC_PER_SEC);
}

/* A page that was read before moves no time. */
static void store(void) {
        int fd = open("mirror/file", O_RDWR | O_CLOEXEC);
        volatile uint8_t *page;
        uint8_t before;

        assert_true(fd >= 0);
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(page != MAP_FAILED);
        before = *page;
        assert_int_equal(*page, before);
        *page = before ^ 1;
        assert_int_equal(munmap((void *) page, 4096), 0);
        (void) close(fd);
}

static void cut_off(void) {
        assert_int_equal(truncate("mirror/file", 10), 0);
}

static void delete(void) {
        assert_int_equal(unlink("mirror/file"), 0);
}

static void call_off(void) {
        atomic_store(&cancel, true);
}

/* A process that has opened the file may have written to it already, or not yet. */
static void assert_disturbed(SaveOutcome outcome) {
        assert_not_done(outcome, outcome == SAVE_BUSY ? SAVE_BUSY : SAVE_CHANGED);
}

static void what_changes_while_it_is_copied_is_not_put_in_place(void **state) {
        static void (*const acts[])(void) = { append, rewrite, cut_off };

        (void) state;
        put_text("disk/file", "old");
        for (unsigned i = 0; i < 2 * ELEMENTSOF(acts); i++) {
                free(put_pattern("mirror/file", 40 * MIB, i));
                plan(SAVE_CONTENT, "file");
                assert_disturbed(save_with_meddler(acts[i / 2], i % 2));
                assert_text("disk/file", "old");
        }
}

static void what_is_stored_into_without_a_trace_while_it_is_copied_is_not_put_in_place(void **state) {
        (void) state;
        put_text("disk/file", "old");
        for (unsigned late = 0; late < 2; late++) {
                free(put_pattern("mirror/file", 40 * MIB, late));
                plan(SAVE_CONTENT, "file");
                assert_not_done(save_with_meddler(store, late), SAVE_BUSY);
                assert_text("disk/file", "old");
        }
        plan(SAVE_CONTENT, "file");
        assert_done(attempt());
        shell("cmp mirror/file disk/file");
}

/* On the disk, and as if it had not been. */
static void alter_on_disk(void) {
        struct stat st;
        int fd = open("disk/file", O_WRONLY | O_CLOEXEC);

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(write(fd, "OLD", 3), 3);
        assert_int_equal(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }), 0);
        (void) close(fd);
}

static void link_on_disk(void) {
        (void) unlink("disk/link");
        assert_int_equal(link("disk/file", "disk/link"), 0);
}

static void put_agreed_text(const char *text) {
        put_text("mirror/file", text);
        assert_done(save_now(SAVE_CONTENT, "file"));
        agree();
}

static void plan_agreed(SaveKind kind) {
        plan(kind, "file");
        save.agreed = &agreed->entries[0];
}

static void what_is_altered_on_disk_meanwhile_and_keeps_its_time_is_not_overwritten(void **state) {
        (void) state;
        for (unsigned late = 0; late < 2; late++) {
                put_agreed_text("old");
                free(put_pattern("mirror/file", 40 * MIB, late));
                plan_agreed(SAVE_CONTENT);
                assert_not_done(save_with_meddler(alter_on_disk, late), SAVE_CHANGED);
                assert_text("disk/file", "OLD");
        }
}

static void what_is_only_linked_on_disk_meanwhile_is_overwritten(void **state) {
        (void) state;
        for (unsigned late = 0; late < 2; late++) {
                put_agreed_text("old");
                free(put_pattern("mirror/file", 40 * MIB, late));
                plan_agreed(SAVE_CONTENT);
                assert_done(save_with_meddler(link_on_disk, late));
                shell("cmp mirror/file disk/file");
                assert_text("disk/link", "old");
        }
}

static void nor_is_it_removed_or_said_to_be_agreed(void **state) {
        static const SaveKind kinds[] = { SAVE_REMOVAL, SAVE_ATTRIBUTES };

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(kinds); i++) {
                put_agreed_text("old");
                plan_agreed(kinds[i]);
                alter_on_disk();
                assert_not_done(attempt(), SAVE_CHANGED);
                assert_text("disk/file", "OLD");
        }
}

static void of_what_changes_it_is_not_said_that_it_is_bad(void **state) {
        (void) state;
        free(put_pattern("mirror/blob", 40 * MIB, 1));
        assert_int_equal(rename("mirror/blob", "mirror/file"), 0);
        plan(SAVE_CONTENT, "file");
        save.claim.kind = CLAIM_SHA256; /* of nothing that it ever was */
        assert_disturbed(save_with_meddler(append, false));
        assert_null(save.text);
}

static void what_is_deleted_while_it_is_copied_is_saved_all_the_same(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;

        (void) state;
        data = put_pattern("mirror/file", 40 * MIB, 1);
        plan(SAVE_CONTENT, "file");
        assert_int_equal(save_with_meddler(delete, false), SAVE_DONE);
        assert_true(save.gone);
        assert_content("disk/file", data, 40 * MIB);
        assert_int_equal(count_in("tmp"), 0);
}

static void a_save_can_be_called_off(void **state) {
        (void) state;
        free(put_pattern("mirror/file", 40 * MIB, 1));
        plan(SAVE_CONTENT, "file");
        assert_not_done(save_with_meddler(call_off, false), SAVE_CANCELLED);
        atomic_store(&cancel, false);
        assert_not_done(save_with_meddler(call_off, true), SAVE_CANCELLED);
        assert_not_done(attempt(), SAVE_CANCELLED); /* before it begins */
        assert_false(is_there("disk/file"));
}

/* --- what its bytes have to be --- */

static Claim claim_of(ClaimKind kind, const char *command) {
        char line[128] = "";
        FILE *pipe = popen(command, "r");
        Claim claim;

        assert_non_null(fgets(line, sizeof(line), pipe));
        (void) pclose(pipe);
        assert_int_equal(claim_from_hex(kind, line, strspn(line, "0123456789abcdef"), &claim), 0);
        return claim;
}

static void what_its_name_says_of_the_content_must_be_true(void **state) {
        char expected[160], hex[CLAIM_HEX_MAX];
        Claim good;

        (void) state;
        free(put_pattern("mirror/blob", 3 * MIB + 1, 1));
        good = claim_of(CLAIM_SHA256, "sha256sum mirror/blob");
        plan(SAVE_CONTENT, "blob");
        save.claim = good;
        save.claim.bytes[31] ^= 1;
        assert_not_done(attempt(), SAVE_BAD);
        (void) snprintf(expected, sizeof(expected), "its SHA-256 is %s, not what its name says", claim_to_hex(&good, hex));
        assert_string_equal(save.text, expected);
        assert_false(is_there("disk/blob"));
        save.anyway = true; /* concerns the structure only */
        assert_not_done(attempt(), SAVE_BAD);
        save.claim = good;
        assert_done(attempt());
        assert_null(save.text);
        plan(SAVE_CONTENT, "blob");
        save.claim = claim_of(CLAIM_GIT_BLOB, "(printf 'blob 3145729\\0'; cat mirror/blob) | sha1sum");
        assert_done(attempt());
        save.claim.bytes[0] ^= 1;
        plan(SAVE_CONTENT, "blob");
        save.claim = claim_of(CLAIM_GIT_BLOB, "printf x | sha1sum");
        assert_not_done(attempt(), SAVE_BAD);
        assert_non_null(strstr(save.text, "its git blob id is "));
}

static void a_digest_is_that_of_the_holes_too(void **state) {
        (void) state;
        put_text("mirror/blob", "x");
        assert_int_equal(truncate("mirror/blob", 5 * MIB), 0);
        plan(SAVE_CONTENT, "blob");
        save.claim = claim_of(CLAIM_SHA256, "sha256sum mirror/blob");
        assert_done(attempt());
}

static void a_model_that_is_shorter_than_its_header_says_is_bad(void **state) {
        static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";
        uint8_t model[8 + sizeof(header) - 1 + 16] = { sizeof(header) - 1 };

        (void) state;
        memcpy(model + 8, header, sizeof(header) - 1);
        put_bytes("mirror/x.safetensors", model, sizeof(model) - 1);
        assert_not_done(save_now(SAVE_CONTENT, "x.safetensors"), SAVE_BAD);
        assert_non_null(save.text);
        assert_false(is_there("disk/x.safetensors"));
        save.anyway = true;
        assert_done(attempt());
        put_bytes("mirror/x.safetensors", model, sizeof(model));
        assert_done(save_now(SAVE_CONTENT, "x.safetensors"));
}

static void *garble_for_ever(void *userdata) {
        (void) userdata;
        while (!atomic_load(&end)) {
                _cleanup_(closedirp) DIR *dir = opendir("disk/" SCAN_PRIVATE_DIR "/tmp");
                struct dirent *d;

                while (dir && (d = readdir(dir))) {
                        int fd = d->d_type == DT_REG ? openat(dirfd(dir), d->d_name, O_WRONLY | O_CLOEXEC) : -1;

                        if (fd >= 0 && pwrite(fd, "garbage", 7, 1234567) < 0)
                                atomic_store(&end, true);
                        (void) close_fd(fd);
                }
        }
        return NULL;
}

static void what_is_read_back_must_be_what_was_written(void **state) {
        pthread_t thread;

        (void) state;
        free(put_pattern("mirror/file", 40 * MIB, 1));
        plan(SAVE_CONTENT, "file");
        atomic_store(&end, false);
        assert_int_equal(pthread_create(&thread, NULL, garble_for_ever, NULL), 0);
        assert_not_done(attempt(), SAVE_GARBLED);
        assert_false(atomic_load(&end));
        atomic_store(&end, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(save.bytes, 80 * MIB); /* it was tried twice */
        assert_false(is_there("disk/file"));
        assert_done(save_now(SAVE_CONTENT, "file"));
}

/* Where on its device a temporary begins, as soon as room is reserved for it; 0 before. */
static uint64_t find_temporary(void) {
        _cleanup_(closedirp) DIR *dir = opendir("disk/" SCAN_PRIVATE_DIR "/tmp");
        _cleanup_(freep) struct fiemap *found = calloc(1, sizeof(struct fiemap) + sizeof(struct fiemap_extent));
        struct dirent *d;
        int fd = -1;

        while (fd < 0 && dir && (d = readdir(dir)))
                if (d->d_type == DT_REG)
                        fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_CLOEXEC);
        found->fm_length = FIEMAP_MAX_OFFSET;
        found->fm_extent_count = 1;
        if (fd >= 0 && ioctl(fd, FS_IOC_FIEMAP, found) < 0)
                found->fm_mapped_extents = 0;
        (void) close_fd(fd);
        return found->fm_mapped_extents > 0 ? found->fm_extents[0].fe_physical : 0;
}

/* Behind the filesystem's back: as soon as the first bytes are on the device they are others. */
static void *rot(void *userdata) {
        int image = open("disk.img", O_RDWR | O_CLOEXEC);
        uint8_t wanted[4096], found[4096];
        uint64_t place = 0;

        memcpy(wanted, userdata, sizeof(wanted));
        while (!atomic_load(&end)) {
                if (place == 0)
                        place = find_temporary();
                else if (pread(image, found, sizeof(found), (off_t) place) == sizeof(found) && memcmp(wanted, found, sizeof(found)) == 0) {
                        assert_int_equal(pwrite(image, "garbage", 7, (off_t) place), 7);
                        break;
                }
        }
        (void) close(image);
        return NULL;
}

static void it_is_read_back_from_the_disk_itself(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        pthread_t thread;

        (void) state;
        /* the rot has to come between the writing and the reading, and on a busy machine it may come too late */
        for (unsigned tries = 0; save.bytes != 24 * MIB; tries++) {
                assert_in_range(tries, 0, 20);
                (void) unlink("disk/file");
                free(data);
                data = put_pattern("mirror/file", 12 * MIB, tries + 1); /* all of it fits into what may wait in the page cache */
                plan(SAVE_CONTENT, "file");
                atomic_store(&end, false);
                assert_int_equal(pthread_create(&thread, NULL, rot, data), 0);
                assert_int_equal(attempt(), SAVE_DONE);
                atomic_store(&end, true);
                assert_int_equal(pthread_join(thread, NULL), 0);
        }
        assert_content("disk/file", data, 12 * MIB);
}

typedef struct Saver {
        Save save;
        pthread_t thread;
} Saver;

static void *run_saver(void *userdata) {
        save_run(userdata, &options);
        return NULL;
}

static void several_are_saved_at_once(void **state) {
        static Saver savers[8];
        char path[32];

        (void) state;
        for (unsigned i = 0; i < ELEMENTSOF(savers); i++) {
                (void) snprintf(path, sizeof(path), "mirror/%u", i);
                free(put_pattern(path, 5 * MIB, i));
        }
        survey_at_both();
        for (unsigned i = 0; i < ELEMENTSOF(savers); i++) {
                (void) snprintf(path, sizeof(path), "%u", i);
                savers[i].save = (Save){ .mirror = manifest_find(seen_mirror, path), .kind = i % 2 ? SAVE_CONTENT : SAVE_BESIDE };
                assert_int_equal(pthread_create(&savers[i].thread, NULL, run_saver, &savers[i].save), 0);
        }
        for (unsigned i = 0; i < ELEMENTSOF(savers); i++) {
                assert_int_equal(pthread_join(savers[i].thread, NULL), 0);
                assert_int_equal(savers[i].save.outcome, SAVE_DONE);
                save_done(&savers[i].save);
        }
        shell("for i in 1 3 5 7; do cmp mirror/$i disk/$i || exit 1; done");
        assert_int_equal(count_in("conflicts"), 4);
        assert_int_equal(count_in("tmp"), 0);
}

/* --- attributes --- */

static void put_agreed_file(void) {
        free(put_pattern("mirror/file", 3 * MIB, 1));
        set_mtime("mirror/file", 1700000000, 5);
        assert_done(save_now(SAVE_CONTENT, "file"));
        agree();
}

static void what_was_only_touched_is_not_written_again(void **state) {
        ino_t ino;

        (void) state;
        put_agreed_file();
        ino = stat_at("disk/file").st_ino;
        set_mtime("mirror/file", 1800000000, 7);
        assert_int_equal(chmod("mirror/file", 0600), 0);
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        assert_done(attempt());
        assert_int_equal(save.bytes, 0);
        assert_true(save.entry.flags & ENTRY_HAS_DIGEST);
        assert_int_equal(stat_at("disk/file").st_ino, ino);
        assert_int_equal(stat_at("disk/file").st_mtim.tv_sec, 1800000000);
        assert_int_equal(stat_at("disk/file").st_mode & 0777, 0600);
        agree();
        rewrite(); /* the same size and time: and yet */
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        assert_done(attempt());
        assert_int_equal(save.bytes, 3 * MIB);
        assert_true(stat_at("disk/file").st_ino != ino);
        shell("cmp mirror/file disk/file");
}

static void owner_and_mode_are_carried_alone(void **state) {
        ino_t ino;

        (void) state;
        put_agreed_file();
        assert_int_equal(link("disk/file", "disk/name"), 0);
        ino = stat_at("disk/file").st_ino;
        assert_int_equal(chmod("mirror/file", 04640), 0);
        assert_int_equal(chown("mirror/file", 12, 13), 0);
        plan(SAVE_ATTRIBUTES, "file");
        save.agreed = &agreed->entries[0];
        assert_done(attempt());
        assert_int_equal(save.bytes, 0);
        assert_int_equal(stat_at("disk/name").st_mode & 07777, 0640);
        assert_int_equal(stat_at("disk/name").st_uid, 12);
        assert_int_equal(stat_at("disk/name").st_ino, ino);
        rewrite();
        assert_int_equal(chmod("mirror/file", 0666), 0);
        plan(SAVE_ATTRIBUTES, "file");
        save.agreed = &agreed->entries[0];
        assert_not_done(attempt(), SAVE_CHANGED); /* more than its attributes */
        assert_int_equal(stat_at("disk/file").st_mode & 07777, 0640);
}

static void attributes_are_not_given_to_something_else(void **state) {
        (void) state;
        put_agreed_file();
        assert_int_equal(chmod("mirror/file", 0600), 0);
        plan(SAVE_ATTRIBUTES, "file");
        save.agreed = &agreed->entries[0];
        put_text("disk/file", "somebody's");
        assert_not_done(attempt(), SAVE_OCCUPIED);
        assert_int_equal(stat_at("disk/file").st_mode & 0777, 0644);
        assert_int_equal(unlink("disk/file"), 0);
        assert_not_done(attempt(), SAVE_CHANGED);
        put_text("outside", "x");
        assert_int_equal(symlink("../outside", "disk/file"), 0);
        assert_not_done(attempt(), SAVE_OCCUPIED);
        assert_int_equal(stat_at("outside").st_mode & 0777, 0644);
}

static void those_of_directories_are_carried_too(void **state) {
        (void) state;
        make_directory("mirror/dir");
        assert_done(save_now(SAVE_CONTENT, "dir"));
        assert_int_equal(chmod("mirror/dir", 0700), 0);
        assert_int_equal(chown("mirror/dir", 12, 13), 0);
        assert_done(save_now(SAVE_ATTRIBUTES, "dir"));
        assert_int_equal(stat_at("disk/dir").st_mode & 07777, 0700);
        assert_int_equal(stat_at("disk/dir").st_uid, 12);
}

static void owners_are_left_alone_by_who_may_not_set_them(void **state) {
        (void) state;
        put_text("mirror/file", "x");
        assert_int_equal(chown("mirror/file", 12, 13), 0);
        options.own_owner = true;
        assert_done(save_now(SAVE_CONTENT, "file"));
        assert_int_equal(stat_at("disk/file").st_uid, 0);
        assert_int_equal(save.entry.uid, 12);
        assert_int_equal(save.disk.uid, 0);
}

/* --- bytes that are on the disk already --- */

/* Another file in the place of one, with the same mtime. */
static void put_copy(const char *path, const char *from) {
        struct stat st = stat_at(path);
        char command[128];

        (void) snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", from, path, path, path);
        shell(command);
        set_mtime(path, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void assert_untouched(const struct stat *before) {
        struct stat now = stat_at("disk/file");

        assert_int_equal(now.st_ino, before->st_ino);
        assert_int_equal(now.st_mode, before->st_mode);
        assert_int_equal(now.st_uid, before->st_uid);
        assert_int_equal(fs_nsec(&now.st_mtim), fs_nsec(&before->st_mtim));
        assert_int_equal(fs_nsec(&now.st_ctim), fs_nsec(&before->st_ctim));
        assert_int_equal(save.bytes, 0);
        assert_null(save.kept);
        assert_int_equal(count_in("conflicts"), 0);
}

/* Whichever is newer. */
static void equal_bytes_are_no_conflict(void **state) {
        static const SaveKind kinds[] = { SAVE_CONTENT, SAVE_BESIDE };
        struct stat st;

        (void) state;
        free(put_pattern("mirror/file", 3 * MIB, 1));
        free(put_pattern("disk/file", 3 * MIB, 1));
        assert_int_equal(chmod("mirror/file", 0666), 0);
        st = stat_at("disk/file");
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                Digest digest = digest_of("disk", "file");

                plan(kinds[i], "file");
                save.keep = true;
                assert_done(attempt());
                assert_untouched(&st);
                assert_int_equal(save.kind, SAVE_CONTENT); /* nothing has to give way */
                assert_int_equal(save.entry.mode, 0666);
                assert_int_equal(save.disk.mode, 0644);
                assert_memory_equal(&save.entry.digest, &digest, sizeof(digest));
                assert_true(save.entry.flags & ENTRY_HAS_DIGEST && save.disk.flags & ENTRY_HAS_DIGEST);
        }
}

static void a_conflict_with_what_was_agreed_is_a_plain_save(void **state) {
        static const SaveKind kinds[] = { SAVE_CONTENT, SAVE_BESIDE };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                for (size_t size = 3 * MIB; size <= 4 * MIB; size += MIB) {
                        put_agreed_file();
                        put_copy("disk/file", "disk/file"); /* the same bytes in another file */
                        free(put_pattern("mirror/file", size, 2));
                        plan(kinds[i], "file");
                        save.agreed = &agreed->entries[0];
                        save.keep = true;
                        assert_done(attempt());
                        shell("cmp mirror/file disk/file");
                        assert_null(save.kept);
                        assert_int_equal(count_in("conflicts"), 0);
                        shell("rm disk/file mirror/file");
                }
}

static void a_conflict_with_something_else_keeps_it(void **state) {
        (void) state;
        put_agreed_file();
        free(put_pattern("disk/file", 3 * MIB, 3));
        free(put_pattern("mirror/file", 3 * MIB, 2));
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        save.keep = true;
        assert_done(attempt());
        shell("cmp mirror/file disk/file");
        assert_non_null(save.kept);
        assert_int_equal(count_in("conflicts"), 1);
}

static void a_copy_of_a_clients_own_is_not_written_and_its_attributes_are_not_carried(void **state) {
        struct stat st;

        (void) state;
        put_agreed_file();
        st = stat_at("disk/file");
        put_copy("mirror/file", "disk/file");
        assert_int_equal(chmod("mirror/file", 0666) | chown("mirror/file", 12, 13), 0);
        set_mtime("mirror/file", 1800000000, 7);
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        assert_done(attempt());
        assert_untouched(&st);
        assert_int_equal(save.entry.mode, 0666);
        assert_int_equal(save.disk.uid, 0);
        rewrite(); /* other bytes are its own */
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        assert_done(attempt());
        assert_int_equal(save.bytes, 3 * MIB);
        assert_int_equal(stat_at("disk/file").st_uid, 12);
}

/* A file that a client put in the place of a link to the disk. The base need not know the bytes. */
static void what_a_link_led_to_is_not_written_again(void **state) {
        (void) state;
        for (unsigned digest = 0; digest < 2; digest++) {
                struct stat st, now;

                put_agreed_file();
                agreed->entries[0].flags = digest ? ENTRY_LINKED | ENTRY_HAS_DIGEST : ENTRY_LINKED;
                agreed->entries[0].ino = 1; /* of the link */
                st = stat_at("disk/file");
                put_copy("mirror/file", "disk/file");
                set_mtime("mirror/file", st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
                plan(SAVE_CONTENT, "file");
                save.agreed = &agreed->entries[0];
                assert_done(attempt());
                now = stat_at("disk/file");
                assert_int_equal(now.st_ino, st.st_ino);
                assert_int_equal(fs_nsec(&now.st_mtim), fs_nsec(&st.st_mtim));
                assert_int_equal(save.bytes, 0);
                free(put_pattern("mirror/file", 3 * MIB, 2));
                plan(SAVE_CONTENT, "file");
                save.agreed = &agreed->entries[0];
                assert_done(attempt());
                assert_int_equal(save.bytes, 3 * MIB);
                shell("cmp mirror/file disk/file && rm mirror/file disk/file");
        }
}

/* What the base says of its bytes is not true of any other file of that size and time. */
static void what_is_not_known_on_the_disk_is_not_taken_for_what_was_agreed(void **state) {
        (void) state;
        put_agreed_file();
        free(put_pattern("other", 3 * MIB, 9));
        put_copy("disk/file", "other");
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        assert_done(attempt());
        assert_int_equal(save.bytes, 3 * MIB);
        shell("cmp mirror/file disk/file");
}

static void what_has_changed_on_the_disk_since_is_not_agreed(void **state) {
        (void) state;
        for (unsigned keep = 0; keep < 2; keep++) {
                put_agreed_file();
                put_copy("mirror/file", "disk/file");
                plan(SAVE_CONTENT, "file");
                save.agreed = keep ? NULL : &agreed->entries[0];
                save.keep = keep;
                (void) usleep(20000); /* the kernel's clock for files ticks in milliseconds */
                assert_int_equal(chmod("disk/file", 0600), 0);
                assert_not_done(attempt(), SAVE_CHANGED);
                shell("rm disk/file mirror/file");
        }
}

static bool is_failing(const void *error) {
        return attempt() == SAVE_FAILED && save.error == *(const int *) error;
}

/* Where the first argument of the call is from @first to @last the save fails with the call's error. */
static bool fails_with(unsigned call, unsigned first, unsigned last, int error) {
        return is_so_broken((BrokenCall){ .call = call, .first = first, .last = last, .error = error }, is_failing, &error);
}

/* It may come from a save that failed in that very step, or from another process. */
static void what_is_on_the_disk_already_is_synced_before_it_counts(void **state) {
        unsigned next;

        (void) state;
        put_agreed_file();
        put_copy("mirror/file", "disk/file");
        plan(SAVE_CONTENT, "file");
        save.agreed = &agreed->entries[0];
        assert_true(fails_with(__NR_fsync, 0, UINT32_MAX, EIO));
        next = next_descriptor();
        /* the mirror's file has that number, the disk's the next one, its directory the one after that and one more */
        assert_true(fails_with(__NR_fsync, next + 1, next + 1, EIO));
        assert_true(fails_with(__NR_fsync, next + 3, next + 3, EIO));
        plan(SAVE_CONTENT, "file");
        save.keep = true;
        assert_true(fails_with(__NR_fsync, 0, UINT32_MAX, EIO));
        assert_done(attempt());
}

static void what_may_not_be_read_on_the_disk_is_not_saved(void **state) {
        (void) state;
        free(put_pattern("mirror/file", MIB, 1));
        free(put_pattern("disk/file", MIB, 2));
        plan(SAVE_CONTENT, "file");
        save.keep = true;
        assert_true(fails_with(__NR_openat2, (unsigned) disk.rootfd, (unsigned) disk.rootfd, EPERM));
}

/* --- clocks and inode numbers --- */

static void where_times_are_whole_seconds_another_change_may_hide(void **state) {
        (void) state;
        put_text("mirror/file", "x");
        assert_done(save_now(SAVE_CONTENT, "file"));
        assert_int_equal(stat_at("disk/file").st_ctim.tv_nsec, 0);
        assert_true(save.disk.flags & ENTRY_RACY);
        make_directory("mirror/dir");
        assert_done(save_now(SAVE_CONTENT, "dir"));
        assert_int_equal(save.disk.flags & ENTRY_RACY, 0); /* it has no bytes */
}

static void where_they_are_finer_it_shows(void **state) {
        unsigned racy = 0;

        (void) state;
        put_text("mirror/file", "x");
        for (unsigned i = 0; i < 5; i++) { /* once in a while a time is a whole second by chance */
                assert_done(save_now(SAVE_CONTENT, "file"));
                racy += (save.disk.flags & ENTRY_RACY) != 0;
        }
        assert_in_range(racy, 0, 1);
        assert_false(save.disk.flags & ENTRY_NO_INODE);
}

static void where_inode_numbers_are_not_stable_none_is_recorded(void **state) {
        (void) state;
        put_text("mirror/file", "x");
        assert_done(save_now(SAVE_CONTENT, "file"));
        assert_int_equal(save.disk.ino, 0);
        assert_true(save.disk.flags & ENTRY_NO_INODE);
        assert_int_equal(save.entry.ino, stat_at("mirror/file").st_ino);
}

/* --- its place --- */

static void both_versions_of_a_conflict_are_kept(void **state) {
        char path[256];

        (void) state;
        make_directory("disk/sub");
        make_directory("mirror/sub");
        put_text("disk/sub/file", "the disk's");
        put_text("mirror/sub/file", "the mirror's");
        plan(SAVE_CONTENT, "sub/file");
        save.keep = true;
        assert_done(attempt());
        assert_text("disk/sub/file", "the mirror's");
        (void) snprintf(path, sizeof(path), "disk/%s", save.kept);
        assert_text(path, "the disk's");
        put_text("mirror/sub/file", "an older one");
        assert_int_equal(save_now(SAVE_BESIDE, "sub/file"), SAVE_DONE);
        assert_text("disk/sub/file", "the mirror's");
        (void) snprintf(path, sizeof(path), "disk/%s", save.kept);
        assert_text(path, "an older one");
        assert_int_equal(count_in("conflicts"), 2);
        assert_int_equal(count_in("tmp"), 0);
}

static void what_the_plan_did_not_see_is_not_overwritten(void **state) {
        (void) state;
        put_text("mirror/file", "new");
        plan(SAVE_CONTENT, "file");
        put_text("disk/file", "somebody's");
        assert_not_done(attempt(), SAVE_OCCUPIED);
        plan(SAVE_CONTENT, "file");
        put_text("disk/file", "somebody else's");
        assert_not_done(attempt(), SAVE_OCCUPIED);
        plan(SAVE_CONTENT, "file");
        shell("rm disk/file; mkdir disk/file");
        assert_not_done(attempt(), SAVE_OCCUPIED);
}

static void take_place(void) {
        put_text("disk/file", "somebody's");
}

static void nor_what_came_there_while_it_was_copied(void **state) {
        (void) state;
        free(put_pattern("mirror/file", 40 * MIB, 1));
        plan(SAVE_CONTENT, "file");
        assert_not_done(save_with_meddler(take_place, false), SAVE_OCCUPIED);
        assert_text("disk/file", "somebody's");
}

static void swap_directory(void) {
        shell("mv disk/sub outside/sub && ln -s ../outside/sub disk/sub");
}

static void nothing_is_written_outside_the_tree(void **state) {
        (void) state;
        make_directory("outside");
        make_directory("disk/sub");
        make_directory("mirror/sub");
        free(put_pattern("mirror/sub/file", 40 * MIB, 1));
        plan(SAVE_CONTENT, "sub/file");
        assert_not_done(save_with_meddler(swap_directory, false), SAVE_CHANGED);
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_false(is_there("outside/sub/file"));
        make_directory("mirror/sub/dir");
        assert_not_done(save_now(SAVE_CONTENT, "sub/dir"), SAVE_CHANGED);
        assert_int_equal(symlink("file", "mirror/sub/link"), 0);
        assert_not_done(save_now(SAVE_CONTENT, "sub/link"), SAVE_CHANGED);
        assert_int_equal(unlink("disk/sub"), 0);
        assert_not_done(save_now(SAVE_CONTENT, "sub/file"), SAVE_CHANGED); /* no directory at all */
        assert_int_equal(rmdir("outside/sub"), 0);                         /* nothing is in it */
}

static void a_full_disk_is_left_as_it_was(void **state) {
        FsRoom before, after;

        (void) state;
        put_text("mirror/small", "x");
        put_text("disk/file", "old");
        assert_done(save_now(SAVE_CONTENT, "small"));
        assert_int_equal(fs_room(disk.rootfd, &before), 0);
        free(put_pattern("mirror/file", 20 * MIB, 1));
        assert_not_done(save_now(SAVE_CONTENT, "file"), SAVE_NO_ROOM);
        assert_int_equal(save.bytes, 0); /* known before the first byte */
        assert_text("disk/file", "old");
        shell("sync");
        assert_int_equal(fs_room(disk.rootfd, &after), 0);
        assert_int_equal(before.free, after.free);
        free(put_pattern("mirror/file", 4 * MIB, 1));
        assert_done(save_now(SAVE_CONTENT, "file"));
}

static void without_inodes_there_is_no_room_either(void **state) {
        (void) state;
        for (unsigned i = 0;; i++) {
                char path[32];
                int fd;

                (void) snprintf(path, sizeof(path), "disk/%u", i);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
                if (fd < 0)
                        break;
                (void) close(fd);
        }
        assert_int_equal(errno, ENOSPC);
        put_text("mirror/file", "x");
        assert_not_done(save_now(SAVE_CONTENT, "file"), SAVE_NO_ROOM);
        put_text("mirror/0", "newer");
        assert_int_equal(unlink("disk/1"), 0);
        plan(SAVE_CONTENT, "0");
        save.keep = true; /* no directory can be made for it */
        assert_not_done(attempt(), SAVE_NO_ROOM);
        assert_text("disk/0", "");
}

static void kinds_may_change(void **state) {
        (void) state;
        put_text("disk/a", "a file");
        make_directory("disk/b");
        make_directory("mirror/a");
        put_text("mirror/b", "a file");
        assert_done(save_now(SAVE_CONTENT, "a"));
        assert_true(S_ISDIR(stat_at("disk/a").st_mode));
        assert_int_equal(count_in("trash"), 1); /* the file that was in its place */
        assert_done(save_now(SAVE_CONTENT, "b"));
        assert_text("disk/b", "a file");
        make_directory("disk/c");
        put_text("disk/c/precious", "x");
        put_text("mirror/c", "a file");
        assert_not_done(save_now(SAVE_CONTENT, "c"), SAVE_OCCUPIED);
        assert_text("disk/c/precious", "x");
}

/* --- links and directories --- */

static DiskObject as_known(const Entry *saved) {
        return (DiskObject){ .ino = saved->ino, .mtime_nsec = saved->mtime_nsec, .ctime_nsec = saved->ctime_nsec };
}

static void names_of_one_file_stay_names_of_one_file(void **state) {
        DiskObject first;

        (void) state;
        free(put_pattern("mirror/a", MIB, 1));
        assert_int_equal(link("mirror/a", "mirror/b"), 0);
        assert_done(save_now(SAVE_CONTENT, "a"));
        first = as_known(&save.disk);
        plan(SAVE_CONTENT, "b");
        save.first = first;
        assert_done(attempt());
        assert_int_equal(save.bytes, 0);
        assert_int_equal(stat_at("disk/a").st_ino, stat_at("disk/b").st_ino);
        assert_int_equal(save.disk.type, ENTRY_HARDLINK);
        assert_int_equal(unlink("disk/b"), 0);
        put_text("disk/a", "another version");
        plan(SAVE_CONTENT, "b");
        save.first = first;
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_int_equal(unlink("disk/a"), 0);
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_false(is_there("disk/b"));
}

/* Its size and time are those of the file in the mirror, and it is another one. */
static void a_name_is_not_tied_to_what_only_looks_like_its_file(void **state) {
        DiskObject first;

        (void) state;
        free(put_pattern("mirror/a", MIB, 1));
        assert_int_equal(link("mirror/a", "mirror/b"), 0);
        assert_done(save_now(SAVE_CONTENT, "a"));
        first = as_known(&save.disk);
        free(put_pattern("disk/other", MIB, 2));
        shell("touch -r disk/a disk/other && mv disk/other disk/a");
        plan(SAVE_CONTENT, "b");
        save.first = first;
        assert_not_done(attempt(), SAVE_CHANGED);
        plan(SAVE_CONTENT, "b"); /* nothing is known of what is there */
        assert_not_done(attempt(), SAVE_CHANGED);
        save.anyway = true;
        assert_done(attempt());
        shell("cmp mirror/b disk/b && rm disk/a disk/b");
        assert_int_equal(save.disk.type, ENTRY_FILE);
        plan(SAVE_CONTENT, "b"); /* its first name is not on disk at all */
        assert_done(attempt());
        shell("cmp mirror/b disk/b");
        plan(SAVE_CONTENT, "b");
        save.first = first;
        save.first_in_doubt = true;
        assert_not_done(attempt(), SAVE_CHANGED);
}

/* In place, with its time put back: only its ctime tells. */
static void a_name_is_not_tied_to_its_file_with_other_bytes(void **state) {
        DiskObject first;
        Digest digest;

        (void) state;
        free(put_pattern("mirror/a", MIB, 1));
        assert_int_equal(link("mirror/a", "mirror/b"), 0);
        assert_int_equal(link("mirror/a", "mirror/c"), 0);
        assert_done(save_now(SAVE_CONTENT, "a"));
        first = as_known(&save.disk);
        digest = save.entry.digest;
        (void) usleep(20000); /* the kernel's clock for files ticks in milliseconds */
        assert_int_equal(chmod("disk/a", 0640), 0); /* which is no reason to copy it */
        plan(SAVE_CONTENT, "b");
        save.first = first;
        save.first_digest = digest;
        save.first_has_digest = true;
        assert_done(attempt());
        assert_int_equal(stat_at("disk/a").st_ino, stat_at("disk/b").st_ino);
        shell("cp disk/a old && touch -r disk/a time && printf x | dd of=disk/a conv=notrunc status=none && touch -r time disk/a");
        plan(SAVE_CONTENT, "c");
        save.first = first;
        save.first_digest = digest;
        save.first_has_digest = true;
        assert_done(attempt());
        shell("cmp disk/c mirror/c && cmp disk/c old");
        assert_int_equal(save.disk.type, ENTRY_FILE);
}

static void what_was_moved_is_linked_not_copied(void **state) {
        Entry from;

        (void) state;
        free(put_pattern("mirror/a", MIB, 1));
        assert_done(save_now(SAVE_CONTENT, "a"));
        assert_int_equal(rename("mirror/a", "mirror/b"), 0);
        plan(SAVE_LINKED, "b");
        from = *manifest_find(seen_disk, "a");
        from.digest = digest_of("disk", "a");
        from.flags = ENTRY_HAS_DIGEST; /* without what the scan says of its age */
        save.from = "a";
        save.from_expected = &from;
        assert_int_equal(attempt(), SAVE_DONE);
        assert_int_equal(save.bytes, 0);
        assert_int_equal(stat_at("disk/a").st_ino, stat_at("disk/b").st_ino);
        assert_int_equal(save.disk.ino, stat_at("disk/b").st_ino);
        assert_memory_equal(&save.entry.digest, &from.digest, sizeof(Digest));
        assert_int_equal(unlink("disk/b"), 0);
        put_text("disk/a", "another version");
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_int_equal(unlink("disk/a"), 0);
        assert_not_done(attempt(), SAVE_CHANGED);
        assert_false(is_there("disk/b"));
}

/* A renamed file whose bytes are in doubt is linked if they are what they were, and else it is one more file. */
static void what_was_moved_and_is_in_doubt_is_read_before(void **state) {
        static const uint16_t doubts[] = { 0, ENTRY_UNPROVEN, ENTRY_RACY, ENTRY_UNPROVEN | ENTRY_RACY };
        static const char *const altered[] = { NULL, "mirror/b", "disk/a" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(doubts); i++)
                for (size_t k = 0; k < ELEMENTSOF(altered); k++) {
                        bool other = (k == 1 && doubts[i] & ENTRY_UNPROVEN) || (k == 2 && doubts[i] & ENTRY_RACY);
                        Digest digest;
                        Entry from;

                        free(put_pattern("mirror/a", MIB, 1));
                        assert_done(save_now(SAVE_CONTENT, "a"));
                        assert_int_equal(rename("mirror/a", "mirror/b"), 0);
                        digest = digest_of("disk", "a");
                        if (altered[k])
                                free(put_pattern(altered[k], MIB, 2));
                        plan(SAVE_LINKED, "b");
                        from = *manifest_find(seen_disk, "a");
                        from.digest = digest;
                        from.flags = (uint16_t) (ENTRY_HAS_DIGEST | doubts[i]);
                        save.from = "a";
                        save.from_expected = &from;
                        assert_int_equal(attempt(), SAVE_DONE);
                        assert_int_equal(save.kind, other ? SAVE_CONTENT : SAVE_LINKED);
                        assert_int_equal(save.bytes, other ? MIB : 0);
                        assert_true(other == (stat_at("disk/a").st_ino != stat_at("disk/b").st_ino));
                        if (other)
                                shell("cmp mirror/b disk/b");
                        shell("rm disk/a disk/b mirror/b");
                }
}

static void links_stay_links(void **state) {
        char text[128] = "";

        (void) state;
        make_directory("mirror/sub");
        make_directory("disk/sub");
        assert_int_equal(symlink("../file", "mirror/sub/link"), 0);
        assert_int_equal(lchown("mirror/sub/link", 12, 13), 0);
        set_mtime("mirror/sub/link", 1700000000, 0);
        assert_done(save_now(SAVE_CONTENT, "sub/link"));
        assert_int_equal(readlink("disk/sub/link", text, sizeof(text)), 7);
        assert_string_equal(text, "../file");
        assert_int_equal(stat_at("disk/sub/link").st_uid, 12);
        assert_int_equal(stat_at("disk/sub/link").st_mtim.tv_sec, 1700000000);
        (void) snprintf(text, sizeof(text), "%s/models/x", mirror_path);
        assert_int_equal(unlink("mirror/sub/link"), 0);
        assert_int_equal(symlink(text, "mirror/sub/link"), 0); /* into the mirror: on disk it must lead to the disk */
        assert_done(save_now(SAVE_CONTENT, "sub/link"));
        assert_string_equal(save.disk.target, "../models/x");
        plan(SAVE_CONTENT, "sub/link");
        assert_int_equal(unlink("mirror/sub/link"), 0);
        assert_not_done(attempt(), SAVE_GONE);
        assert_int_equal(symlink("x", "mirror/sub/link"), 0);
        assert_not_done(attempt(), SAVE_CHANGED);
}

static void links_that_lead_out_are_not_saved(void **state) {
        static const char *const targets[] = { "/etc/shadow", "../outside", "a/../../outside", "out/file" };

        (void) state;
        make_directory("outside");
        assert_int_equal(symlink("../outside", "disk/out"), 0);
        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                assert_int_equal(symlink(targets[i], "mirror/link"), 0);
                assert_not_done(save_now(SAVE_CONTENT, "link"), SAVE_LEADS_OUT);
                assert_false(is_there("disk/link"));
                assert_int_equal(unlink("mirror/link"), 0);
        }
}

/* What did not fit into the mirror is a link to the disk there. */
static void a_link_to_what_is_only_on_disk_is_saved(void **state) {
        char text[128];

        (void) state;
        put_text("disk/large", "x");
        (void) snprintf(text, sizeof(text), "%s/disk/large", ground_base);
        assert_int_equal(symlink(text, "mirror/large"), 0);
        assert_int_equal(symlink("large", "mirror/link"), 0);
        assert_done(save_now(SAVE_CONTENT, "link"));
}

static void directories_are_saved(void **state) {
        (void) state;
        make_directory("mirror/a");
        assert_int_equal(chmod("mirror/a", 02750), 0);
        assert_int_equal(chown("mirror/a", 12, 13), 0);
        make_directory("mirror/a/b");
        assert_not_done(save_now(SAVE_CONTENT, "a/b"), SAVE_CHANGED); /* what it is in comes first */
        assert_done(save_now(SAVE_CONTENT, "a"));
        assert_int_equal(stat_at("disk/a").st_mode & 07777, 02750);
        assert_int_equal(stat_at("disk/a").st_gid, 13);
        assert_done(save_now(SAVE_CONTENT, "a/b"));
        assert_done(save_now(SAVE_CONTENT, "a/b")); /* there already */
        plan(SAVE_CONTENT, "a/b");
        assert_int_equal(rmdir("mirror/a/b"), 0);
        assert_not_done(attempt(), SAVE_GONE);
}

static void removals_are_of_what_was_seen_only(void **state) {
        (void) state;
        put_text("disk/a", "x");
        put_text("disk/b", "x");
        put_text("disk/c", "x");
        plan(SAVE_REMOVAL, "a");
        save.trash = true;
        assert_int_equal(attempt(), SAVE_DONE);
        assert_int_equal(count_in("trash"), 1);
        assert_int_equal(save_now(SAVE_REMOVAL, "b"), SAVE_DONE);
        assert_int_equal(count_in("trash"), 1);
        plan(SAVE_REMOVAL, "c");
        put_text("disk/c", "changed");
        assert_not_done(attempt(), SAVE_OCCUPIED);
        assert_false(is_there("disk/a") || is_there("disk/b"));
        assert_text("disk/c", "changed");
}

/* --- a disk that folds case, and knows no links, owners, modes and xattrs --- */

static void a_name_that_differs_in_case_only_is_taken(void **state) {
        (void) state;
        put_text("disk/Model", "somebody's");
        put_text("mirror/model", "a client's");
        assert_not_done(save_now(SAVE_CONTENT, "model"), SAVE_FOLDED);
        assert_string_equal(save.text, "Model");
        assert_text("disk/Model", "somebody's");
        make_directory("mirror/mODEL");
        assert_not_done(save_now(SAVE_CONTENT, "mODEL"), SAVE_FOLDED);
}

static void a_plain_disk_gets_what_it_can_keep(void **state) {
        _cleanup_(freep) uint8_t *data = NULL;
        DiskObject first;
        Entry from;

        (void) state;
        data = put_pattern("mirror/a", 3 * MIB + 1, 1);
        assert_int_equal(chown("mirror/a", 12, 13), 0);
        assert_int_equal(chmod("mirror/a", 0640), 0);
        assert_int_equal(setxattr("mirror/a", "user.origin", "here", 4, 0), 0);
        set_mtime("mirror/a", 1700000000, 5);
        assert_done(save_now(SAVE_CONTENT, "a"));
        assert_content("disk/a", data, 3 * MIB + 1);
        assert_int_equal(save.disk.mtime_nsec, 1700000000 * NSEC_PER_SEC); /* it counts seconds */
        assert_int_equal(save.entry.mtime_nsec, 1700000000 * NSEC_PER_SEC + 5);
        put_text("mirror/a", "newer");
        plan(SAVE_CONTENT, "a");
        save.keep = true;
        assert_done(attempt());
        assert_text("disk/a", "newer");
        assert_int_equal(count_in("conflicts"), 1);
        assert_int_equal(link("mirror/a", "mirror/b"), 0);
        assert_done(save_now(SAVE_CONTENT, "a"));
        first = as_known(&save.disk);
        plan(SAVE_CONTENT, "b");
        save.first = first;
        assert_done(attempt());
        assert_text("disk/b", "newer");
        assert_int_equal(save.disk.type, ENTRY_FILE);
        put_text("mirror/c", "newer");
        plan(SAVE_LINKED, "c");
        from = *manifest_find(seen_disk, "a");
        save.from = "a";
        save.from_expected = &from;
        assert_done(attempt());
        assert_text("disk/c", "newer");
        plan(SAVE_REMOVAL, "a");
        save.trash = true;
        assert_int_equal(attempt(), SAVE_DONE);
        assert_int_equal(count_in("trash"), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TINY(name) cmocka_unit_test_setup_teardown(name, setup_tiny, teardown)
#define COARSE(name) cmocka_unit_test_setup_teardown(name, setup_coarse, teardown)
#define EXFAT(name) cmocka_unit_test_setup_teardown(name, setup_exfat, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(a_file_is_saved_with_all_that_belongs_to_it),
                CASE(under_its_name_on_the_disk_no_writer_closes_it),
                CASE(files_of_every_length_arrive),
                CASE(holes_stay_holes_on_both_sides),
                CASE(nothing_stays_in_the_page_cache_nor_in_memory),
                CASE(a_new_version_replaces_the_old_one_whole),
                CASE(what_a_process_has_open_for_writing_is_busy),
                CASE(who_opens_it_just_then_does_not_end_us),
                CASE(what_is_not_what_was_seen_is_not_saved),
                CASE(what_changes_while_it_is_copied_is_not_put_in_place),
                CASE(what_is_stored_into_without_a_trace_while_it_is_copied_is_not_put_in_place),
                CASE(what_is_altered_on_disk_meanwhile_and_keeps_its_time_is_not_overwritten),
                CASE(what_is_only_linked_on_disk_meanwhile_is_overwritten),
                CASE(nor_is_it_removed_or_said_to_be_agreed),
                CASE(of_what_changes_it_is_not_said_that_it_is_bad),
                CASE(what_is_deleted_while_it_is_copied_is_saved_all_the_same),
                CASE(a_save_can_be_called_off),
                CASE(what_its_name_says_of_the_content_must_be_true),
                CASE(a_digest_is_that_of_the_holes_too),
                CASE(a_model_that_is_shorter_than_its_header_says_is_bad),
                CASE(what_is_read_back_must_be_what_was_written),
                CASE(it_is_read_back_from_the_disk_itself),
                CASE(several_are_saved_at_once),
                CASE(what_was_only_touched_is_not_written_again),
                CASE(owner_and_mode_are_carried_alone),
                CASE(attributes_are_not_given_to_something_else),
                CASE(those_of_directories_are_carried_too),
                CASE(owners_are_left_alone_by_who_may_not_set_them),
                CASE(equal_bytes_are_no_conflict),
                CASE(a_conflict_with_what_was_agreed_is_a_plain_save),
                CASE(a_conflict_with_something_else_keeps_it),
                CASE(a_copy_of_a_clients_own_is_not_written_and_its_attributes_are_not_carried),
                CASE(what_a_link_led_to_is_not_written_again),
                CASE(what_is_not_known_on_the_disk_is_not_taken_for_what_was_agreed),
                CASE(what_has_changed_on_the_disk_since_is_not_agreed),
                CASE(what_is_on_the_disk_already_is_synced_before_it_counts),
                CASE(what_may_not_be_read_on_the_disk_is_not_saved),
                COARSE(where_times_are_whole_seconds_another_change_may_hide),
                CASE(where_they_are_finer_it_shows),
                EXFAT(where_inode_numbers_are_not_stable_none_is_recorded),
                CASE(both_versions_of_a_conflict_are_kept),
                CASE(what_the_plan_did_not_see_is_not_overwritten),
                CASE(nor_what_came_there_while_it_was_copied),
                CASE(nothing_is_written_outside_the_tree),
                TINY(a_full_disk_is_left_as_it_was),
                TINY(without_inodes_there_is_no_room_either),
                CASE(kinds_may_change),
                CASE(names_of_one_file_stay_names_of_one_file),
                CASE(a_name_is_not_tied_to_what_only_looks_like_its_file),
                CASE(a_name_is_not_tied_to_its_file_with_other_bytes),
                CASE(what_was_moved_is_linked_not_copied),
                CASE(what_was_moved_and_is_in_doubt_is_read_before),
                CASE(links_stay_links),
                CASE(links_that_lead_out_are_not_saved),
                CASE(a_link_to_what_is_only_on_disk_is_saved),
                CASE(directories_are_saved),
                CASE(removals_are_of_what_was_seen_only),
                EXFAT(a_name_that_differs_in_case_only_is_taken),
                EXFAT(a_plain_disk_gets_what_it_can_keep),
        };

        ground_enter();
        assert_int_equal(claim_init(), 0);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
