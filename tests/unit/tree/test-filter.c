/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Include=, Exclude= and Priority=: which pattern takes which path. */

#include "ground.h"
#include "tree/filter.h"

static char *none[] = { NULL };

static void patterns_take_what_they_should(void **state) {
        static const struct {
                const char *pattern, *path;
                bool matches;
        } rows[] = {
                /* without a slash: any name on the way */
                { "*.gguf", "llama.gguf", true },
                { "*.gguf", "a/b/llama.gguf", true },
                { "*.gguf", "llama.gguf.part", false },
                { "*.gguf", "dir.gguf/readme", true },
                { "old", "old", true },
                { "old", "models/old/x.gguf", true },
                { "old", "older", false },
                { "old", "models/older/x", false },
                { "*", "anything/at/all", true },
                { "*", ".hidden", true },
                { "llama-?", "llama-3/model.bin", true },
                { "[ab]*", "c/d/bee", true },
                { "[ab]*", "c/d/cee", false },
                /* with a slash: from the top, and all below */
                { "models/*.gguf", "models/a.gguf", true },
                { "models/*.gguf", "models/sub/a.gguf", false },
                { "models/*.gguf", "other/models/a.gguf", false },
                { "models/*", "models/sub/deep/a", true },
                { "models/sub", "models/sub/deep/a", true },
                { "models/sub", "models/sub", true },
                { "models/sub", "models/subway", false },
                { "/top", "top", true },
                { "/top", "top/a", true },
                { "/top", "a/top", false },
                { "/*.gguf", "a.gguf", true },
                { "/*.gguf", "a/b.gguf", false },
                { "*/a", "x/a", true },
                { "*/a", "x/y/a", false },
                { "a b/*", "a b/c", true },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char *include[] = { (char *) rows[i].pattern, NULL };

                if (filter_includes(include, none, rows[i].path) != rows[i].matches)
                        fail_msg("'%s' %s '%s'", rows[i].pattern, rows[i].matches ? "does not take" : "takes",
                                 rows[i].path);
        }
}

static void everything_is_selected_unless_a_pattern_says_otherwise(void **state) {
        (void) state;
        assert_true(filter_includes(none, none, "a/b"));
}

static void an_exclusion_outweighs_an_inclusion(void **state) {
        char *include[] = { (char *) "*.gguf", (char *) "*.json", NULL },
             *exclude[] = { (char *) "old", (char *) "*-q2*", NULL };

        (void) state;
        assert_true(filter_includes(include, exclude, "new/a.gguf"));
        assert_true(filter_includes(include, exclude, "config.json"));
        assert_false(filter_includes(include, exclude, "old/a.gguf"));
        assert_false(filter_includes(include, exclude, "a-q2_k.gguf"));
        assert_false(filter_includes(include, exclude, "a.bin"));
        assert_true(filter_includes(none, exclude, "a.bin"));
}

static void the_first_pattern_that_matches_gives_the_rank(void **state) {
        char *priority[] = { (char *) "llama*", (char *) "*.gguf", (char *) "*", NULL };

        (void) state;
        assert_int_equal(filter_rank(priority, "llama.gguf"), 0);
        assert_int_equal(filter_rank(priority, "other.gguf"), 1);
        assert_int_equal(filter_rank(priority, "readme"), 2);
        priority[2] = NULL;
        assert_int_equal(filter_rank(priority, "readme"), 2);
        assert_int_equal(filter_rank(none, "readme"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(patterns_take_what_they_should),
                cmocka_unit_test(everything_is_selected_unless_a_pattern_says_otherwise),
                cmocka_unit_test(an_exclusion_outweighs_an_inclusion),
                cmocka_unit_test(the_first_pattern_that_matches_gives_the_rank),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
