/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Whole plans on a real pool, with real trees: in which order things happen, on which threads, and how it ends. */

#include "ground.h"
#include "mirror/base-update.h"
#include "stage/execute.h"
#include "tree/scan.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>

#define CHUNK (64 * KIB)
enum { WORKERS = 4, REPORTS_MAX = 1024 };

typedef struct Report {
        char path[64];
        PlanAction action;
        TaskOutcome outcome;
        bool finish;
} Report;

/* A mirror's daemon without the daemon: source/ and mirror/, a pool, and what was reported. */
typedef struct Rig {
        MirrorPrivateDir private_dir;
        TaskContext context;
        Manifest *base, *source, *mirror, *changes;
        Plan *plan;
        atomic_bool cancel;
        atomic_uint_fast64_t progress, steps;
        char source_path[64];
        Pool *pool;
        Execution *execution;
        pthread_t loop;
        bool in_start, cancel_at_first;
        unsigned finished;
        Report reports[REPORTS_MAX];
        size_t n;
} Rig;

static Rig rig;

static int setup(void **state) {
        _cleanup_(freep) char *detail = NULL;
        const char *what;

        (void) ground_setup(state);
        make_directory("source");
        make_tmpfs("mirror", "size=200m");
        rig = (Rig){ .context = { .sourcefd = open_directory("source"), .chunk_size = CHUNK, .journalfd = -1 }, .loop = pthread_self() };
        (void) snprintf(rig.source_path, sizeof(rig.source_path), "%s/source", ground_base);
        assert_int_equal(mirror_private_dir_open(&rig.private_dir, open_directory("mirror"), "/m", rig.source_path, &detail, &what), 0);
        assert_int_equal(manifest_new(&rig.base), 0);
        assert_int_equal(pool_new(WORKERS, &rig.pool), 0);
        rig.context.source_path = rig.source_path;
        rig.context.private_dir = &rig.private_dir;
        rig.context.cancel = &rig.cancel;
        rig.context.progress = &rig.progress;
        rig.context.steps = &rig.steps;
        return 0;
}

static int teardown(void **state) {
        rig.pool = pool_free(rig.pool);
        rig.plan = plan_free(rig.plan);
        rig.base = manifest_free(rig.base);
        rig.source = manifest_free(rig.source);
        rig.mirror = manifest_free(rig.mirror);
        mirror_private_dir_close(&rig.private_dir, true);
        (void) close_fd(rig.private_dir.mirrorfd);
        (void) close_fd(rig.context.sourcefd);
        assert_int_equal(umount2("mirror", MNT_DETACH), 0);
        return ground_teardown(state);
}

static void on_report(const Task *task, void *userdata) {
        Report *report = &rig.reports[rig.n++];

        assert_ptr_equal(userdata, &rig);
        assert_true(pthread_equal(pthread_self(), rig.loop));
        assert_false(rig.in_start);
        assert_int_equal(rig.finished, 0);
        assert_true(rig.n <= REPORTS_MAX);
        (void) snprintf(report->path, sizeof(report->path), "%s", plan_item_path(task->item));
        report->action = task->item->action;
        report->outcome = task->outcome;
        report->finish = task->finish;
        base_update_note(rig.changes, task);
        if (rig.cancel_at_first)
                atomic_store(&rig.cancel, true);
}

/* As in the daemon, the execution is freed from here. */
static void on_finished(void *userdata) {
        assert_ptr_equal(userdata, &rig);
        assert_true(pthread_equal(pthread_self(), rig.loop));
        assert_false(rig.in_start);
        rig.execution = execute_free(rig.execution);
        rig.finished++;
}

/* Both sides as they are now, and what is to be done. */
static void make_plan(void) {
        static char *nothing[] = { NULL };
        ScanOptions of_source = { .root = rig.source_path }, of_mirror = { .root = "/m", .mirror = true };
        PlanInput input = { .source_path = rig.source_path, .priority = nothing };

        rig.source = manifest_free(rig.source);
        rig.mirror = manifest_free(rig.mirror);
        assert_int_equal(scan_tree(rig.context.sourcefd, &of_source, &rig.source), 0);
        assert_int_equal(scan_tree(rig.private_dir.mirrorfd, &of_mirror, &rig.mirror), 0);
        input.base = rig.base;
        input.source = rig.source;
        input.mirror = rig.mirror;
        assert_int_equal(plan_new(&input, &rig.plan), 0);
}

