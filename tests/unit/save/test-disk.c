/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The disk side of a mirror: what gets in place, what is taken away, and that nothing of all this is lost,
 * crashes included. Most of it is shown twice: where names can be exchanged (ext4), and where they cannot
 * (FUSE). */

#include "ground.h"
#include "os/fs.h"
#include "save/disk.h"
#include "tree/scan.h"

#include <pthread.h>
#include <signal.h>

static Disk disk;

static int setup(void **state) {
        (void) ground_setup(state);
        make_ext4("ext4", 128);
        make_directory("disk");
        assert_int_equal(mount("ext4", "disk", NULL, MS_BIND, NULL), 0);
        disk_init(&disk, open_directory("disk"), "models");
        return 0;
}

static int setup_fuse(void **state) {
        (void) ground_setup(state);
        make_ext4("ext4", 128);
        make_directory("disk");
        shell("bindfs ext4 disk");
        disk_init(&disk, open_directory("disk"), "models");
        return 0;
}

static int teardown(void **state) {
        disk.rootfd = close_fd(disk.rootfd);
        (void) umount2("disk", MNT_DETACH);
        return ground_teardown(state);
}

/* What the scan would say of a path now. */
static Entry entry_of(const char *path) {
        static char full[256], target[256];
        struct stat st;

        (void) snprintf(full, sizeof(full), "disk/%s", path);
        st = stat_at(full);
        if (S_ISLNK(st.st_mode))
                target[readlink(full, target, sizeof(target) - 1)] = '\0';
        return (Entry){ .path = full + 5, .size = S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0, .ino = st.st_ino,
                        .mtime_nsec = fs_nsec(&st.st_mtim), .target = S_ISLNK(st.st_mode) ? target : NULL,
                        .type = S_ISDIR(st.st_mode) ? ENTRY_DIRECTORY : S_ISLNK(st.st_mode) ? ENTRY_SYMLINK : ENTRY_FILE };
}

static const char *prepare(const char *text) {
        static char name[DISK_NAME_MAX];
        int fd = disk_new_file(&disk, name);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
        return name;
}

static const char *in_corner(const char *directory, const char *name) {
        static char path[512];

        (void) snprintf(path, sizeof(path), "disk/" SCAN_PRIVATE_DIR "/%s/%s", directory, name);
        return path;
}

/* Files below a directory of the private directory; the path of the last goes to @found. */
static size_t count_below(const char *path, char found[static 1024]) {
        _cleanup_(closedirp) DIR *dir = opendir(path);
        struct dirent *d;
        size_t n = 0;

        while (dir && (d = readdir(dir))) {
                char below[1024], inner[1024];

                if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
                        continue;
                (void) snprintf(below, sizeof(below), "%s/%s", path, d->d_name);
                if (!S_ISDIR(stat_at(below).st_mode))
                        strcpy(found, below);
                else if (count_below(below, inner) > 0)
                        strcpy(found, inner);
                n += S_ISDIR(stat_at(below).st_mode) ? count_below(below, inner) : 1;
        }
        return n;
}

static size_t count_in(const char *directory, char found[static 1024]) {
        char path[64];

        (void) snprintf(path, sizeof(path), "disk/" SCAN_PRIVATE_DIR "/%s", directory);
        return count_below(path, found);
}

static void assert_nothing_in(const char *directory) {
        char found[1024];

        if (count_in(directory, found) != 0)
                fail_msg("left behind: %s", found);
}

static void assert_text(const char *path, const char *text) {
        assert_content(path, text, strlen(text));
}

/* --- the private directory --- */

static void the_private_directory_is_made_when_it_is_needed(void **state) {
        (void) state;
        assert_int_equal(disk_clean(&disk), 0);
        assert_int_equal(disk_empty_trash(&disk, 0), 0);
        assert_false(is_there("disk/" SCAN_PRIVATE_DIR));
        disk_drop(&disk, prepare("x"));
        assert_int_equal(stat_at("disk/" SCAN_PRIVATE_DIR).st_mode & 07777, 0700);
        assert_nothing_in("tmp");
        shell("rm -r disk/" SCAN_PRIVATE_DIR); /* and again when it was removed */
        disk_drop(&disk, prepare("x"));
        assert_true(is_there("disk/" SCAN_PRIVATE_DIR "/tmp"));
}

