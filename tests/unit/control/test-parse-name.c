/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a caller calls a file: paths below either root, relative ones, models, and which mirror is meant. */

#include "control/parse-name.h"
#include "ground.h"

static const ParseNameMirror one[] = { { "models", "/data/models", "/dev/shm/models" } };

static const ParseNameMirror three[] = {
        { "a", "/data/a", "/run/a" },
        { "b", "/data/a/inner", "/run/b" },
        { "c", "/data/c", "/data/a/inner/c" },
};

/* "MIRROR:PATH" of what there is. */
static const char *const known[] = { "0:x.gguf", "0:llama3:70b", "0:both", "1:both", "1:only-b", "0:dir/x", "0:org/name", "2:a" };

static bool knows(size_t mirror, const char *path, void *userdata) {
        char name[256];

        (void) userdata;
        (void) snprintf(name, sizeof(name), "%zu:%s", mirror, path);
        for (size_t i = 0; i < ELEMENTSOF(known); i++)
                if (string_equal(known[i], name))
                        return true;
        return false;
}

static void expect(const ParseNameMirror *mirrors, size_t n, const char *raw, size_t mirror, const char *path) {
        _cleanup_(freep) char *refusal = NULL;
        ParsedName name = {};

        if (parse_name(mirrors, n, raw, knows, NULL, &name, &refusal) != 0)
                fail_msg("'%s': %s", raw, refusal);
        assert_null(refusal);
        assert_string_equal(name.path, path);
        assert_int_equal(name.mirror, mirror);
        parse_name_done(&name);
}

static void refuse(const ParseNameMirror *mirrors, size_t n, const char *raw, const char *part) {
        _cleanup_(freep) char *refusal = NULL;
        ParsedName name = {};

        assert_int_equal(parse_name(mirrors, n, raw, knows, NULL, &name, &refusal), PARSE_NAME_UNKNOWN);
        assert_null(name.path);
        assert_non_null(refusal);
        if (!strstr(refusal, part))
                fail_msg("'%s' does not say '%s'", refusal, part);
}

static void a_path_below_either_root_is_relative_to_it(void **state) {
        (void) state;
        expect(one, 1, "/data/models/x.gguf", 0, "x.gguf");
        expect(one, 1, "/dev/shm/models/dir/x", 0, "dir/x");
        expect(one, 1, "/dev/shm/models/nobody-knows", 0, "nobody-knows");
        expect(one, 1, "/dev/shm/models", 0, "");
        expect(one, 1, "/dev/shm/models/", 0, "");
}

static void a_path_is_normalised_without_looking_at_links(void **state) {
        (void) state;
        expect(one, 1, "//data/./models//dir/../x.gguf", 0, "x.gguf");
        expect(one, 1, "/data/models/../models/x.gguf/", 0, "x.gguf");
        expect(one, 1, "/../data/models/x.gguf", 0, "x.gguf");
        expect(one, 1, "./dir//x", 0, "dir/x");
        expect(one, 1, "dir/../x.gguf", 0, "x.gguf");
        expect(one, 1, ".", 0, "");
        expect(one, 1, "/data/models/...", 0, "...");
}

static void what_is_outside_every_mirror_is_refused_with_the_mirrors_there_are(void **state) {
        (void) state;
        refuse(one, 1, "/data/modelsx/x", "'models' (/data/models in /dev/shm/models)");
        refuse(one, 1, "/data", "'/data' is not below any mirror's source or target");
        refuse(one, 1, "/", "not below any mirror");
        refuse(one, 1, "/data/models/../x", "not below any mirror");
        refuse(one, 1, "../x", "'models'");
        refuse(one, 1, "dir/../../x", "'models'");
        refuse(one, 1, "", "'models'");
        refuse(NULL, 0, "x", "No mirror is configured");
        refuse(NULL, 0, ".", "No mirror is configured");
        refuse(three, 3, "/nowhere", "'a' (/data/a in /run/a), 'b' (/data/a/inner in /run/b) and 'c' (");
}

static void of_nested_roots_the_deepest_counts(void **state) {
        (void) state;
        expect(three, 3, "/data/a/x", 0, "x");
        expect(three, 3, "/data/a/inner/x", 1, "x");
        expect(three, 3, "/data/a/inner", 1, "");
        expect(three, 3, "/data/a/inner/c/x", 2, "x");
        expect(three, 3, "/data/a/innerx", 0, "innerx");
}

