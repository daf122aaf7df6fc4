/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which names are those of unfinished files, and what a scan with these rules leaves out. */

#include "ground.h"
#include "layout/layout.h"
#include "layout/unfinished.h"
#include "tree/scan.h"

#define HUB "models--org--name/"

static const char *const unfinished_anywhere[] = {
        "x/0123abcd.incomplete", "a/model.safetensors.sync.part", "model.gguf.part", "model.gguf.partial",
        "model.gguf.downloadInProgress", "downloading_model.gguf", "a/downloading_b.part", "model.crdownload",
        "model.gguf.aria2", ".locks/models--x/abc", "models/.locks/x", "a.lock", "a.tmp", ".nfs000000000123",
        "sub/.nfs0001", ".model.gguf.swp", ".model.swo", "model.gguf~", "x/sha256-0123-partial",
        "x/sha256-0123-partial-12", ".model.gguf.aB3xYz", "sub/.model.gguf.abc123", ".~tmp~/model",
        "D/.cache/huggingface/download/model.gguf.lock", "D/.cache/huggingface/download/ab.0123.89abcdef.incomplete",
        ".artifacts/.partial/key.writer/model.bin", "sub/.artifacts/.partial", ".artifacts/.locks/key",
        "x/manifest.json.tmp", ".model-config-12345", ".artifact-binding-12345", ".model.yaml.tmp-99",
        "model.gguf.!qB", "model.gguf.!ut", "x.tmp/below", "downloading_x/below", "a/b~/c/d", "d/.shmstaged",
        "d/.shmstaged/trash/x",
};

static const char *const finished_anywhere[] = {
        "model.gguf", "x/sha256-0123", "sha256-partial", "config.json", ".gitattributes", ".config",
        ".hidden.safetensors", ".a.config", ".model.tokens", "refs/main", "a.part1", "incomplete", "lock",
        "parts/model", "locks/x", "my.locks/x", "x.cache/huggingface/download/a", ".cache/huggingface/download",
        "x/.cache/huggingface/download/model.gguf.metadata", ".cache/huggingface/downloads/a",
        ".cache/huggingface/hub/a", ".swp", "a.aria2.gguf", "downloading/model.gguf", ".model.gguf.abc12",
        ".model.gguf.abc1234", ".artifacts/huggingface/key/model.gguf", "my.artifacts/.locksmith/x",
        "model-config-1", ".shmstagedx", ".tmp-1", "a.tmp-1", "what!", "tmp/x", "model.sw", ".a.swq",
        "x/.artifacts/.partially/y",
};

static void names_of_unfinished_files_are_known_in_every_layout(void **state) {
        (void) state;
        for (LayoutKind kind = LAYOUT_PLAIN; kind <= LAYOUT_HUGGINGFACE; kind++) {
                for (size_t i = 0; i < ELEMENTSOF(unfinished_anywhere); i++)
                        if (layout_role(kind, unfinished_anywhere[i]) != LAYOUT_UNFINISHED)
                                fail_msg("'%s' counts as finished in %s", unfinished_anywhere[i], layout_name(kind));
                for (size_t i = 0; i < ELEMENTSOF(finished_anywhere); i++)
                        if (layout_role(kind, finished_anywhere[i]) == LAYOUT_UNFINISHED &&
                            !(kind == LAYOUT_HUGGINGFACE && strncmp(finished_anywhere[i], "tmp", 3) == 0))
                                fail_msg("'%s' counts as unfinished in %s", finished_anywhere[i], layout_name(kind));
        }
}

static void only_what_tools_leave_counts_where_others_choose_the_names(void **state) {
        static const char *const tools[] = {
                ".nfs0001", "a~", "sub/.model.swp", ".~tmp~/x", ".a.gguf.aB3xYz", ".shmstaged/x",
        };
        static const char *const clients[] = {
                "poetry.lock", "a.part", "x.tmp/y", ".locks/x", "a.aria2", "a.!qB", "downloading_a",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(tools); i++)
                if (!unfinished_has_name(tools[i], UNFINISHED_TOOLS))
                        fail_msg("'%s' counts as finished", tools[i]);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                if (unfinished_has_name(clients[i], UNFINISHED_TOOLS) ||
                    !unfinished_has_name(clients[i], UNFINISHED_ALL))
                        fail_msg("'%s' does not count as a client's alone", clients[i]);
}