static void a_private_directory_that_is_no_directory_is_refused(void **state) {
        char name[DISK_NAME_MAX];
        Entry expected;

        (void) state;
        make_directory("disk/elsewhere");
        put_text("disk/file", "x");
        expected = entry_of("file");
        assert_int_equal(symlink("elsewhere", "disk/" SCAN_PRIVATE_DIR), 0);
        assert_int_equal(disk_new_file(&disk, name), -ENOTDIR);
        assert_int_equal(disk_remove(&disk, "file", &expected, true), -ENOTDIR);
        assert_int_equal(disk_clean(&disk), -ENOTDIR);
        assert_int_equal(disk_make_room(&disk, 1), -ENOTDIR);
        assert_int_equal(unlink("disk/" SCAN_PRIVATE_DIR), 0);
        put_text("disk/" SCAN_PRIVATE_DIR, "a file");
        assert_int_equal(disk_new_file(&disk, name), -ENOTDIR);
        assert_int_equal(unlink("disk/" SCAN_PRIVATE_DIR), 0);
        make_directory("disk/" SCAN_PRIVATE_DIR);
        assert_int_equal(symlink("../elsewhere", "disk/" SCAN_PRIVATE_DIR "/tmp"), 0);
        assert_int_equal(symlink("../elsewhere", "disk/" SCAN_PRIVATE_DIR "/trash"), 0);
        assert_int_equal(disk_new_file(&disk, name), -ENOTDIR);
        assert_int_equal(disk_remove(&disk, "file", &expected, true), -ENOTDIR);
        assert_text("disk/file", "x");
        assert_int_equal(rmdir("disk/elsewhere"), 0); /* nothing is in it */
}

static void mirrors_do_not_clean_each_others_temporaries(void **state) {
        Disk other;
        const char *name;

        (void) state;
        disk_init(&other, disk.rootfd, "other");
        assert_string_not_equal(disk.prefix, other.prefix);
        disk_init(&other, disk.rootfd, "models");
        assert_string_equal(disk.prefix, other.prefix);
        name = prepare("x");
        disk_init(&other, disk.rootfd, "other");
        assert_int_equal(disk_clean(&other), 0);
        assert_true(is_there(in_corner("tmp", name)));
        assert_int_equal(disk_clean(&disk), 0);
        assert_nothing_in("tmp");
}

/* --- into place --- */

static void what_is_new_is_placed(void **state) {
        (void) state;
        make_directory("disk/sub");
        assert_int_equal(disk_place(&disk, prepare("new"), "sub/file", NULL, false, NULL), 0);
        assert_text("disk/sub/file", "new");
        assert_int_equal(stat_at("disk/sub/file").st_nlink, 1);
        assert_nothing_in("tmp");
}

static void what_was_not_seen_is_left_alone(void **state) {
        const char *name;

        (void) state;
        put_text("disk/file", "somebody's");
        name = prepare("new");
        assert_int_equal(disk_place(&disk, name, "file", NULL, false, NULL), DISK_OCCUPIED);
        assert_text("disk/file", "somebody's");
        assert_text(in_corner("tmp", name), "new");
        disk_drop(&disk, name);
        assert_nothing_in("tmp");
}

static void what_is_expected_is_replaced(void **state) {
        Entry expected;

        (void) state;
        put_text("disk/file", "old");
        expected = entry_of("file");
        assert_int_equal(disk_place(&disk, prepare("new"), "file", &expected, false, NULL), 0);
        assert_text("disk/file", "new");
        assert_nothing_in("tmp");
        assert_false(is_there("disk/" SCAN_PRIVATE_DIR "/conflicts"));
        expected = entry_of("file");
        expected.ino = 0; /* not known */
        assert_int_equal(disk_place(&disk, prepare("newer"), "file", &expected, false, NULL), 0);
        assert_text("disk/file", "newer");
}

static void what_was_replaced_can_be_kept(void **state) {
        _cleanup_(freep) char *kept = NULL;
        char found[1024], full[1024];
        Entry expected;

        (void) state;
        make_directory("disk/a");
        make_directory("disk/a/b");
        put_text("disk/a/b/file", "old");
        expected = entry_of("a/b/file");
        assert_int_equal(disk_place(&disk, prepare("new"), "a/b/file", &expected, true, &kept), 0);
        assert_text("disk/a/b/file", "new");
        assert_int_equal(count_in("conflicts", found), 1);
        (void) snprintf(full, sizeof(full), "disk/%s", kept);
        assert_string_equal(full, found);
        assert_text(found, "old");
        assert_string_equal(found + strlen(found) - strlen("/a/b/file"), "/a/b/file");
        assert_nothing_in("tmp");
}

