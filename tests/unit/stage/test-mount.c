/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Finding and making the tmpfs of a mirror, with real mounts in a mount namespace of our own. A ramfs stands for a disk: it is
 * no tmpfs wherever the tests run. Needs CAP_SYS_ADMIN. */

#include "os/fs.h"
#include "stage/mount.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { NOBODY = 65534 };

/* base/disk is no tmpfs, base/shm is one; both may be written by everyone. */
typedef struct Fixture {
        char base[64];
        char target[256];
        MirrorConfig mirror;
        Mount mount;
        const char *what;
} Fixture;

static const char *below(const Fixture *f, const char *path) {
        static char full[256];

        (void) snprintf(full, sizeof(full), "%s/%s", f->base, path);
        return full;
}

static void aim(Fixture *f, const char *path) {
        (void) snprintf(f->target, sizeof(f->target), "%s/%s", f->base, path);
        f->mirror.target = f->target;
}

static int open_sized(Fixture *f, uint64_t size) {
        f->mount = (Mount){ .fd = -1 };
        f->what = NULL;
        return mount_open(&f->mirror, size, &f->mount, &f->what);
}

static void touch(const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        (void) close(fd);
}

static bool exists(const char *path) {
        return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The kernel's own word on what lies under a path. */
static bool is_tmpfs(const char *path) {
        struct statfs st;

        return statfs(path, &st) == 0 && st.f_type == 0x01021994;
}

static void mount_plain(const char *type, const char *path, const char *options) {
        assert_int_equal(mount("plain", path, type, 0, options), 0);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        (void) snprintf(f->base, sizeof(f->base), "/tmp/test-mount-XXXXXX");
        assert_non_null(mkdtemp(f->base));
        mount_plain("ramfs", f->base, "");
        assert_int_equal(chmod(f->base, 0755), 0);
        assert_int_equal(mkdir(below(f, "disk"), 0777), 0);
        assert_int_equal(chmod(below(f, "disk"), 01777), 0);
        assert_int_equal(mkdir(below(f, "shm"), 0755), 0);
        mount_plain("tmpfs", below(f, "shm"), "size=64m,mode=1777");
        f->mount.fd = -1;
        f->mirror.swap = true;
        f->mirror.huge_pages = HUGE_NEVER;
        aim(f, "shm/models");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        (void) close_fd(f->mount.fd);
        assert_int_equal(umount2(f->base, MNT_DETACH), 0);
        assert_int_equal(rmdir(f->base), 0);
        free(f);
        return 0;
}

/* Runs @check in a child that has given up its rights; it returns 0 or the number of the line that failed. */
static void as_nobody(Fixture *f, int (*check)(Fixture *f)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                int line = __LINE__;

                if (setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0)
                        line = check(f);
                if (line != 0)
                        fprintf(stderr, "%s:%d: does not hold for the user nobody\n", __FILE__, line);
                _exit(line != 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

#define HOLDS(condition)                  \
        do {                              \
                if (!(condition))         \
                        return __LINE__;  \
        } while (0)

static bool kernel_takes(Fixture *f, const char *options) {
        const char *path = below(f, "disk/probe");
        int r;

        assert_int_equal(mkdir(path, 0755), 0);
        r = mount("probe", path, "tmpfs", 0, options);
        if (r == 0)
                assert_int_equal(umount(path), 0);
        assert_int_equal(rmdir(path), 0);
        return r == 0;
}

static void the_answers_are_those_of_a_real_mount(void **state) {
        Fixture *f = *state;
        char mpol[] = "bind:0";
        TmpfsOptions options;

        f->mirror.huge_pages = HUGE_WITHIN_SIZE;
        f->mirror.swap = false;
        f->mirror.numa_policy = mpol;
        assert_int_equal(tmpfs_options_probe(&f->mirror, 1, &options), 0);
        assert_int_equal(options.answer[TMPFS_HUGE],
                         kernel_takes(f, "huge=within_size") ? TMPFS_ACCEPTED : TMPFS_REFUSED);
        assert_int_equal(options.answer[TMPFS_NOSWAP], kernel_takes(f, "noswap") ? TMPFS_ACCEPTED : TMPFS_REFUSED);
        assert_int_equal(options.answer[TMPFS_MPOL], kernel_takes(f, "mpol=bind:0") ? TMPFS_ACCEPTED : TMPFS_REFUSED);
}

static void what_is_not_requested_is_not_probed(void **state) {
        Fixture *f = *state;
        char mpol[] = "default";
        TmpfsOptions options;

        f->mirror.numa_policy = mpol;
        assert_int_equal(tmpfs_options_probe(&f->mirror, 1, &options), 0);
        for (size_t i = 0; i < _TMPFS_OPTION_MAX; i++)
                assert_int_equal(options.answer[i], TMPFS_NOT_REQUESTED);
}

static void an_option_that_the_kernel_refuses_is_left_out(void **state) {
        static const char *const policies[] = { "bind:1023", "sideways:0" };
        Fixture *f = *state;
        TmpfsOptions options;

        for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
                char policy[32];

                (void) snprintf(policy, sizeof(policy), "%s", policies[i]);
                f->mirror.numa_policy = policy;
                assert_int_equal(tmpfs_options_probe(&f->mirror, 1, &options), 0);
                assert_int_equal(options.answer[TMPFS_MPOL], TMPFS_REFUSED);
                assert_int_equal(open_sized(f, MIB), 0);
                assert_int_equal(f->mount.kind, MOUNT_MADE);
                assert_int_equal(f->mount.answer[TMPFS_MPOL], TMPFS_REFUSED);
                assert_int_equal(mount_close(&f->mount, f->target, true), 0);
        }
}

static void the_option_text_names_what_was_taken(void **state) {
        Fixture *f = *state;
        char mpol[] = "interleave:0,2";
        TmpfsOptions options = { { TMPFS_ACCEPTED, TMPFS_ACCEPTED, TMPFS_ACCEPTED }, .n_nodes = 1 };
        char *text;

        f->mirror.huge_pages = HUGE_ALWAYS;
        f->mirror.swap = false;
        f->mirror.numa_policy = mpol;
        text = tmpfs_options_text(&f->mirror, 12 * GIB, &options);
        assert_string_equal(text, "size=12884901888,mode=0755,nosuid,nodev,noexec,huge=always,noswap,mpol=interleave:0,2");
        free(text);
        options.answer[TMPFS_HUGE] = TMPFS_REFUSED;
        options.answer[TMPFS_MPOL] = TMPFS_UNKNOWN;
        text = tmpfs_options_text(&f->mirror, 1, &options);
        assert_string_equal(text, "size=4096,mode=0755,nosuid,nodev,noexec,noswap");
        free(text);
}

static void the_automatic_policy_asks_for_what_the_machine_has(void **state) {
        Fixture *f = *state;
        char mpol[] = "auto";
        TmpfsOptions options;
        bool taken = kernel_takes(f, "mpol=interleave");
        char *text;

        f->mirror.huge_pages = HUGE_NEVER;
        f->mirror.swap = true;
        f->mirror.numa_policy = mpol;
        assert_int_equal(tmpfs_options_probe(&f->mirror, 1, &options), 0);
        assert_int_equal(options.answer[TMPFS_MPOL], TMPFS_NOT_REQUESTED);
        assert_int_equal(tmpfs_options_probe(&f->mirror, 2, &options), 0);
        assert_int_equal(options.answer[TMPFS_MPOL], taken ? TMPFS_ACCEPTED : TMPFS_REFUSED);
        text = tmpfs_options_text(&f->mirror, MIB, &options);
        assert_string_equal(text, taken ? "size=1048576,mode=0755,nosuid,nodev,noexec,mpol=interleave"
                                        : "size=1048576,mode=0755,nosuid,nodev,noexec");
        free(text);
}

static int check_unknown(Fixture *f) {
        TmpfsOptions options;

        f->mirror.huge_pages = HUGE_WITHIN_SIZE;
        HOLDS(tmpfs_options_probe(&f->mirror, 1, &options) == 0);
        HOLDS(options.answer[TMPFS_HUGE] == TMPFS_UNKNOWN);
        HOLDS(options.answer[TMPFS_NOSWAP] == TMPFS_NOT_REQUESTED);
        return 0;
}

static void without_rights_the_answer_is_unknown(void **state) {
        as_nobody(*state, check_unknown);
}

static void a_missing_target_is_made_and_mounted(void **state) {
        static const char *const targets[] = { "shm/models", "disk/a/b/models" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                struct statvfs st;
                struct stat root;

                aim(f, targets[i]);
                assert_int_equal(open_sized(f, 3 * MIB), 0);
                assert_int_equal(f->mount.kind, MOUNT_MADE);
                assert_true(f->mount.made_directory);
                assert_int_equal(f->mount.budget, 3 * MIB);
                assert_true(is_tmpfs(f->target));
                assert_int_equal(statvfs(f->target, &st), 0);
                assert_int_equal(st.f_blocks * st.f_frsize, 3 * MIB);
                assert_int_equal(st.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC), ST_NOSUID | ST_NODEV | ST_NOEXEC);
                assert_int_equal(fstat(f->mount.fd, &root), 0);
                assert_int_equal(root.st_mode, S_IFDIR | 0755);
                assert_int_equal(mount_close(&f->mount, f->target, true), 0);
                assert_int_equal(f->mount.fd, -1);
                assert_false(exists(f->target));
        }
}

static void a_size_of_nothing_is_not_a_size_without_limit(void **state) {
        Fixture *f = *state;
        struct statvfs st;

        assert_int_equal(open_sized(f, 0), 0);
        assert_int_equal(statvfs(f->target, &st), 0);
        assert_int_equal(st.f_blocks * st.f_frsize, 4096);
}

static void an_empty_directory_is_mounted_on_and_left_there(void **state) {
        static const char *const targets[] = { "shm/models", "disk/models" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                aim(f, targets[i]);
                assert_int_equal(mkdir(f->target, 0755), 0);
                assert_int_equal(open_sized(f, MIB), 0);
                assert_int_equal(f->mount.kind, MOUNT_MADE);
                assert_false(f->mount.made_directory);
                assert_int_equal(mount_close(&f->mount, f->target, true), 0);
                assert_true(exists(f->target));
                assert_true(is_tmpfs(f->target) == (i == 0));
        }
}

static void our_own_mount_is_known_after_a_crash(void **state) {
        Fixture *f = *state;

        assert_int_equal(open_sized(f, 2 * MIB), 0);
        touch(below(f, "shm/models/kept"));
        assert_int_equal(mount_close(&f->mount, f->target, false), 0);
        assert_true(exists(below(f, "shm/models/kept")));
        assert_int_equal(open_sized(f, 8 * MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_MADE);
        assert_int_equal(f->mount.budget, 2 * MIB);
        assert_int_equal(mount_close(&f->mount, f->target, true), 0);
        assert_false(exists(below(f, "shm/models/kept")));
}

static void a_tmpfs_that_we_did_not_mount_is_used_and_not_unmounted(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(f->target, 0755), 0);
        mount_plain("tmpfs", f->target, "size=1m");
        touch(below(f, "shm/models/theirs"));
        assert_int_equal(open_sized(f, 8 * MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_FOUND);
        assert_int_equal(f->mount.budget, MIB);
        assert_int_equal(mount_close(&f->mount, f->target, true), 0);
        assert_true(exists(below(f, "shm/models/theirs")));
        assert_int_equal(open_sized(f, 4 * KIB), 0);
        assert_int_equal(f->mount.budget, 4 * KIB);
}

static void a_tmpfs_without_a_limit_leaves_the_budget_alone(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(f->target, 0755), 0);
        mount_plain("tmpfs", f->target, "size=0");
        assert_int_equal(open_sized(f, 8 * MIB), 0);
        assert_int_equal(f->mount.budget, 8 * MIB);
}

static void the_options_of_a_found_tmpfs_are_read_from_the_table(void **state) {
        static const struct {
                const char *options;
                HugePages wanted;
                TmpfsAnswer huge, noswap, mpol;
        } cases[] = {
                { "size=1m", HUGE_WITHIN_SIZE, TMPFS_REFUSED, TMPFS_REFUSED, TMPFS_REFUSED },
                { "size=1m,noswap", HUGE_NEVER, TMPFS_NOT_REQUESTED, TMPFS_ACCEPTED, TMPFS_REFUSED },
                { "huge=always,mpol=bind:0", HUGE_WITHIN_SIZE, TMPFS_ACCEPTED, TMPFS_REFUSED, TMPFS_ACCEPTED },
                { "huge=advise", HUGE_WITHIN_SIZE, TMPFS_REFUSED, TMPFS_REFUSED, TMPFS_REFUSED },
                { "huge=advise", HUGE_ADVISE, TMPFS_ACCEPTED, TMPFS_REFUSED, TMPFS_REFUSED },
                { "huge=within_size", HUGE_ALWAYS, TMPFS_ACCEPTED, TMPFS_REFUSED, TMPFS_REFUSED },
        };
        Fixture *f = *state;
        char mpol[] = "bind:0";
        size_t n_tried = 0;

        assert_int_equal(mkdir(f->target, 0755), 0);
        f->mirror.swap = false;
        f->mirror.numa_policy = mpol;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                if (mount("plain", f->target, "tmpfs", 0, cases[i].options) < 0)
                        continue; /* this kernel lacks an option of it */
                n_tried++;
                f->mirror.huge_pages = cases[i].wanted;
                assert_int_equal(open_sized(f, MIB), 0);
                assert_int_equal(f->mount.kind, MOUNT_FOUND);
                assert_int_equal(f->mount.answer[TMPFS_HUGE], cases[i].huge);
                assert_int_equal(f->mount.answer[TMPFS_NOSWAP], cases[i].noswap);
                assert_int_equal(f->mount.answer[TMPFS_MPOL], cases[i].mpol);
                assert_int_equal(mount_close(&f->mount, f->target, false), 0);
                assert_int_equal(umount(f->target), 0);
        }
        assert_true(n_tried >= 1);
        print_message("%zu of %zu option sets are known to this kernel\n", n_tried, ELEMENTSOF(cases));
}