/* Carries out the plan, calling @tick (may be NULL) between two turns of the loop. */
static void carry_out(void (*tick)(void)) {
        ExecutionCallbacks callbacks = { .report = on_report, .finished = on_finished, .userdata = &rig };
        struct pollfd pool = { .fd = pool_get_fd(rig.pool), .events = POLLIN };

        rig.n = rig.finished = 0;
        assert_int_equal(manifest_new(&rig.changes), 0);
        assert_int_equal(execute_new(&rig.execution, rig.pool, rig.plan, &rig.context, &callbacks), 0);
        assert_null(execute_current_path(rig.execution));
        rig.in_start = true;
        execute_start(rig.execution);
        rig.in_start = false;
        while (rig.finished == 0) {
                assert_true(poll(&pool, 1, 10) >= 0);
                pool_dispatch(rig.pool);
                if (tick)
                        tick();
        }
        assert_int_equal(rig.finished, 1);
        base_update_merge(rig.base, rig.source, &rig.plan, &rig.changes);
}

static void assert_all_ended_well(void) {
        for (size_t i = 0; i < rig.n; i++)
                if (rig.reports[i].outcome != TASK_AGREED && rig.reports[i].outcome != TASK_REMOVED)
                        fail_msg("'%s' ended with outcome %d", rig.reports[i].path, rig.reports[i].outcome);
}

/* Where in the reports the item is; in the last phase a directory is reported once more. */
static size_t place_of(const char *path, bool finish) {
        for (size_t i = 0; i < rig.n; i++)
                if (strcmp(rig.reports[i].path, path) == 0 && rig.reports[i].finish == finish)
                        return i;
        fail_msg("'%s' was not reported", path);
        return 0;
}

#define FIRST(a, b) assert_true(place_of(a, false) < place_of(b, false))

static void an_empty_plan_ends_too_and_not_before_start_returns(void **state) {
        (void) state;
        make_plan();
        carry_out(NULL);
        assert_int_equal(rig.n, 0);
}

static void directories_come_first_then_files_then_links_then_the_attributes_of_directories(void **state) {
        (void) state;
        shell("mkdir -p source/z/y && cd source && echo 1 > z/y/file && echo 2 > first && ln -s z/y/file a-symlink && ln z/y/file z/y/link && touch -d @1000 z z/y");
        make_plan();
        carry_out(NULL);
        assert_all_ended_well();
        FIRST("z", "z/y");
        FIRST("z/y", "first");
        FIRST("z/y", "z/y/file");
        FIRST("first", "a-symlink");
        FIRST("z/y/file", "a-symlink");
        FIRST("z/y/file", "z/y/link");
        assert_true(place_of("z/y/link", false) < place_of("z", true));
        assert_true(place_of("z/y/link", false) < place_of("z/y", true));
        shell("test $(stat -c %Y mirror/z) = 1000 && test $(stat -c %Y mirror/z/y) = 1000"); /* nothing was put into them later */
}

static void removals_come_before_all_else_and_those_of_directories_after_what_was_in_them(void **state) {
        (void) state;
        shell("mkdir -p source/old/deep && echo 1 > source/old/deep/file && echo 2 > source/old/file && ln -s file source/old/link && echo 3 > source/kept");
        make_plan();
        carry_out(NULL);
        assert_all_ended_well();
        shell("rm -r source/old && mkdir source/new && echo 4 > source/new/file");
        make_plan();
        carry_out(NULL);
        assert_all_ended_well();
        FIRST("old/deep/file", "old/deep");
        FIRST("old/file", "old/deep");
        FIRST("old/link", "old/deep");
        FIRST("old/deep", "old");
        FIRST("old", "new");
        shell("test ! -e mirror/old && cmp source/new/file mirror/new/file && cmp source/kept mirror/kept");
}

static void many_small_files_are_reported_once_each(void **state) {
        (void) state;
        shell("cd source && for i in $(seq 500); do echo $i > f$i; done");
        make_plan();
        carry_out(NULL);
        assert_all_ended_well();
        assert_int_equal(rig.n, 500);
        for (size_t i = 0; i < rig.n; i++)
                assert_int_equal(place_of(rig.reports[i].path, false), i);
        shell("diff -r --exclude=.shmstaged source mirror");
}

/* With @remember, notes how much each thread but this one has read; else returns how many have read at least a chunk since then. */
static size_t count_readers(uint64_t before[static 64], bool remember) {
        DIR *tasks = opendir("/proc/self/task");
        size_t n = 0, i = 0;

        assert_non_null(tasks);
        for (struct dirent *d; tasks && (d = readdir(tasks));) {
                char path[300], line[64] = "";
                unsigned long long bytes = 0;
                FILE *io;

                if (d->d_name[0] == '.' || atoi(d->d_name) == getpid())
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/self/task/%s/io", d->d_name);
                io = fopen(path, "re");
                assert_non_null(io);
                assert_non_null(fgets(line, sizeof(line), io));
                (void) fclose(io);
                assert_int_equal(sscanf(line, "rchar: %llu", &bytes), 1);
                assert_true(i < 64);
                if (remember)
                        before[i] = bytes;
                else
                        n += bytes - before[i] >= CHUNK;
                i++;
        }
        (void) closedir(tasks);
        return n;
}