static void assert_occupied(const Entry *expected, bool keep) {
        const char *name = prepare("new");

        assert_int_equal(disk_place(&disk, name, expected->path, expected, keep, NULL), DISK_OCCUPIED);
        assert_text(in_corner("tmp", name), "new");
        disk_drop(&disk, name);
        assert_nothing_in("tmp");
        assert_nothing_in("conflicts");
}

static void what_has_changed_since_is_left_as_it_is(void **state) {
        Entry expected;
        ino_t ino;

        (void) state;
        put_text("disk/file", "old");
        expected = entry_of("file");
        put_text("disk/file", "written to");
        set_mtime("disk/file", expected.mtime_nsec / NSEC_PER_SEC, expected.mtime_nsec % NSEC_PER_SEC);
        assert_occupied(&expected, false); /* another size */
        put_text("disk/file", "OLD");
        set_mtime("disk/file", 1000, 0);
        assert_occupied(&expected, true); /* another time */
        assert_int_equal(unlink("disk/file"), 0);
        put_text("disk/elsewhere", "x"); /* takes the number of the inode */
        put_text("disk/file", "OLD");
        set_mtime("disk/file", expected.mtime_nsec / NSEC_PER_SEC, expected.mtime_nsec % NSEC_PER_SEC);
        ino = stat_at("disk/file").st_ino;
        assert_occupied(&expected, false); /* another file */
        assert_text("disk/file", "OLD");
        assert_int_equal(stat_at("disk/file").st_ino, ino);
        assert_int_equal(unlink("disk/file"), 0);
        make_directory("disk/file");
        assert_occupied(&expected, false);
        expected = entry_of("file");
        assert_occupied(&expected, false); /* a directory never is replaced */
        assert_true(is_there("disk/file"));
}

static void what_was_expected_may_be_gone(void **state) {
        _cleanup_(freep) char *kept = NULL;
        Entry expected;

        (void) state;
        put_text("disk/file", "old");
        expected = entry_of("file");
        assert_int_equal(unlink("disk/file"), 0);
        assert_int_equal(disk_place(&disk, prepare("new"), "file", &expected, true, &kept), 0);
        assert_text("disk/file", "new");
        assert_null(kept);
}

static void links_are_known_by_what_they_say(void **state) {
        Entry expected, entry = { .uid = 12, .gid = 13, .mtime_nsec = 1500 * NSEC_PER_SEC };
        char name[DISK_NAME_MAX];

        (void) state;
        assert_int_equal(symlink("one", "disk/link"), 0);
        expected = entry_of("link");
        assert_int_equal(disk_new_symlink(&disk, &entry, "two", name), 0);
        assert_int_equal(disk_place(&disk, name, "link", &expected, false, NULL), 0);
        assert_string_equal(entry_of("link").target, "two");
        assert_int_equal(stat_at("disk/link").st_uid, 12);
        assert_int_equal(entry_of("link").mtime_nsec, entry.mtime_nsec);
        expected = entry_of("link");
        assert_int_equal(unlink("disk/link"), 0);
        assert_int_equal(symlink("three", "disk/link"), 0);
        expected.target = (char *) "two";
        assert_occupied(&expected, false);
        expected = entry_of("link");
        expected.target = (char *) "as/a/scan/made/it/relative"; /* then the inode tells */
        assert_int_equal(disk_place(&disk, prepare("a file"), "link", &expected, false, NULL), 0);
        assert_text("disk/link", "a file");
}

static void no_way_leads_out_of_the_tree(void **state) {
        const char *name;
        struct stat st;
        Entry expected;

        (void) state;
        make_directory("disk/sub");
        make_directory("outside");
        put_text("outside/file", "x");
        put_text("disk/sub/file", "x");
        expected = entry_of("sub/file");
        shell("rm -r disk/sub");
        assert_int_equal(symlink("../outside", "disk/sub"), 0); /* between the plan and now */
        name = prepare("new");
        assert_int_equal(disk_place(&disk, name, "sub/file", &expected, false, NULL), -ELOOP);
        assert_int_equal(disk_place(&disk, name, "sub/new", NULL, false, NULL), -ELOOP);
        assert_int_equal(disk_place(&disk, name, "../outside/new", NULL, false, NULL), -EXDEV);
        assert_int_equal(disk_make_directory(&disk, &(Entry){ .path = (char *) "sub/dir", .mode = 0755 }), -ELOOP);
        st = stat_at("outside/file");
        expected = (Entry){ .path = (char *) "sub/file", .size = 1, .mtime_nsec = fs_nsec(&st.st_mtim) };
        assert_int_equal(disk_remove(&disk, "sub/file", &expected, false), DISK_OCCUPIED);
        assert_text("outside/file", "x");
        assert_false(is_there("outside/new") || is_there("outside/dir"));
}