static void a_found_tmpfs_has_the_policy_that_is_wanted_or_another(void **state) {
        static const struct {
                const char *options;
                unsigned n_nodes;
                const char *policy;
                TmpfsAnswer answer;
        } cases[] = {
                { "rw,size=1m", 1, "auto", TMPFS_NOT_REQUESTED },
                { "rw,size=1m", 2, "auto", TMPFS_REFUSED },
                { NULL, 2, "auto", TMPFS_REFUSED },
                { "rw,size=1m,mpol=interleave:0-1", 2, "auto", TMPFS_ACCEPTED },
                { "rw,size=1m,mpol=interleave:0,2", 2, "auto", TMPFS_ACCEPTED },
                { "rw,size=1m,mpol=interleave:0,2,noswap", 3, "auto", TMPFS_REFUSED },
                { "rw,mpol=bind:0", 2, "auto", TMPFS_REFUSED },
                { "rw,mpol=bind:0", 1, "auto", TMPFS_NOT_REQUESTED },
                { "rw,mpol=bind:0", 1, "default", TMPFS_NOT_REQUESTED },
                { "rw,mpol=local", 2, "local", TMPFS_ACCEPTED },
                { "rw,mpol=prefer:1", 2, "prefer:0", TMPFS_REFUSED },
        };
        Fixture *f = *state;
        TmpfsAnswer answers[_TMPFS_OPTION_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char policy[32];

                (void) snprintf(policy, sizeof(policy), "%s", cases[i].policy);
                f->mirror.numa_policy = policy;
                assert_int_equal(tmpfs_options_read_answers(cases[i].options, &f->mirror, cases[i].n_nodes, answers), 0);
                assert_int_equal(answers[TMPFS_MPOL], cases[i].answer);
        }
}

