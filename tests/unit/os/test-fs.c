/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Paths below a directory: nothing leads out. And what a filesystem says of itself. */

#include "ground.h"
#include "os/fs.h"

#include <sys/statvfs.h>

static int beneath(const char *path, int flags) {
        int root = open_directory("tree"), fd = fs_open_beneath(root, path, flags);

        (void) close(root);
        if (fd >= 0) {
                assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
                (void) close(fd);
                return 0;
        }
        return fd;
}

static int follow(const char *path) {
        int root = open_directory("tree"), fd = fs_follow_beneath(root, path, O_PATH);

        (void) close(root);
        return fd < 0 ? fd : close(fd);
}

static void make_tree(void) {
        make_directory("tree");
        make_directory("tree/sub");
        put_text("tree/sub/file", "inside");
        put_text("outside", "outside");
        assert_int_equal(symlink("../outside", "tree/out"), 0);
        assert_int_equal(symlink("/", "tree/root"), 0);
        assert_int_equal(symlink("sub", "tree/in"), 0);
}

static void paths_beneath_are_opened(void **state) {
        (void) state;
        make_tree();
        assert_int_equal(beneath("sub/file", O_RDONLY), 0);
        assert_int_equal(beneath(".", O_RDONLY), 0);
        assert_int_equal(beneath("absent", O_RDONLY), -ENOENT);
}

static void no_path_leads_out(void **state) {
        (void) state;
        make_tree();
        assert_int_equal(beneath("../outside", O_RDONLY), -EXDEV);
        assert_int_equal(beneath("sub/../../outside", O_RDONLY), -EXDEV);
        assert_int_equal(beneath("/etc/passwd", O_RDONLY), -EXDEV);
        assert_int_equal(beneath("out", O_RDONLY), -ELOOP);
        assert_int_equal(beneath("root/etc/passwd", O_RDONLY), -ELOOP);
        assert_int_equal(beneath("in/file", O_RDONLY), -ELOOP); /* not even where it stays inside */
}

static void following_ends_at_the_top(void **state) {
        (void) state;
        make_tree();
        assert_int_equal(follow("in/file"), 0);
        assert_int_equal(follow("out"), -EXDEV);
        assert_int_equal(follow("root/etc"), -EXDEV);
        assert_int_equal(symlink("out", "tree/twice"), 0);
        assert_int_equal(follow("twice"), -EXDEV);
}

static void the_parent_is_opened_and_the_last_part_named(void **state) {
        const char *name = NULL;
        struct stat st;
        int root, fd;

        (void) state;
        make_tree();
        root = open_directory("tree");
        fd = fs_open_parent(root, "sub/file", &name);
        assert_true(fd >= 0);
        assert_string_equal(name, "file");
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_ino, stat_at("tree/sub").st_ino);
        (void) close(fd);
        fd = fs_open_parent(root, "sub", &name);
        assert_true(fd >= 0);
        assert_string_equal(name, "sub");
        (void) close(fd);
        name = "untouched";
        assert_int_equal(fs_open_parent(root, "in/file", &name), -ELOOP);
        assert_int_equal(fs_open_parent(root, "sub/file/x", &name), -ENOTDIR);
        assert_string_equal(name, "untouched");
        (void) close(root);
}

static void a_link_itself_is_statted_and_not_its_target(void **state) {
        struct stat st;
        int root;

        (void) state;
        make_tree();
        root = open_directory("tree");
        assert_int_equal(fs_stat_beneath(root, "out", &st), 0);
        assert_true(S_ISLNK(st.st_mode));
        assert_int_equal(fs_stat_beneath(root, "sub/file", &st), 0);
        assert_int_equal(st.st_size, 6);
        assert_int_equal(fs_stat_beneath(root, ".", &st), 0);
        assert_int_equal(st.st_ino, stat_at("tree").st_ino);
        assert_int_equal(fs_stat_beneath(root, "in/file", &st), -ELOOP);
        (void) close(root);
}

