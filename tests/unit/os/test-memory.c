/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What os/memory.c reads, from directories made here; and once from the machine itself. */

#include "os/fs.h"
#include "os/own-file.h"
#include "os/memory.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Fixture {
        char root[64], proc[80], cgroup[80];
        MemoryFacts facts;
} Fixture;

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *ftw _unused_) {
        return remove(path);
}

/* Writes @content to @path below the fixture's root; directories are made on the way. */
static void put(Fixture *f, const char *path, const char *content) {
        char full[512], *slash;
        FILE *file;

        (void) snprintf(full, sizeof(full), "%s/%s", f->root, path);
        slash = strrchr(full, '/');
        *slash = '\0';
        assert_int_equal(own_file_make_path(full), 0);
        *slash = '/';
        file = fopen(full, "we");
        assert_non_null(file);
        assert_true(fputs(content, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        (void) snprintf(f->root, sizeof(f->root), "/tmp/test-memory-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        (void) snprintf(f->proc, sizeof(f->proc), "%s/proc", f->root);
        (void) snprintf(f->cgroup, sizeof(f->cgroup), "%s/cgroup", f->root);
        put(f, "proc/meminfo",
            "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\nSwapTotal:       50 kB\n");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        memory_facts_done(&f->facts);
        assert_int_equal(nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        free(f);
        return 0;
}

static void assert_limit(Fixture *f, uint64_t left, const char *group) {
        assert_int_equal(memory_read(f->proc, f->cgroup, &f->facts), 0);
        assert_int_equal(f->facts.cgroup_left, left);
        if (group)
                assert_string_equal(f->facts.cgroup, group);
        else
                assert_null(f->facts.cgroup);
        memory_facts_done(&f->facts);
}

static void meminfo_is_read_in_bytes(void **state) {
        Fixture *f = *state;

        assert_int_equal(memory_read(f->proc, f->cgroup, &f->facts), 0);
        assert_int_equal(f->facts.total, 1000 * KIB);
        assert_int_equal(f->facts.available, 600 * KIB);
        assert_int_equal(f->facts.swap_total, 50 * KIB);
}

static void a_machine_without_cgroups_is_unlimited(void **state) {
        assert_limit(*state, UINT64_MAX, NULL);
}

static void a_group_that_cannot_be_seen_sets_no_limit(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/somewhere/else\n");
        assert_limit(f, UINT64_MAX, NULL);
        put(f, "cgroup/memory.stat", "anon 1\n");
        assert_limit(f, UINT64_MAX, NULL);
}

static void max_means_unlimited(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/a\n");
        put(f, "cgroup/a/memory.max", "max\n");
        put(f, "cgroup/a/memory.current", "12345\n");
        assert_limit(f, UINT64_MAX, NULL);
}

static void the_tightest_of_nested_groups_counts(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/a/b/c\n");
        put(f, "cgroup/a/memory.max", "1000\n");
        put(f, "cgroup/a/memory.current", "900\n");
        put(f, "cgroup/a/b/memory.max", "max\n");
        put(f, "cgroup/a/b/memory.current", "800\n");
        put(f, "cgroup/a/b/c/memory.max", "500\n");
        put(f, "cgroup/a/b/c/memory.current", "300\n");
        assert_limit(f, 100, "/a");
        put(f, "cgroup/a/memory.max", "5000\n");
        assert_limit(f, 200, "/a/b/c");
}

static void a_limit_on_the_root_of_a_container_counts(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/\n");
        put(f, "cgroup/memory.max", "4096\n");
        put(f, "cgroup/memory.current", "96\n");
        assert_limit(f, 4000, "/");
}

static void a_group_outside_of_our_namespace_is_read_from_the_root(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/../../other\n");
        put(f, "cgroup/memory.max", "4096\n");
        put(f, "cgroup/memory.current", "96\n");
        put(f, "other/memory.max", "1\n");
        assert_limit(f, 4000, "/");
}

static void page_cache_counts_as_left_and_tmpfs_does_not(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/a\n");
        put(f, "cgroup/a/memory.max", "1000\n");
        put(f, "cgroup/a/memory.current", "900\n");
        put(f, "cgroup/a/memory.stat",
            "anon 100\nfile 800\nshmem 500\ninactive_anon 300\nactive_file 100\ninactive_file 200\n");
        assert_limit(f, 400, "/a");
        put(f, "cgroup/a/memory.stat", "inactive_file 5000\n");
        assert_limit(f, 1000, "/a");
}

static void a_group_over_its_limit_leaves_nothing(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/a\n");
        put(f, "cgroup/a/memory.max", "1000\n");
        put(f, "cgroup/a/memory.current", "1001\n");
        assert_limit(f, 0, "/a");
}

static void version_1_is_read_where_it_has_the_memory_controller(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "9:name=systemd:/s\n4:hugetlb,memory:/m/n\n1:cpu:/\n0::/u\n");
        put(f, "cgroup/memory.max", "1\n");
        put(f, "cgroup/u/memory.max", "1\n");
        put(f, "cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        put(f, "cgroup/memory/memory.usage_in_bytes", "5000\n");
        put(f, "cgroup/memory/m/memory.limit_in_bytes", "1000\n");
        put(f, "cgroup/memory/m/memory.usage_in_bytes", "700\n");
        put(f, "cgroup/memory/m/memory.stat", "active_file 999\ntotal_active_file 10\ntotal_inactive_file 40\n");
        assert_limit(f, 350, "/m");
}

static void a_controller_whose_name_only_contains_memory_is_another(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "4:memory2,xmemory:/m\n0::/u\n");
        put(f, "cgroup/memory/m/memory.limit_in_bytes", "1\n");
        put(f, "cgroup/u/memory.max", "70\n");
        put(f, "cgroup/u/memory.current", "0\n");
        assert_limit(f, 70, "/u");
}

static void garbage_in_meminfo_is_an_error(void **state) {
        static const char *const texts[] = {
                "", "garbage", "MemTotal: 1000 kB\n", "MemTotal: many kB\nMemAvailable: 1 kB\n",
                "MemTotal: -5 kB\nMemAvailable: 1 kB\n", "MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB\n",
                "MemTotal: 99999999999999999999 kB\nMemAvailable: 1 kB\n",
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                put(f, "proc/meminfo", texts[i]);
                assert_int_equal(memory_read(f->proc, f->cgroup, &f->facts), -EBADMSG);
        }
}

static void garbage_in_a_limit_is_an_error(void **state) {
        static const char *const texts[] = { "", "\n", "-1\n", "12x\n", "99999999999999999999\n" };
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "0::/a\n");
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                put(f, "cgroup/a/memory.max", texts[i]);
                assert_int_equal(memory_read(f->proc, f->cgroup, &f->facts), -EBADMSG);
        }
        put(f, "cgroup/a/memory.max", "1000\n");
        put(f, "cgroup/a/memory.current", "lots\n");
        assert_int_equal(memory_read(f->proc, f->cgroup, &f->facts), -EBADMSG);
}

static void garbage_in_the_list_of_groups_is_passed_over(void **state) {
        Fixture *f = *state;

        put(f, "proc/self/cgroup", "\n::\nnonsense\n0:\n:::\n0::/a");
        put(f, "cgroup/a/memory.max", "10\n");
        assert_limit(f, 10, "/a");
}

static void a_missing_proc_is_an_error(void **state) {
        Fixture *f = *state;

        assert_int_equal(memory_read("/nonexistent", f->cgroup, &f->facts), -ENOENT);
        put(f, "empty/x", "");
        (void) snprintf(f->proc, sizeof(f->proc), "%s/empty", f->root);
        assert_int_equal(memory_read(f->proc, f->cgroup, &f->facts), -ENOENT);
}

static void this_machine_can_be_read(void **state) {
        Fixture *f = *state;

        assert_int_equal(memory_read("/proc", "/sys/fs/cgroup", &f->facts), 0);
        assert_true(f->facts.total >= 64 * MIB);
        assert_true(f->facts.available <= f->facts.total);
        assert_true((f->facts.cgroup_left == UINT64_MAX) == (f->facts.cgroup == NULL));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(meminfo_is_read_in_bytes),
                CASE(a_machine_without_cgroups_is_unlimited),
                CASE(a_group_that_cannot_be_seen_sets_no_limit),
                CASE(max_means_unlimited),
                CASE(the_tightest_of_nested_groups_counts),
                CASE(a_limit_on_the_root_of_a_container_counts),
                CASE(a_group_outside_of_our_namespace_is_read_from_the_root),
                CASE(page_cache_counts_as_left_and_tmpfs_does_not),
                CASE(a_group_over_its_limit_leaves_nothing),
                CASE(version_1_is_read_where_it_has_the_memory_controller),
                CASE(a_controller_whose_name_only_contains_memory_is_another),
                CASE(garbage_in_meminfo_is_an_error),
                CASE(garbage_in_a_limit_is_an_error),
                CASE(garbage_in_the_list_of_groups_is_passed_over),
                CASE(a_missing_proc_is_an_error),
                CASE(this_machine_can_be_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