static void another_filesystem_on_the_target_is_refused(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(f->target, 0755), 0);
        mount_plain("ramfs", f->target, "");
        assert_int_equal(open_sized(f, MIB), MOUNT_OTHER_MOUNTED);
        assert_int_equal(f->mount.fd, -1);
}

static void the_topmost_of_stacked_mounts_counts(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(f->target, 0755), 0);
        mount_plain("ramfs", f->target, "");
        mount_plain("tmpfs", f->target, "size=1m");
        assert_int_equal(open_sized(f, MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_FOUND);
        assert_int_equal(mount_close(&f->mount, f->target, false), 0);
        mount_plain("ramfs", f->target, "");
        assert_int_equal(open_sized(f, MIB), MOUNT_OTHER_MOUNTED);
}

static void a_mount_that_lies_under_another_does_not_count(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(f->target, 0755), 0);
        mount_plain("tmpfs", f->target, "size=1m");
        mount_plain("tmpfs", below(f, "shm"), "size=1m");
        assert_int_equal(mkdir(f->target, 0755), 0);
        assert_int_equal(open_sized(f, MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_MADE);
}

static void a_bound_directory_of_a_tmpfs_is_a_mount_point(void **state) {
        Fixture *f = *state;

        aim(f, "disk/models");
        assert_int_equal(mkdir(f->target, 0755), 0);
        assert_int_equal(mount(below(f, "shm"), f->target, NULL, MS_BIND, NULL), 0);
        assert_int_equal(open_sized(f, MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_FOUND);
}

static void files_on_a_disk_are_not_covered(void **state) {
        Fixture *f = *state;

        aim(f, "disk/models");
        assert_int_equal(mkdir(f->target, 0755), 0);
        touch(below(f, "disk/models/.hidden"));
        assert_int_equal(open_sized(f, MIB), MOUNT_COVERS_FILES);
        assert_true(exists(below(f, "disk/models/.hidden")));
}

static void files_on_a_tmpfs_are_not_covered_but_joined(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(f->target, 0755), 0);
        touch(below(f, "shm/models/there"));
        assert_int_equal(open_sized(f, 7 * MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_DIRECTORY);
        assert_false(f->mount.made_directory);
        assert_int_equal(f->mount.budget, 7 * MIB);
        assert_true(exists(below(f, "shm/models/there")));
        assert_int_equal(mount_close(&f->mount, f->target, true), 0);
        assert_true(exists(below(f, "shm/models/there")));
}

static void a_symbolic_link_is_refused(void **state) {
        static const char *const links[] = { "disk", "nowhere" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(links); i++) {
                assert_int_equal(symlink(below(f, links[i]), f->target), 0);
                assert_int_equal(open_sized(f, MIB), -ELOOP);
                assert_string_equal(f->what, "open");
                assert_int_equal(unlink(f->target), 0);
        }
        assert_false(exists(below(f, "nowhere")));
}

static void a_link_above_the_target_is_seen_through(void **state) {
        Fixture *f = *state;

        assert_int_equal(mkdir(below(f, "shm/models"), 0755), 0);
        mount_plain("tmpfs", below(f, "shm/models"), "size=1m");
        assert_int_equal(symlink("shm", below(f, "link")), 0);
        aim(f, "link/models");
        assert_int_equal(open_sized(f, MIB), 0);
        assert_int_equal(f->mount.kind, MOUNT_FOUND);
}

static void a_target_that_is_no_directory_is_an_error(void **state) {
        Fixture *f = *state;

        touch(f->target);
        assert_int_equal(open_sized(f, MIB), -ENOTDIR);
        assert_string_equal(f->what, "open");
        aim(f, "shm/models/deeper");
        assert_int_equal(open_sized(f, MIB), -ENOTDIR);
}

static int check_disk_is_refused(Fixture *f) {
        aim(f, "disk/deep/models");
        HOLDS(open_sized(f, MIB) == MOUNT_NOT_TMPFS);
        HOLDS(!exists(below(f, "disk/deep")));
        aim(f, "disk");
        HOLDS(open_sized(f, MIB) == MOUNT_NOT_TMPFS);
        return 0;
}

static void without_rights_a_disk_is_refused_and_left_as_it_was(void **state) {
        as_nobody(*state, check_disk_is_refused);
}

static int check_directory_is_made(Fixture *f) {
        aim(f, "shm/a/models");
        HOLDS(open_sized(f, 5 * MIB) == 0);
        HOLDS(f->mount.kind == MOUNT_DIRECTORY);
        HOLDS(f->mount.made_directory);
        HOLDS(f->mount.budget == 5 * MIB);
        HOLDS(mount_close(&f->mount, f->target, true) == 0);
        HOLDS(!exists(f->target));
        return 0;
}

static void without_rights_a_directory_on_a_tmpfs_is_made_and_removed(void **state) {
        as_nobody(*state, check_directory_is_made);
}

static int check_directory_is_kept(Fixture *f) {
        HOLDS(open_sized(f, MIB) == 0);
        HOLDS(close(openat(f->mount.fd, "left", O_CREAT | O_WRONLY, 0644)) == 0);
        HOLDS(mount_close(&f->mount, f->target, true) == 0);
        HOLDS(exists(f->target));
        HOLDS(open_sized(f, MIB) == 0);
        HOLDS(!f->mount.made_directory);
        return 0;
}

static void a_directory_with_something_in_it_is_not_removed(void **state) {
        as_nobody(*state, check_directory_is_kept);
}

static int check_found(Fixture *f) {
        HOLDS(open_sized(f, 8 * MIB) == 0);
        HOLDS(f->mount.kind == MOUNT_FOUND);
        HOLDS(f->mount.budget == 2 * MIB);
        return 0;
}

static void without_rights_our_own_mount_is_one_that_was_found(void **state) {
        Fixture *f = *state;

        assert_int_equal(open_sized(f, 2 * MIB), 0);
        as_nobody(f, check_found);
}

static int check_no_way_in(Fixture *f) {
        HOLDS(open_sized(f, MIB) == -EACCES);
        HOLDS(f->what != NULL);
        return 0;
}

static void a_target_that_may_not_be_made_is_an_error(void **state) {
        Fixture *f = *state;

        assert_int_equal(chmod(below(f, "shm"), 0755), 0);
        as_nobody(f, check_no_way_in);
        assert_int_equal(chmod(below(f, "shm"), 0700), 0);
        as_nobody(f, check_no_way_in);
}

static void closing_leaves_what_was_mounted_over_ours(void **state) {
        Fixture *f = *state;

        assert_int_equal(open_sized(f, MIB), 0);
        mount_plain("tmpfs", f->target, "size=1m");
        touch(below(f, "shm/models/theirs"));
        assert_int_equal(mount_close(&f->mount, f->target, true), -EBUSY);
        assert_true(exists(below(f, "shm/models/theirs")));
}

static void closing_after_another_process_unmounted_is_fine(void **state) {
        Fixture *f = *state;

        assert_int_equal(open_sized(f, MIB), 0);
        assert_int_equal(umount2(f->target, MNT_DETACH), 0);
        assert_int_equal(mount_close(&f->mount, f->target, true), 0);
        assert_false(exists(f->target));
}

static void a_reader_keeps_what_it_has_mapped(void **state) {
        Fixture *f = *state;
        char *map;
        int fd;

        assert_int_equal(open_sized(f, MIB), 0);
        fd = openat(f->mount.fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "model", 5), 5);
        map = mmap(NULL, 5, PROT_READ, MAP_SHARED, fd, 0);
        assert_true(map != MAP_FAILED);
        assert_int_equal(mount_close(&f->mount, f->target, true), 0);
        assert_false(exists(f->target));
        assert_memory_equal(map, "model", 5);
        assert_int_equal(munmap(map, 5), 0);
        (void) close(fd);
}

