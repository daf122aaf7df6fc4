/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which nodes there are, what is asked for on them, and what the kernel says is in force. */

#include "ground.h"
#include "os/numa.h"

static void lists_of_nodes_are_read_as_the_kernel_writes_them(void **state) {
        static const struct { const char *text; unsigned n; } good[] = {
                { "", 0 }, { "0", 1 }, { "7", 1 }, { "0-1", 2 }, { "0,2-3", 3 }, { "0-3,8-11,1023", 9 },
                { "1,0", 2 }, { "2,2,1-3", 3 }, { "0-1023", 1024 }, { "63-64", 2 }, { "5-5", 1 },
        };
        static const char *const bad[] = {
                " ", "a", "0a", "0 1", "0,", ",0", "0,,1", "-", "-1", "1-", "3-1", "0--1", "0-1-2", "1024", "0-1024",
                "99999999999999999999", "0\n", "all", "0x1",
        };
        NumaNodes nodes;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                assert_true(numa_parse_nodes(good[i].text, &nodes));
                assert_int_equal(numa_count_nodes(&nodes), good[i].n);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                nodes.bits[0] = 0x55;
                if (numa_parse_nodes(bad[i], &nodes))
                        fail_msg("'%s' was taken for a list", bad[i]);
                assert_int_equal(nodes.bits[0], 0x55);
        }
}

static void the_right_nodes_are_in_the_set(void **state) {
        NumaNodes nodes;

        (void) state;
        assert_true(numa_parse_nodes("0,2-3,64", &nodes));
        assert_int_equal(nodes.bits[0], 0xd);
        assert_int_equal(nodes.bits[1], 1);
}

static unsigned nodes_of(const char *has_memory, const char *has_normal_memory) {
        shell("rm -rf sys && mkdir -p sys/devices/system/node");
        if (has_memory)
                put_text("sys/devices/system/node/has_memory", has_memory);
        if (has_normal_memory)
                put_text("sys/devices/system/node/has_normal_memory", has_normal_memory);
        return numa_read_nodes("sys");
}

static void the_nodes_with_memory_are_counted(void **state) {
        (void) state;
        assert_int_equal(nodes_of("0\n", "0\n"), 1);
        assert_int_equal(nodes_of("0-1\n", "0\n"), 2);
        assert_int_equal(nodes_of("0,4-6\n", NULL), 4);
        assert_int_equal(nodes_of(NULL, "0-2\n"), 3);
        assert_int_equal(nodes_of("\n", "0-1\n"), 2);
        assert_int_equal(nodes_of("nonsense\n", "0-1\n"), 2);
}

static void without_a_list_there_is_one_node(void **state) {
        (void) state;
        assert_int_equal(nodes_of(NULL, NULL), 1);
        assert_int_equal(nodes_of("\n", "\n"), 1);
        assert_int_equal(nodes_of("nonsense\n", "nonsense\n"), 1);
        assert_int_equal(numa_read_nodes("nowhere"), 1);
        assert_true(numa_read_nodes("/sys") >= 1);
}

static void what_is_asked_for_depends_on_the_nodes_only_if_it_is_automatic(void **state) {
        static const char *const fixed[] = { "local", "interleave", "interleave:0", "bind:0-1", "prefer:1" };

        (void) state;
        for (unsigned n = 1; n < 4; n++) {
                assert_null(numa_wanted(NULL, n));
                assert_null(numa_wanted("default", n));
                for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                        assert_string_equal(numa_wanted(fixed[i], n), fixed[i]);
        }
        assert_null(numa_wanted("auto", 1));
        assert_string_equal(numa_wanted("auto", 2), "interleave");
        assert_string_equal(numa_wanted("auto", 8), "interleave");
}

static void the_policy_is_found_among_the_options_of_a_mount(void **state) {
        static const struct { const char *options, *policy; } cases[] = {
                { NULL, "" },
                { "", "" },
                { "rw,size=1024k", "" },
                { "mpol=local", "local" },
                { "rw,size=1024k,mpol=interleave:0-1", "interleave:0-1" },
                { "rw,mpol=bind:0,2,5-6,noswap", "bind:0,2,5-6" },
                { "rw,mpol=bind=static:0,2,inode64", "bind=static:0,2" },
                { "rw,mpol=bind:0,", "bind:0" },
                { "rw,xmpol=bind:0", "" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *policy = numa_in_force(cases[i].options);

                assert_string_equal(policy, cases[i].policy);
        }
}

static void policies_are_the_same_whatever_their_spelling(void **state) {
        static const struct { const char *wanted, *in_force; unsigned n_nodes; bool same; } cases[] = {
                { "interleave", "interleave:0-1", 2, true },
                { "interleave", "interleave:0", 2, false },
                { "interleave", "interleave:0,2", 2, true },
                { "interleave", "interleave", 2, true },
                { "interleave:0,1", "interleave:0-1", 4, true },
                { "interleave:0", "interleave:0-1", 2, false },
                { "interleave:0", "interleave", 1, false },
                { "bind:3,1,2", "bind:1-3", 4, true },
                { "bind:0", "prefer:0", 1, false },
                { "bind:0", "", 1, false },
                { "local", "local", 1, true },
                { "local", "", 1, false },
                { "inter", "interleave", 1, false },
                { "interleave", "interleave:?", 1, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (numa_is_same(cases[i].wanted, cases[i].in_force, cases[i].n_nodes) != cases[i].same)
                        fail_msg("'%s' and '%s' on %u nodes", cases[i].wanted, cases[i].in_force, cases[i].n_nodes);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lists_of_nodes_are_read_as_the_kernel_writes_them),
                cmocka_unit_test(the_right_nodes_are_in_the_set),
                ON_GROUND(the_nodes_with_memory_are_counted),
                ON_GROUND(without_a_list_there_is_one_node),
                cmocka_unit_test(what_is_asked_for_depends_on_the_nodes_only_if_it_is_automatic),
                cmocka_unit_test(the_policy_is_found_among_the_options_of_a_mount),
                cmocka_unit_test(policies_are_the_same_whatever_their_spelling),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