static void a_relative_name_belongs_to_the_mirror_that_knows_it(void **state) {
        (void) state;
        expect(three, 3, "only-b", 1, "only-b");
        expect(three, 3, "llama3:70b", 0, "llama3:70b");
        expect(three, 3, "org/name", 0, "org/name");
        refuse(three, 3, "nobody-knows", "No mirror has 'nobody-knows'");
        expect(one, 1, "nobody-knows", 0, "nobody-knows"); /* it may come */
}

static void a_name_in_two_mirrors_has_to_say_which(void **state) {
        (void) state;
        refuse(three, 3, "both", "specify 'a:both' or 'b:both'");
        refuse(three, 3, ".", "'a'");
        expect(three, 3, "a:both", 0, "both");
        expect(three, 3, "b:both", 1, "both");
}

static void two_mirrors_of_one_source_are_told_apart_by_what_they_know(void **state) {
        static const ParseNameMirror twins[] = { { "a", "/data", "/run/a" }, { "b", "/data", "/run/b" } };

        (void) state;
        expect(twins, 2, "/data/only-b", 1, "only-b");
        expect(twins, 2, "/data/x.gguf", 0, "x.gguf");
        refuse(twins, 2, "/data/both", "specify 'a:");
        refuse(twins, 2, "/data", "specify 'a:");
        expect(twins, 2, "/run/b/both", 1, "both");
        expect(twins, 2, "b:/data/both", 1, "both");
}

static void a_mirror_may_be_named_before_a_name_or_alone(void **state) {
        (void) state;
        expect(three, 3, "b:", 1, "");
        expect(three, 3, "b", 1, "");
        expect(three, 3, "b:x", 1, "x");
        expect(three, 3, "b:/run/b/x", 1, "x");
        expect(three, 3, "b:/data/a/inner/./x", 1, "x");
        expect(three, 3, "a", 2, "a"); /* a file of that name goes first */
        refuse(three, 3, "b:/data/c/x", "No mirror has 'b:/data/c/x'");
        refuse(three, 3, "b:../x", "'b:../x'");
        refuse(three, 3, "z:x", "No mirror has 'z:x'");
}

static void a_model_may_be_called_as_a_mirror_is(void **state) {
        static const ParseNameMirror llama[] = { { "llama3", "/data/a", "/run/a" }, { "b", "/data/b", "/run/b" } };

        (void) state;
        expect(llama, 2, "llama3:70b", 0, "llama3:70b");
        expect(llama, 2, "llama3:llama3:70b", 0, "llama3:70b");
        expect(llama, 2, "llama3:8b", 0, "8b");
}

static void a_name_that_is_not_utf_8_is_refused_in_utf_8(void **state) {
        (void) state;
        refuse(three, 3, "\xff\n", "'\\xff\\x0a'");
        expect(three, 3, "a:\xff", 0, "\xff");
}

static void the_root_of_everything_may_be_a_source(void **state) {
        static const ParseNameMirror root[] = { { "all", "/", "/run/all" } };

        (void) state;
        expect(root, 1, "/x", 0, "x");
        expect(root, 1, "/", 0, "");
        expect(root, 1, "/run/all/x", 0, "x");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_path_below_either_root_is_relative_to_it),
                cmocka_unit_test(a_path_is_normalised_without_looking_at_links),
                cmocka_unit_test(what_is_outside_every_mirror_is_refused_with_the_mirrors_there_are),
                cmocka_unit_test(of_nested_roots_the_deepest_counts),
                cmocka_unit_test(a_relative_name_belongs_to_the_mirror_that_knows_it),
                cmocka_unit_test(a_name_in_two_mirrors_has_to_say_which),
                cmocka_unit_test(two_mirrors_of_one_source_are_told_apart_by_what_they_know),
                cmocka_unit_test(a_mirror_may_be_named_before_a_name_or_alone),
                cmocka_unit_test(a_model_may_be_called_as_a_mirror_is),
                cmocka_unit_test(a_name_that_is_not_utf_8_is_refused_in_utf_8),
                cmocka_unit_test(the_root_of_everything_may_be_a_source),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