/* In a child, so that the environment and the /run of the others stay as they are. */
static void as_service(Fixture *f, int (*check)(Fixture *f), bool own_pid_1) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                int line = __LINE__;

                if (unshare(CLONE_NEWNS | (own_pid_1 ? CLONE_NEWPID : 0)) < 0)
                        _exit(2);
                if (mount("run", "/run", "tmpfs", 0, "") < 0 || mkdir("/run/systemd", 0755) < 0 ||
                    mkdir("/run/systemd/system", 0755) < 0 || setenv("INVOCATION_ID", "1", 1) < 0)
                        _exit(3);
                pid = fork();
                if (pid == 0) {
                        if (own_pid_1 && mount("proc", "/proc", "proc", 0, "") < 0)
                                _exit(4);
                        line = check(f);
                        if (line != 0)
                                fprintf(stderr, "%s:%d: does not hold as a service\n", __FILE__, line);
                        _exit(line != 0);
                }
                _exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static int check_sandboxed(Fixture *f) {
        HOLDS(open_sized(f, MIB) == 0);
        HOLDS(f->mount.kind == MOUNT_DIRECTORY);
        HOLDS(mount_close(&f->mount, f->target, true) == 0);
        aim(f, "disk/a/models");
        HOLDS(open_sized(f, MIB) == MOUNT_INVISIBLE);
        HOLDS(!exists(below(f, "disk/a")));
        aim(f, "disk");
        HOLDS(open_sized(f, MIB) == MOUNT_INVISIBLE);
        aim(f, "shm");
        HOLDS(open_sized(f, MIB) == 0);
        HOLDS(f->mount.kind == MOUNT_FOUND);
        return 0;
}