static void a_large_file_is_shared_by_workers_but_under_a_limit_only_by_half_of_them(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = NULL;
        uint64_t before[64] = {};

        (void) state;
        free(put_pattern("source/large", 8 * MIB, 1));
        assert_int_equal(ratelimit_new(32 * MIB, &limit), 0); /* so that none of them can be over before another begins */
        rig.context.limit = limit;
        make_plan();
        (void) count_readers(before, true);
        carry_out(NULL);
        assert_all_ended_well();
        assert_int_equal(rig.n, 1);
        assert_int_equal(count_readers(before, false), WORKERS / 2);
        shell("cmp source/large mirror/large");
}

static void small_files_and_large_ones_come_in_one_plan(void **state) {
        (void) state;
        for (int i = 0; i < 6; i++) {
                char path[32];

                (void) snprintf(path, sizeof(path), "source/large-%d", i);
                free(put_pattern(path, MIB + (size_t) i * 1234, (uint64_t) i));
                (void) snprintf(path, sizeof(path), "source/small-%d", i);
                free(put_pattern(path, 1000 + (size_t) i, (uint64_t) i));
        }
        make_plan();
        carry_out(NULL);
        assert_all_ended_well();
        assert_int_equal(rig.n, 12);
        shell("diff -r --exclude=.shmstaged source mirror");
}

static void what_is_cancelled_is_reported_as_that_and_leaves_nothing_half(void **state) {
        size_t agreed = 0, cancelled = 0;

        (void) state;
        shell("cd source && for i in $(seq 900); do echo $i > f$i; done");
        rig.cancel_at_first = true;
        make_plan();
        carry_out(NULL);
        assert_int_equal(rig.n, 900);
        for (size_t i = 0; i < rig.n; i++) {
                agreed += rig.reports[i].outcome == TASK_AGREED;
                cancelled += rig.reports[i].outcome == TASK_CANCELLED;
        }
        assert_true(agreed > 0 && cancelled > 0);
        assert_int_equal(agreed + cancelled, 900);
        assert_true(agreed <= (WORKERS + 2) * 64); /* no more than were with the pool */
        shell("for f in mirror/f*; do cmp source/${f#mirror/} $f || exit 1; done");
}

static void cancel_when_it_is_under_way(void) {
        if (atomic_load(&rig.progress) > 0)
                atomic_store(&rig.cancel, true);
}

static void a_large_file_can_be_cancelled_in_the_middle(void **state) {
        _cleanup_(ratelimit_freep) RateLimit *limit = NULL;

        (void) state;
        free(put_pattern("source/large", 64 * MIB, 1));
        assert_int_equal(ratelimit_new(MIB, &limit), 0); /* it would take a minute */
        rig.context.limit = limit;
        make_plan();
        carry_out(cancel_when_it_is_under_way);
        assert_int_equal(rig.n, 1);
        assert_int_equal(rig.reports[0].outcome, TASK_CANCELLED);
        assert_true(atomic_load(&rig.progress) < 8 * MIB);
        shell("test ! -e mirror/large && test \"$(ls -A mirror/.shmstaged | grep -c ^t)\" = 0");
}

static void what_goes_wrong_with_one_file_does_not_hold_up_the_others(void **state) {
        (void) state;
        shell("cd source && echo 1 > a && echo 2 > goes && echo 3 > z");
        free(put_pattern("source/large", MIB, 1));
        free(put_pattern("source/large-goes", MIB, 1));
        make_plan();
        shell("rm source/goes source/large-goes");
        carry_out(NULL);
        assert_int_equal(rig.n, 5);
        for (size_t i = 0; i < rig.n; i++)
                assert_int_equal(rig.reports[i].outcome, strstr(rig.reports[i].path, "goes") ? TASK_GONE : TASK_AGREED);
        shell("cmp source/a mirror/a && cmp source/z mirror/z && cmp source/large mirror/large && test ! -e mirror/goes && test ! -e mirror/large-goes");
}

#define IN_A_RIG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_A_RIG(an_empty_plan_ends_too_and_not_before_start_returns),
                IN_A_RIG(directories_come_first_then_files_then_links_then_the_attributes_of_directories),
                IN_A_RIG(removals_come_before_all_else_and_those_of_directories_after_what_was_in_them),
                IN_A_RIG(many_small_files_are_reported_once_each),
                IN_A_RIG(a_large_file_is_shared_by_workers_but_under_a_limit_only_by_half_of_them),
                IN_A_RIG(small_files_and_large_ones_come_in_one_plan),
                IN_A_RIG(what_is_cancelled_is_reported_as_that_and_leaves_nothing_half),
                IN_A_RIG(a_large_file_can_be_cancelled_in_the_middle),
                IN_A_RIG(what_goes_wrong_with_one_file_does_not_hold_up_the_others),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
