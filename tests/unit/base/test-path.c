/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which path is below which, and where links lead; compared with a real filesystem where that is possible. */

#include "base/path.h"
#include "ground.h"

#include <limits.h>

static void a_path_is_below_a_directory_or_is_not(void **state) {
        static const struct { const char *path, *directory, *rest; } cases[] = {
                { "/a/b", "/a", "b" }, { "/a/b/c", "/a/b", "c" }, { "/a", "/a", "" }, { "/a/", "/a", "" },
                { "/ab", "/a", NULL }, { "/a", "/a/b", NULL }, { "/b/a", "/a", NULL }, { "/a/b", "/", "a/b" },
                { "/", "/", "" }, { "a/b/c", "a", "b/c" }, { "a", "a", "" }, { "ab/c", "a", NULL },
                { "/a/b", "/a/", "b" }, { "/a", "/a///", "" }, { "a", "", NULL }, { "", "", NULL },
                { "/a", "", NULL }, { "", "a", NULL }, { "/a//b", "/a", "/b" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *rest = path_below(cases[i].path, cases[i].directory);

                if (!string_equal(rest, cases[i].rest))
                        fail_msg("'%s' below '%s': '%s'", cases[i].path, cases[i].directory, rest ? rest : "not");
                assert_int_equal(path_is_below(cases[i].path, cases[i].directory), cases[i].rest != NULL);
                if (rest)
                        assert_true(rest >= cases[i].path && rest <= cases[i].path + strlen(cases[i].path));
        }
}

static void a_link_leads_to_one_place_in_the_tree_or_out(void **state) {
        static const struct { const char *path, *target, *inside; } cases[] = {
                { "link", "file", "file" },
                { "a/link", "file", "a/file" },
                { "a/b/link", "../../c/file", "c/file" },
                { "a/link", "././/x/../file", "a/file" },
                { "a/link", "..", "" },
                { "link", ".", "" },
                { "link", "..", NULL },
                { "a/link", "../../x", NULL },
                { "a/link", "../../root/x", NULL }, /* out and in again leads out: the other side has another name */
                { "a/link", "/root", "" },
                { "a/link", "/root/x//y/", "x/y" },
                { "a/link", "/root/../root/x", NULL },
                { "a/link", "/rootx/y", NULL },
                { "a/link", "/elsewhere", NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *inside = NULL;
                int r = path_resolve_link("/root", cases[i].path, cases[i].target, &inside);

                if (r != (cases[i].inside ? 0 : -EXDEV) || !string_equal(inside, cases[i].inside))
                        fail_msg("'%s' -> '%s': %d, '%s'", cases[i].path, cases[i].target, r, inside ? inside : "");
        }
}

static void assert_leads(const char *path, const char *inside) {
        _cleanup_(freep) char *target = NULL;
        char found[PATH_MAX], expected[PATH_MAX];

        assert_int_equal(path_make_relative(path, inside, &target), 0);
        assert_true(target[0] != '/');
        assert_int_equal(symlink(target, path), 0);
        assert_non_null(realpath(path, found));
        assert_non_null(realpath(*inside ? inside : ".", expected));
        assert_string_equal(found, expected);
        assert_int_equal(unlink(path), 0);
}

static void a_relative_link_leads_where_the_absolute_one_led(void **state) {
        static const char *const paths[] = { "link", "a/link", "a/b/link", "a/b/c/link", "d/link" };
        static const char *const targets[] = { "", "file", "a", "a/file", "a/b", "a/b/c/file", "d/file" };

        (void) state;
        shell("mkdir -p a/b/c d && touch file a/file a/b/c/file d/file");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                for (size_t k = 0; k < ELEMENTSOF(targets); k++)
                        assert_leads(paths[i], targets[k]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_path_is_below_a_directory_or_is_not),
                cmocka_unit_test(a_link_leads_to_one_place_in_the_tree_or_out),
                ON_GROUND(a_relative_link_leads_where_the_absolute_one_led),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