static void another_name_of_the_file_itself_may_be_placed(void **state) {
        Entry expected;
        char name[DISK_NAME_MAX];

        (void) state;
        put_text("disk/file", "x");
        assert_int_equal(link("disk/file", "disk/name"), 0);
        expected = entry_of("name");
        assert_int_equal(disk_new_link(&disk, "file", &expected, name), 0);
        assert_int_equal(disk_place(&disk, name, "name", &expected, false, NULL), 0); /* to rename(2) both are one */
        assert_int_equal(stat_at("disk/file").st_nlink, 2);
        assert_int_equal(stat_at("disk/file").st_ino, stat_at("disk/name").st_ino);
        assert_nothing_in("tmp");
        expected.size++;
        assert_int_equal(disk_new_link(&disk, "file", &expected, name), DISK_OCCUPIED);
        assert_nothing_in("tmp");
        assert_int_equal(stat_at("disk/file").st_nlink, 2);
}

static void a_version_can_be_put_among_the_conflicts(void **state) {
        _cleanup_(freep) char *kept = NULL;
        char found[1024];

        (void) state;
        assert_int_equal(disk_place_conflict(&disk, prepare("one"), "a/file", NULL), 0);
        assert_int_equal(disk_place_conflict(&disk, prepare("two"), "a/file", &kept), 0); /* has a place of its own */
        assert_int_equal(count_in("conflicts", found), 2);
        assert_non_null(strstr(kept, SCAN_PRIVATE_DIR "/conflicts/2"));
        assert_nothing_in("tmp");
        assert_int_equal(stat_at("disk/" SCAN_PRIVATE_DIR "/conflicts").st_mode & 0777, 0700);
}

static void a_check_says_whether_the_place_is_as_expected(void **state) {
        Entry expected;

        (void) state;
        assert_int_equal(disk_check_expected(&disk, "file", NULL), 0);
        assert_int_equal(disk_check_expected(&disk, "absent/file", NULL), 0);
        put_text("disk/file", "x");
        assert_int_equal(disk_check_expected(&disk, "file", NULL), DISK_OCCUPIED);
        expected = entry_of("file");
        assert_int_equal(disk_check_expected(&disk, "file", &expected), 0);
        expected.mtime_nsec++;
        assert_int_equal(disk_check_expected(&disk, "file", &expected), DISK_OCCUPIED);
}

/* --- directories and attributes --- */

static void a_directory_is_made_with_owner_and_mode(void **state) {
        Entry entry = { .path = (char *) "dir", .type = ENTRY_DIRECTORY, .uid = 12, .gid = 13, .mode = 0751 };
        struct stat st;

        (void) state;
        (void) umask(077);
        assert_int_equal(disk_make_directory(&disk, &entry), 0);
        (void) umask(022);
        st = stat_at("disk/dir");
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0751);
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_gid, 13);
        entry.uid = 99;
        assert_int_equal(disk_make_directory(&disk, &entry), 0); /* there already */
        assert_int_equal(stat_at("disk/dir").st_uid, 12);
        put_text("disk/file", "x");
        entry.path = (char *) "file";
        assert_int_equal(disk_make_directory(&disk, &entry), DISK_OCCUPIED);
        assert_nothing_in("tmp");
}

static void attributes_are_given_to_what_is_expected_only(void **state) {
        Entry expected, entry = { .path = (char *) "file", .uid = 12, .gid = 13, .mode = 0640, .mtime_nsec = 1234567890123456789 };
        struct stat st;

        (void) state;
        put_text("disk/file", "x");
        expected = entry_of("file");
        assert_int_equal(disk_set_attributes(&disk, &entry, &expected, false, &st), 0);
        assert_int_equal(st.st_uid, 12);
        assert_int_equal(st.st_mode & 07777, 0640);
        assert_int_equal(fs_nsec(&st.st_mtim), entry.mtime_nsec);
        entry.mode = 0600;
        assert_int_equal(disk_set_attributes(&disk, &entry, &expected, false, &st), DISK_OCCUPIED); /* another time by now */
        assert_int_equal(stat_at("disk/file").st_mode & 07777, 0640);
        expected = entry_of("file");
        assert_int_equal(unlink("disk/file"), 0);
        assert_int_equal(disk_set_attributes(&disk, &entry, &expected, false, &st), -ENOENT);
        assert_int_equal(symlink("elsewhere", "disk/file"), 0);
        expected = entry_of("file");
        assert_int_equal(disk_set_attributes(&disk, &entry, &expected, false, &st), DISK_OCCUPIED);
}

