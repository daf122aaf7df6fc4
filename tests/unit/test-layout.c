/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What names mean: which are still being written, and which belong together. */

#include "layout.h"
#include "ground.h"

static void names_of_unfinished_files_are_known(void **state) {
        static const char *const unfinished[] = {
                "blobs/0123abcd.incomplete", "a/model.safetensors.sync.part", "model.gguf.part", "model.gguf.partial",
                "model.gguf.downloadInProgress", "downloading_model.gguf", "a/downloading_b", "model.crdownload", "model.gguf.aria2",
                ".locks/models--x/abc", "models/.locks/x", "a.lock", "a.tmp", ".nfs000000000123", "sub/.nfs0001",
                ".model.gguf.swp", ".model.swo", "model.gguf~", "blobs/sha256-0123-partial", "blobs/sha256-0123-partial-12",
                ".model.gguf.aB3xYz", "sub/.model.gguf.abc123", ".~tmp~/model", "x/.cache/huggingface/download/model.gguf.metadata",
                ".cache/huggingface/download",
        };
        static const char *const finished[] = {
                "model.gguf", "blobs/sha256-0123", "sha256-partial", "config.json", ".gitattributes", ".config", ".hidden.safetensors",
                ".a.config", ".model.tokens", "refs/main", "a.part1", "incomplete", "lock", "parts/model", "locks/x", "my.locks/x",
                "x.cache/huggingface/download/a", ".cache/huggingface/downloads/a", ".cache/huggingface/hub/a", ".swp", "a.aria2.gguf",
                "downloading/model.gguf", ".model.gguf.abc12", ".model.gguf.abc1234",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(unfinished); i++)
                if (!layout_is_in_progress(unfinished[i]))
                        fail_msg("'%s' is taken for finished", unfinished[i]);
        for (size_t i = 0; i < ELEMENTSOF(finished); i++)
                if (layout_is_in_progress(finished[i]))
                        fail_msg("'%s' is taken for unfinished", finished[i]);
}

static void shards_belong_together(void **state) {
        static const struct {
                const char *a, *b;
                bool same;
        } rows[] = {
                { "llama-00001-of-00004.gguf", "llama-00004-of-00004.gguf", true },
                { "x/model-00001-of-00002.safetensors", "x/model-00002-of-00002.safetensors", true },
                { "llama-00001-of-00004.gguf", "llama-00001-of-00005.gguf", false },
                { "llama-00001-of-00004.gguf", "other-00001-of-00004.gguf", false },
                { "x/llama-00001-of-00004.gguf", "y/llama-00001-of-00004.gguf", false },
                { "llama-00001-of-00004.gguf", "llama-00001-of-00004.safetensors", false },
                { "llama00001-of-00004.gguf", "llama00002-of-00004.gguf", false },
                { "llama-1-of-4.gguf", "llama-2-of-4.gguf", false },
                { "llama-00001-of-0004.gguf", "llama-00002-of-0004.gguf", false },
                { "a-00001-of-00002/x.gguf", "a-00002-of-00002/x.gguf", false }, /* a directory is no shard */
                { "best-of-00001-of-00002", "best-of-00002-of-00002", true },
                { "a", "a", true },
                { "a", "b", false },
                { "-00001-of-00002", "-00002-of-00002", true },
                { "00001-of-00002", "00002-of-00002", false },
                { "a-of-", "a-of-", true },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (layout_same_set(rows[i].a, rows[i].b) != rows[i].same || layout_same_set(rows[i].b, rows[i].a) != rows[i].same)
                        fail_msg("'%s' and '%s' are %s", rows[i].a, rows[i].b, rows[i].same ? "apart" : "together");
        }
}

static void the_name_of_a_set_is_what_its_members_share(void **state) {
        const char *path = "x/llama-00001-of-00004.gguf", *tail;

        (void) state;
        assert_int_equal(layout_set(path, &tail), strlen("x/llama-"));
        assert_string_equal(tail, "-of-00004.gguf");
        path = "alone.gguf";
        assert_int_equal(layout_set(path, &tail), strlen(path));
        assert_string_equal(tail, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_of_unfinished_files_are_known),
                cmocka_unit_test(shards_belong_together),
                cmocka_unit_test(the_name_of_a_set_is_what_its_members_share),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