static void a_service_with_its_own_namespace_does_not_mount(void **state) {
        as_service(*state, check_sandboxed, false);
}

static int check_visible(Fixture *f) {
        HOLDS(open_sized(f, MIB) == 0);
        HOLDS(f->mount.kind == MOUNT_MADE);
        return 0;
}

static void a_service_in_the_namespace_of_pid_1_mounts(void **state) {
        as_service(*state, check_visible, true);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(the_answers_are_those_of_a_real_mount),
                CASE(what_is_not_requested_is_not_probed),
                CASE(an_option_that_the_kernel_refuses_is_left_out),
                CASE(the_option_text_names_what_was_taken),
                CASE(the_automatic_policy_asks_for_what_the_machine_has),
                CASE(without_rights_the_answer_is_unknown),
                CASE(a_missing_target_is_made_and_mounted),
                CASE(a_size_of_nothing_is_not_a_size_without_limit),
                CASE(an_empty_directory_is_mounted_on_and_left_there),
                CASE(our_own_mount_is_known_after_a_crash),
                CASE(a_tmpfs_that_we_did_not_mount_is_used_and_not_unmounted),
                CASE(a_tmpfs_without_a_limit_leaves_the_budget_alone),
                CASE(the_options_of_a_found_tmpfs_are_read_from_the_table),
                CASE(a_found_tmpfs_has_the_policy_that_is_wanted_or_another),
                CASE(another_filesystem_on_the_target_is_refused),
                CASE(the_topmost_of_stacked_mounts_counts),
                CASE(a_mount_that_lies_under_another_does_not_count),
                CASE(a_bound_directory_of_a_tmpfs_is_a_mount_point),
                CASE(files_on_a_disk_are_not_covered),
                CASE(files_on_a_tmpfs_are_not_covered_but_joined),
                CASE(a_symbolic_link_is_refused),
                CASE(a_link_above_the_target_is_seen_through),
                CASE(a_target_that_is_no_directory_is_an_error),
                CASE(without_rights_a_disk_is_refused_and_left_as_it_was),
                CASE(without_rights_a_directory_on_a_tmpfs_is_made_and_removed),
                CASE(a_directory_with_something_in_it_is_not_removed),
                CASE(without_rights_our_own_mount_is_one_that_was_found),
                CASE(a_target_that_may_not_be_made_is_an_error),
                CASE(closing_leaves_what_was_mounted_over_ours),
                CASE(closing_after_another_process_unmounted_is_fine),
                CASE(a_reader_keeps_what_it_has_mapped),
                CASE(a_service_with_its_own_namespace_does_not_mount),
                CASE(a_service_in_the_namespace_of_pid_1_mounts),
        };

        /* without systemd's variable the tests run by hand, whatever started them */
        if (unsetenv("INVOCATION_ID") < 0 || unshare(CLONE_NEWNS) < 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
                fprintf(stderr, "a mount namespace is needed for these tests: %s\n", strerror(errno));
                return EXIT_FAILURE;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