/* --- taken away --- */

static void what_is_expected_is_removed(void **state) {
        Entry expected;

        (void) state;
        put_text("disk/file", "x");
        expected = entry_of("file");
        assert_int_equal(disk_remove(&disk, "file", &expected, false), 0);
        assert_false(is_there("disk/file"));
        assert_int_equal(disk_remove(&disk, "file", &expected, false), 0); /* nothing is there */
        assert_int_equal(disk_remove(&disk, "absent/file", &expected, true), 0);
        assert_nothing_in("tmp");
        assert_false(is_there("disk/" SCAN_PRIVATE_DIR "/trash"));
}

static void what_goes_to_the_trash_keeps_its_path(void **state) {
        Entry expected;
        char found[1024];
        uint64_t bytes, files;
        ino_t ino;

        (void) state;
        make_directory("disk/a");
        free(put_pattern("disk/a/file", 100000, 1));
        expected = entry_of("a/file");
        ino = stat_at("disk/a/file").st_ino;
        assert_int_equal(disk_remove(&disk, "a/file", &expected, true), 0);
        assert_false(is_there("disk/a/file"));
        assert_int_equal(count_in("trash", found), 1);
        assert_int_equal(stat_at(found).st_ino, ino);
        assert_string_equal(found + strlen(found) - strlen("/a/file"), "/a/file");
        assert_int_equal(disk_count_trash(&disk, &bytes, &files), 0);
        assert_in_range(bytes, 100000, 120000);
        assert_int_equal(files, 1);
        assert_int_equal(link(found, "disk/other"), 0);
        assert_int_equal(disk_count_trash(&disk, &bytes, &files), 0);
        assert_int_equal(bytes, 0); /* nothing would come free */
        assert_int_equal(files, 1);
}

static void what_was_changed_is_not_removed(void **state) {
        Entry expected;

        (void) state;
        put_text("disk/file", "x");
        expected = entry_of("file");
        put_text("disk/file", "written to");
        assert_int_equal(disk_remove(&disk, "file", &expected, false), DISK_OCCUPIED);
        assert_int_equal(disk_remove(&disk, "file", &expected, true), DISK_OCCUPIED);
        assert_text("disk/file", "written to");
        assert_nothing_in("trash");
        assert_nothing_in("tmp");
}

static void a_directory_goes_if_it_is_empty(void **state) {
        Entry expected;

        (void) state;
        make_directory("disk/dir");
        expected = entry_of("dir");
        put_text("disk/dir/file", "x");
        assert_int_equal(disk_remove(&disk, "dir", &expected, true), DISK_OCCUPIED);
        assert_int_equal(unlink("disk/dir/file"), 0);
        assert_int_equal(disk_remove(&disk, "dir", &expected, true), 0);
        assert_false(is_there("disk/dir"));
        assert_false(is_there("disk/" SCAN_PRIVATE_DIR "/trash"));
        put_text("disk/dir", "x");
        assert_int_equal(disk_remove(&disk, "dir", &expected, true), DISK_OCCUPIED);
        assert_true(is_there("disk/dir"));
}

static void throw_away_bytes(const char *name, size_t length) {
        char full[64];
        Entry expected;

        (void) snprintf(full, sizeof(full), "disk/%s", name);
        free(put_pattern(full, length, 1));
        expected = entry_of(name);
        assert_int_equal(disk_remove(&disk, name, &expected, true), 0);
}

static void throw_away(const char *name) {
        throw_away_bytes(name, 1);
}

static void the_trash_is_emptied_after_its_time(void **state) {
        char found[1024];

        (void) state;
        throw_away("one");
        assert_int_equal(disk_empty_trash(&disk, 2 * USEC_PER_SEC), 0);
        assert_int_equal(count_in("trash", found), 1);
        (void) usleep(2200000);
        throw_away("two");
        assert_int_equal(disk_empty_trash(&disk, 2 * USEC_PER_SEC), 0);
        assert_int_equal(count_in("trash", found), 1);
        assert_string_equal(strrchr(found, '/'), "/two");
}