/* A middle or an ending does not overlap the beginning. */
static void the_parts_of_a_pattern_come_one_after_the_other(void **state) {
        (void) state;
        assert_false(unfinished_has_name(".tmp-1", UNFINISHED_ALL));
        assert_true(unfinished_has_name(".a.tmp-1", UNFINISHED_ALL));
        assert_false(unfinished_has_name("sha256-partial", UNFINISHED_ALL));
        assert_true(unfinished_has_name("sha256--partial", UNFINISHED_ALL));
}

static void before_the_layout_is_known_only_what_all_call_unfinished_is(void **state) {
        (void) state;
        assert_true(layout_is_unfinished("a.part", LAYOUT_AUTO));
        assert_false(layout_is_unfinished("tmpabc", LAYOUT_AUTO));
        assert_true(layout_is_unfinished("tmpabc", LAYOUT_HUGGINGFACE));
        assert_false(layout_is_unfinished("blobs/other", LAYOUT_AUTO));
        assert_true(layout_is_unfinished("blobs/other", LAYOUT_OLLAMA));
        assert_false(layout_is_unfinished(HUB "snapshots/x/poetry.lock", LAYOUT_AUTO));
}

static void every_marker_has_the_name_of_an_unfinished_file(void **state) {
        char name[64];

        (void) state;
        for (const char *const *marker = unfinished_markers; *marker; marker++) {
                (void) snprintf(name, sizeof(name), "model.gguf%s", *marker);
                assert_true(unfinished_has_name(name, UNFINISHED_ALL));
        }
}

static Manifest *scan(bool mirror) {
        ScanOptions options = { .root = ground_base, .is_unfinished = layout_is_unfinished, .layout = LAYOUT_AUTO,
                                .markers = unfinished_markers, .mirror = mirror };
        int fd = open_directory(".");
        Manifest *tree = NULL;

        assert_int_equal(scan_tree(fd, &options, &tree), 0);
        (void) close(fd);
        return tree;
}

static void a_scan_of_the_source_leaves_out_what_clients_have_not_finished(void **state) {
        _cleanup_(manifest_freep) Manifest *tree = NULL;

        (void) state;
        put_text("model.gguf", "x");
        put_text("model.gguf.part", "x");
        put_text("blob.incomplete", "x");
        make_directory(".locks");
        put_text(".locks/inside", "x");
        put_text("a.gguf", "x");
        put_text("a.gguf.aria2", "x");
        tree = scan(false);
        assert_int_equal(tree->n_entries, 1);
        assert_non_null(manifest_find(tree, "model.gguf"));
        assert_int_equal(manifest_omissions(tree, OMIT_IN_PROGRESS), 3);
        assert_int_equal(tree->n_omissions, 3);
}

static void in_a_tree_that_is_listed_whole_markers_are_found_beside_files(void **state) {
        _cleanup_(manifest_freep) Manifest *tree = NULL;

        (void) state;
        put_text("a.gguf", "x");
        put_text("a.gguf.aria2", "x");
        put_text("b.gguf", "x");
        tree = scan(true);
        assert_true(unfinished_is_marked(tree, "a.gguf"));
        assert_false(unfinished_is_marked(tree, "b.gguf"));
        assert_false(unfinished_is_marked(tree, "a.gguf.aria2"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_of_unfinished_files_are_known_in_every_layout),
                cmocka_unit_test(only_what_tools_leave_counts_where_others_choose_the_names),
                cmocka_unit_test(the_parts_of_a_pattern_come_one_after_the_other),
                cmocka_unit_test(before_the_layout_is_known_only_what_all_call_unfinished_is),
                cmocka_unit_test(every_marker_has_the_name_of_an_unfinished_file),
                ON_GROUND(a_scan_of_the_source_leaves_out_what_clients_have_not_finished),
                ON_GROUND(in_a_tree_that_is_listed_whole_markers_are_found_beside_files),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