static void text_is_read_whole_or_not_at_all(void **state) {
        _cleanup_(freep) char *text = NULL, *big = NULL;
        char *untouched = NULL;

        (void) state;
        put_text("small", "a line\n");
        assert_int_equal(fs_read_text(AT_FDCWD, "small", 7, &text), 0);
        assert_string_equal(text, "a line\n");
        assert_int_equal(fs_read_text(AT_FDCWD, "small", 6, &untouched), -EFBIG);
        assert_int_equal(fs_read_text(AT_FDCWD, "absent", 6, &untouched), -ENOENT);
        assert_int_equal(fs_read_text(AT_FDCWD, ".", 6, &untouched), -EISDIR);
        assert_null(untouched);
        big = (char *) put_pattern("big", 100000, 1);
        free(text);
        assert_int_equal(fs_read_text(AT_FDCWD, "big", 100000, &text), 0);
        assert_memory_equal(text, big, 100000);
        free(text);
        assert_int_equal(fs_read_text(AT_FDCWD, "/proc/self/status", MIB, &text), 0);
        assert_non_null(strstr(text, "VmRSS"));
}

static void a_tmpfs_is_known_from_a_disk(void **state) {
        int fd = open_directory("."), disk;

        (void) state;
        make_ext4("disk", 8);
        disk = open_directory("disk");
        assert_int_equal(fs_is_tmpfs(fd), 1);
        assert_int_equal(fs_is_tmpfs(disk), 0);
        assert_int_equal(fs_is_eventless(fd), 0);
        assert_int_equal(fs_is_eventless(disk), 0);
        assert_int_equal(fs_is_tmpfs(-1), -EBADF);
        (void) close(disk);
        (void) close(fd);
}

static void room_is_what_can_be_written(void **state) {
        FsRoom room;
        int fd;

        (void) state;
        make_tmpfs("small", "size=1m,nr_inodes=100");
        fd = open_directory("small");
        assert_int_equal(fs_room(fd, &room), 0);
        assert_int_equal(room.total, MIB);
        assert_int_equal(room.free, MIB);
        assert_true(room.inodes > 90 && room.inodes <= 100);
        free(put_pattern("small/file", 512 * KIB, 1));
        assert_int_equal(fs_room(fd, &room), 0);
        assert_int_equal(room.free, 512 * KIB);
        (void) close(fd);
        make_tmpfs("boundless", "size=1m,nr_inodes=0");
        fd = open_directory("boundless");
        assert_int_equal(fs_room(fd, &room), 0);
        assert_true(room.inodes == UINT64_MAX);
        (void) close(fd);
}

static void data_is_found_between_holes(void **state) {
        int fd = open("sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        uint64_t start, end;

        (void) state;
        assert_int_equal(ftruncate(fd, 16 * MIB), 0);
        assert_int_equal(fs_next_data(fd, 0, 16 * MIB, &start, &end), 0);
        assert_int_equal(pwrite(fd, "x", 1, 4 * MIB), 1);
        assert_int_equal(pwrite(fd, "x", 1, 16 * MIB - 1), 1);
        assert_int_equal(fs_next_data(fd, 0, 16 * MIB, &start, &end), 1);
        assert_int_equal(start, 4 * MIB);
        assert_int_equal(end, 4 * MIB + 4096);
        assert_int_equal(fs_next_data(fd, end, 16 * MIB, &start, &end), 1);
        assert_int_equal(start, 16 * MIB - 4096);
        assert_int_equal(end, 16 * MIB);
        assert_int_equal(fs_next_data(fd, end, 16 * MIB, &start, &end), 0);
        /* nothing behind the size that was asked about, though there is data */
        assert_int_equal(fs_next_data(fd, 0, 4 * MIB, &start, &end), 0);
        assert_int_equal(fs_next_data(fd, 0, 4 * MIB + 1, &start, &end), 1);
        assert_int_equal(end, 4 * MIB + 1);
        (void) close(fd);
}

static void times_before_the_epoch_are_kept(void **state) {
        static const int64_t times[] = {
                0, 1, -1, NSEC_PER_SEC, -NSEC_PER_SEC, -NSEC_PER_SEC - 1, 1700000000123456789
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                struct timespec t = fs_timespec(times[i]);

                assert_true(t.tv_nsec >= 0 && t.tv_nsec < NSEC_PER_SEC);
                assert_true(fs_nsec(&t) == times[i]);
        }
}

static void a_name_of_its_own_is_not_folded(void **state) {
        int fd = open_directory(".");
        char *found = (char *) "untouched";

        (void) state;
        put_text("Model", "x");
        put_text("model", "x");
        assert_int_equal(link("model", "another"), 0); /* of the same inode */
        assert_int_equal(fs_find_folded(fd, "model", &found), 0);
        assert_null(found);
        assert_int_equal(fs_find_folded(fd, "MODEL", &found), 0); /* nothing is there at all */
        assert_null(found);
        (void) close(fd);
}

static void directories_are_synced_by_any_descriptor(void **state) {
        int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

        (void) state;
        assert_int_equal(fs_sync_directory(fd), 0);
        (void) close(fd);
        fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fs_sync_directory(fd), -ENOTDIR);
        (void) close(fd);
}