/* The directory of the only thing in the trash. */
static void rename_time(const char *name) {
        char found[1024], to[1024];

        assert_int_equal(count_in("trash", found), 1);
        *strrchr(found, '/') = '\0';
        (void) snprintf(to, sizeof(to), "disk/" SCAN_PRIVATE_DIR "/trash/%s", name);
        assert_int_equal(rename(found, to), 0);
}

static void a_clock_that_was_set_does_not_empty_the_trash(void **state) {
        char found[1024];

        (void) state;
        throw_away("one");
        rename_time("20990101T000000.000000000Z-1"); /* thrown away when the clock was ahead */
        (void) usleep(20000);
        assert_int_equal(disk_empty_trash(&disk, 0), 0);
        assert_int_equal(count_in("trash", found), 1);
        rename_time("19700101T000000.000000000Z-1"); /* the clock was behind; but the file's own time says otherwise */
        assert_int_equal(disk_empty_trash(&disk, 60 * USEC_PER_SEC), 0);
        assert_int_equal(count_in("trash", found), 1);
        rename_time("somebody's");
        assert_int_equal(disk_empty_trash(&disk, 0), 0);
        assert_int_equal(disk_make_room(&disk, 1), 0);
        assert_int_equal(count_in("trash", found), 1);
}

static void how_long_ago_is_what_can_be_sure_of_it(void **state) {
        struct timespec up;
        struct stat st = {};
        char name[64];
        uint64_t age;

        (void) state;
        assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &up), 0);
        (void) snprintf(name, sizeof(name), "19700101T000100.000000000Z-%llu", (unsigned long long) fs_nsec(&up) / 1000);
        assert_int_equal(disk_private_dir_slot_age(name, &st, &age), 0);
        assert_in_range(age, 0, 10 * USEC_PER_SEC); /* the machine has not been up for longer since */
        (void) snprintf(name, sizeof(name), "19700101T000100.000000000Z-%llu", (unsigned long long) fs_nsec(&up)); /* an earlier boot */
        assert_int_equal(disk_private_dir_slot_age(name, &st, &age), 0);
        assert_in_range(age, 1000000000 * USEC_PER_SEC, UINT64_MAX);
        assert_int_equal(disk_private_dir_slot_age("19700101T000100.000000000Z", &st, &age), -EINVAL);
        assert_int_equal(disk_private_dir_slot_age("19700101T000100.000000000Z-1x", &st, &age), -EINVAL);
}

static void the_oldest_of_the_trash_makes_room_first(void **state) {
        char found[1024];

        (void) state;
        assert_int_equal(disk_make_room(&disk, 1), 0);
        throw_away("one");
        throw_away("two");
        assert_int_equal(disk_make_room(&disk, 1), 1);
        assert_int_equal(count_in("trash", found), 1);
        assert_string_equal(strrchr(found, '/'), "/two");
        assert_int_equal(disk_make_room(&disk, 1), 1);
        assert_int_equal(disk_make_room(&disk, 1), 0);
        assert_nothing_in("trash");
}

static void the_trash_stays_for_what_would_not_fit_without_it_either(void **state) {
        FsRoom room;

        (void) state;
        assert_int_equal(disk_has_trash(&disk), 0);
        throw_away("one");
        assert_int_equal(disk_has_trash(&disk), 1);
        assert_int_equal(fs_room(disk.rootfd, &room), 0);
        assert_int_equal(disk_make_room(&disk, room.total * 2), 0);
        assert_int_equal(disk_has_trash(&disk), 1);
        assert_int_equal(disk_make_room(&disk, 1), 1);
        assert_int_equal(disk_has_trash(&disk), 0);
}

static void as_much_of_the_trash_goes_as_is_needed(void **state) {
        char found[1024], name[8];
        FsRoom before, after;

        (void) state;
        make_directory("disk/" SCAN_PRIVATE_DIR);
        make_directory("disk/" SCAN_PRIVATE_DIR "/trash");
        put_text("disk/" SCAN_PRIVATE_DIR "/trash/00000000", "somebody's");
        for (unsigned i = 0; i < 5; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                throw_away_bytes(name, 4 * MIB);
        }
        assert_int_equal(fs_room(disk.rootfd, &before), 0);
        assert_int_equal(disk_make_room(&disk, before.free + 10 * MIB), 1);
        assert_int_equal(fs_room(disk.rootfd, &after), 0);
        assert_in_range(after.free, before.free + 10 * MIB, before.free + 13 * MIB);
        assert_int_equal(count_in("trash", found), 3); /* two of ours */
        assert_int_equal(disk_make_room(&disk, after.free + 10 * MIB), 0);
        assert_int_equal(disk_make_room(&disk, after.free + 6 * MIB), 1);
        assert_int_equal(count_in("trash", found), 1);
}

static void *empty_for_ever(void *userdata) {
        atomic_bool *end = userdata;
        int r = 0;

        while (!atomic_load(end) && r >= 0) {
                r = disk_make_room(&disk, 1);
                (void) usleep(100); /* who fills it gives up if all that it makes is emptied before its next step */
        }
        return r < 0 ? userdata : NULL;
}

static void the_trash_can_be_emptied_while_it_is_filled(void **state) {
        static atomic_bool end;
        pthread_t thread;
        void *failed;

        (void) state;
        make_directory("disk/a");
        assert_int_equal(pthread_create(&thread, NULL, empty_for_ever, &end), 0);
        for (unsigned i = 0; i < 200; i++)
                throw_away("a/file");
        atomic_store(&end, true);
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
}

/* --- after a crash --- */

/* The state between the exchange and the unlink of what came out, of which the plan had seen @seen. */
static void rename_and_die(const char *path, const struct stat *seen) {
        const char *name = prepare("new");
        char exchanged[DISK_NAME_MAX], full[256];
        int tmpfd = open_directory("disk/" SCAN_PRIVATE_DIR "/tmp");
        FileIdentity identity = identity_of(seen);

        (void) disk_private_dir_exchange_name(exchanged, disk.prefix, 77, tree_access_inode((TreeName){ tmpfd, name }), &identity);
        assert_int_equal(renameat(tmpfd, name, tmpfd, exchanged), 0);
        (void) snprintf(full, sizeof(full), "disk/%s", path);
        assert_int_equal(renameat2(tmpfd, exchanged, AT_FDCWD, full, RENAME_EXCHANGE), 0);
        (void) close(tmpfd);
}

static void the_old_version_goes_after_a_crash(void **state) {
        char name[DISK_NAME_MAX];
        struct stat seen;

        (void) state;
        put_text("disk/file", "old");
        seen = stat_at("disk/file");
        rename_and_die("file", &seen);
        assert_int_equal(disk_clean(&disk), 0);
        assert_text("disk/file", "new");
        assert_nothing_in("tmp");
        assert_nothing_in("conflicts");
        (void) close(disk_new_file(&disk, name));
        assert_string_equal(strrchr(name, '-'), "-4e"); /* no number is given out twice */
}

static void what_was_not_expected_is_kept_after_a_crash(void **state) {
        char found[1024];
        struct stat seen;

        (void) state;
        put_text("disk/file", "old");
        seen = stat_at("disk/file");
        put_text("disk/other", "somebody's");
        assert_int_equal(rename("disk/other", "disk/file"), 0); /* between the check and the exchange */
        rename_and_die("file", &seen);
        assert_int_equal(disk_clean(&disk), 1);
        assert_int_equal(count_in("conflicts", found), 1);
        assert_text(found, "somebody's");
        seen = stat_at("disk/file");
        put_text("disk/file", "the same inode, written to");
        rename_and_die("file", &seen);
        assert_int_equal(disk_clean(&disk), 1);
        assert_int_equal(count_in("conflicts", found), 2);
        assert_nothing_in("tmp");
}

/* One name, exchanged over and over, each version whole. */
static void place_for_ever(const char *text) {
        for (unsigned i = 0;; i++) {
                Entry expected = entry_of("file");

                if (disk_place(&disk, prepare(text), "file", &expected, i % 2, NULL) != 0)
                        _exit(1);
        }
}

static void whenever_it_is_killed_nothing_is_lost_and_nothing_left(void **state) {
        uint64_t seed = random_seed();

        (void) state;
        put_text("disk/file", "whole");
        for (unsigned i = 0; i < 40; i++) {
                char found[1024];
                int status;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0)
                        place_for_ever("whole");
                (void) usleep(1000 + random_below(&seed, 8000));
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_in_range(disk_clean(&disk), 0, 1); /* what was to be kept, and was on its way to conflicts/ */
                assert_text("disk/file", "whole");
                if (count_in("tmp", found) > 0)
                        fail_msg("left behind: %s", found);
        }
}

/* --- while another process works on the same path --- */

enum { ROUNDS = 4000 };

static const char ours[] = "ours, and longer than any of theirs";