/* --- how far a stat can be trusted --- */

/* As of a file whose ctime is so long ago, with whole seconds only if @coarse. */
static bool is_racy(int64_t age_nsec, bool coarse) {
        struct stat st = {};
        struct timespec now;
        int64_t nsec;

        assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
        nsec = fs_nsec(&now) - age_nsec;
        st.st_ctim = fs_timespec(nsec);
        if (coarse)
                st.st_ctim.tv_nsec = 0;
        else if (st.st_ctim.tv_nsec == 0)
                st.st_ctim.tv_nsec = 1;
        return fs_is_racy(&st);
}

static void a_change_may_hide_within_a_tick_of_the_clock(void **state) {
        (void) state;
        assert_false(is_racy(NSEC_PER_SEC / 100, false));
        assert_false(is_racy(NSEC_PER_SEC, false));
        assert_true(is_racy(-NSEC_PER_SEC / 200, false)); /* a clock that is a little ahead, a server's */
        assert_false(is_racy(-NSEC_PER_SEC, false));      /* nothing is known of such a clock */
}

static void where_times_are_whole_seconds_a_tick_is_two(void **state) {
        (void) state;
        assert_true(is_racy(0, true));
        assert_true(is_racy(-NSEC_PER_SEC, true));
        assert_false(is_racy(2 * NSEC_PER_SEC, true));
        assert_false(is_racy(10 * NSEC_PER_SEC, true));
}

static void inode_numbers_are_not_stable_everywhere(void **state) {
        int fd;

        (void) state;
        make_directory("fuse");
        make_ext4("ext4", 8);
        shell("truncate -s 16M image && mkfs.exfat image >/dev/null && loop=$(losetup -f --show image) && "
              "mount.exfat-fuse $loop fuse >/dev/null && losetup -d $loop");
        fd = open_directory("fuse");
        assert_false(fs_has_stable_inodes(fd));
        (void) close(fd);
        fd = open_directory("ext4");
        assert_true(fs_has_stable_inodes(fd));
        (void) close(fd);
        fd = open_directory("."); /* a tmpfs */
        assert_true(fs_has_stable_inodes(fd));
        (void) close(fd);
        assert_false(fs_has_stable_inodes(-1)); /* what is not known is not trusted */
        assert_int_equal(umount2("fuse", MNT_DETACH), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(paths_beneath_are_opened),
                ON_GROUND(no_path_leads_out),
                ON_GROUND(following_ends_at_the_top),
                ON_GROUND(the_parent_is_opened_and_the_last_part_named),
                ON_GROUND(a_link_itself_is_statted_and_not_its_target),
                ON_GROUND(text_is_read_whole_or_not_at_all),
                ON_GROUND(a_tmpfs_is_known_from_a_disk),
                ON_GROUND(room_is_what_can_be_written),
                ON_GROUND(data_is_found_between_holes),
                ON_GROUND(a_name_of_its_own_is_not_folded),
                ON_GROUND(directories_are_synced_by_any_descriptor),
                cmocka_unit_test(times_before_the_epoch_are_kept),
                cmocka_unit_test(a_change_may_hide_within_a_tick_of_the_clock),
                cmocka_unit_test(where_times_are_whole_seconds_a_tick_is_two),
                ON_GROUND(inode_numbers_are_not_stable_everywhere),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