/* Each version is made once, takes the place of whatever is there, and may not get lost. */
static void *put_versions(void *userdata) {
        for (unsigned i = 0; i < ROUNDS; i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), "disk/somebody/%u", i);
                if (renameat2(AT_FDCWD, path, AT_FDCWD, "disk/file", RENAME_EXCHANGE) < 0)
                        return userdata;
                if (i % 2000 >= 1000)
                        (void) usleep(i % 50 * 5);
        }
        return NULL;
}

/* What @dir and all below has of the versions. */
static void find_versions(const char *path, bool found[static ROUNDS]) {
        _cleanup_(closedirp) DIR *dir = opendir(path);
        struct dirent *d;

        while (dir && (d = readdir(dir))) {
                char below[1024], text[16] = "";
                FILE *file;

                if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
                        continue;
                (void) snprintf(below, sizeof(below), "%s/%s", path, d->d_name);
                if (d->d_type == DT_DIR) {
                        find_versions(below, found);
                        continue;
                }
                file = fopen(below, "r");
                assert_non_null(file);
                if (fgets(text, sizeof(text), file) && text[0] == 'v')
                        found[atoi(text + 1)] = true;
                (void) fclose(file);
        }
}

static void no_version_is_lost(void **state) {
        bool found[ROUNDS] = {};
        unsigned placed = 0, occupied = 0;
        pthread_t thread;
        void *failed;

        (void) state;
        make_directory("disk/somebody");
        for (unsigned i = 0; i < ROUNDS; i++) {
                char path[64], text[16];

                (void) snprintf(path, sizeof(path), "disk/somebody/%u", i);
                (void) snprintf(text, sizeof(text), "v%u", i);
                put_text(path, text);
        }
        put_text("disk/file", ours);
        assert_int_equal(pthread_create(&thread, NULL, put_versions, &failed), 0);
        while (pthread_tryjoin_np(thread, &failed) != 0) {
                Entry expected = entry_of("file");
                const char *name = prepare(ours);
                int r = disk_place(&disk, name, "file", &expected, expected.size != strlen(ours), NULL);

                assert_true(r == 0 || r == DISK_OCCUPIED);
                placed += r == 0;
                occupied += r != 0;
                disk_drop(&disk, name);
        }
        assert_null(failed);
        find_versions("disk", found);
        for (unsigned i = 0; i < ROUNDS; i++)
                if (!found[i])
                        fail_msg("version %u is gone (%u placed, %u occupied)", i, placed, occupied);
        assert_true(placed > 0);
        assert_nothing_in("tmp");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define FUSE(name) { #name " (FUSE)", name, setup_fuse, teardown, NULL }
#define BOTH(name) CASE(name), FUSE(name)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(the_private_directory_is_made_when_it_is_needed),
                CASE(a_private_directory_that_is_no_directory_is_refused),
                CASE(mirrors_do_not_clean_each_others_temporaries),
                BOTH(what_is_new_is_placed),
                BOTH(what_was_not_seen_is_left_alone),
                BOTH(what_is_expected_is_replaced),
                BOTH(what_was_replaced_can_be_kept),
                BOTH(what_has_changed_since_is_left_as_it_is),
                BOTH(what_was_expected_may_be_gone),
                BOTH(links_are_known_by_what_they_say),
                BOTH(no_way_leads_out_of_the_tree),
                BOTH(another_name_of_the_file_itself_may_be_placed),
                BOTH(a_version_can_be_put_among_the_conflicts),
                CASE(a_check_says_whether_the_place_is_as_expected),
                BOTH(a_directory_is_made_with_owner_and_mode),
                BOTH(attributes_are_given_to_what_is_expected_only),
                BOTH(what_is_expected_is_removed),
                CASE(what_goes_to_the_trash_keeps_its_path),
                BOTH(what_was_changed_is_not_removed),
                BOTH(a_directory_goes_if_it_is_empty),
                BOTH(the_trash_is_emptied_after_its_time),
                CASE(a_clock_that_was_set_does_not_empty_the_trash),
                CASE(how_long_ago_is_what_can_be_sure_of_it),
                BOTH(the_oldest_of_the_trash_makes_room_first),
                BOTH(as_much_of_the_trash_goes_as_is_needed),
                BOTH(the_trash_stays_for_what_would_not_fit_without_it_either),
                CASE(the_trash_can_be_emptied_while_it_is_filled),
                CASE(the_old_version_goes_after_a_crash),
                CASE(what_was_not_expected_is_kept_after_a_crash),
                BOTH(whenever_it_is_killed_nothing_is_lost_and_nothing_left),
                CASE(no_version_is_lost),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
