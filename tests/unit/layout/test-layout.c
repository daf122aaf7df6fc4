/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What names mean in each layout: which state a digest, which name others, and which belong together. What is
 * unfinished in all of them is in test-unfinished.c. */

#include "ground.h"
#include "layout/layout.h"

#define HEX40 "0123456789abcdef0123456789abcdef01234567"
#define HEX64 HEX40 "89abcdef0123456789abcdef"
#define UPPER64 "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
#define HUB "models--org--name/"

typedef struct Row {
        LayoutKind kind;
        const char *path;
        LayoutRole role;
} Row;

static void assert_roles(const Row *rows, size_t n) {
        static const char *const names[] = { "content", "link", "pointer", "unfinished" };

        for (size_t i = 0; i < n; i++) {
                LayoutRole role = layout_role(rows[i].kind, rows[i].path);

                if (role != rows[i].role)
                        fail_msg("'%s' in %s is taken for %s", rows[i].path, layout_name(rows[i].kind), names[role]);
        }
}

static void ollama_has_digests_among_its_blobs_and_nothing_else(void **state) {
        static const Row rows[] = {
                { LAYOUT_OLLAMA, "blobs", LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64, LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "blobs/sha256-" UPPER64, LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "blobs/sha256:" HEX64, LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64 "-partial", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64 "-partial-0", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64 "-partial-17", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64 ".tmp", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64 "0", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX40, LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/sha256-1234567890", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/Q4_K_M123456", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/COPY123", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/split-gguf-987", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/split-gguf-987/model-00001-of-00002.gguf", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/split-copy123", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/projector-metadata123", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/compat-tensors123", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "blobs/dir/sha256-" HEX64, LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "ollama-safetensors123", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "ollama-safetensors123/model.safetensors", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "ollama-safetensors123/fp16456", LAYOUT_UNFINISHED },
        };

        (void) state;
        assert_roles(rows, ELEMENTSOF(rows));
}

static void ollama_manifests_are_four_levels_deep(void **state) {
        static const Row rows[] = {
                { LAYOUT_OLLAMA, "manifests", LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "manifests/registry.ollama.ai", LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "manifests/registry.ollama.ai/library/llama3.1", LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "manifests/registry.ollama.ai/library/llama3.1/70b", LAYOUT_POINTER },
                { LAYOUT_OLLAMA, "manifests/localhost:5000/me/_x/v1.0-q4", LAYOUT_POINTER },
                { LAYOUT_OLLAMA, "manifests/hf.co/org/name/Q4_K_M", LAYOUT_POINTER },
                { LAYOUT_OLLAMA, "manifests/a/b/c/d/e", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifests/a/b/c/.d", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifests/a/.b/c/d", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifests/.DS_Store", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifests/a/b/c/latest~", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifests/a/b/c/.latest.aB3xYz", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifest-v2/library/llama3.1/70b", LAYOUT_POINTER },
                { LAYOUT_OLLAMA, "manifest-v2/x", LAYOUT_POINTER },
                { LAYOUT_OLLAMA, "manifest-v2/.x", LAYOUT_UNFINISHED },
                { LAYOUT_OLLAMA, "manifest.json", LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "README", LAYOUT_CONTENT },
                { LAYOUT_OLLAMA, "extra/model.safetensors.index.json", LAYOUT_POINTER },
        };

        (void) state;
        assert_roles(rows, ELEMENTSOF(rows));
}

static void hugging_face_has_blobs_links_to_them_and_refs(void **state) {
        static const Row rows[] = {
                { LAYOUT_HUGGINGFACE, "models--org--name", LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX40, LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX64, LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, HUB "blobs/other-etag", LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX64 ".incomplete", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX64 ".89abcdef.incomplete", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX40 ".sync.part", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX64 ".downloadInProgress", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "blobs/tmp_01234567-89ab-cdef", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "refs/main", LAYOUT_POINTER },
                { LAYOUT_HUGGINGFACE, HUB "refs/refs/pr/1", LAYOUT_POINTER },
                { LAYOUT_HUGGINGFACE, HUB "refs/main.89abcdef.tmp", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "refs/pr/1.89abcdef.tmp", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40, LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40 "/model.safetensors", LAYOUT_LINK },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40 "/sub/poetry.lock", LAYOUT_LINK },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40 "/a.part", LAYOUT_LINK },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40 "/.nfs0001", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40 "/.config.json.aB3xYz", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB "trees/" HEX40 ".json", LAYOUT_LINK },
                { LAYOUT_HUGGINGFACE, HUB "trees/" HEX40 ".json.tmp", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, HUB ".no_exist/" HEX40 "/adapter_config.json", LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, "models--org--name.tmp/blobs/" HEX40, LAYOUT_CONTENT },
                { LAYOUT_HUGGINGFACE, "models--org--name.tmp/refs/main", LAYOUT_POINTER },
                { LAYOUT_HUGGINGFACE, "datasets--org--name/refs/main", LAYOUT_POINTER },
                { LAYOUT_HUGGINGFACE, "spaces--org--name/snapshots/" HEX40 "/x", LAYOUT_LINK },
                { LAYOUT_HUGGINGFACE, ".locks", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, ".locks/models--org--name/" HEX40 ".lock", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, "tmpabc123", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, "tmpabc123/dummy_file_src", LAYOUT_UNFINISHED },
                { LAYOUT_HUGGINGFACE, "CACHEDIR.TAG", LAYOUT_CONTENT },
        };

        (void) state;
        assert_roles(rows, ELEMENTSOF(rows));
}

static void plain_pointers_are_indexes_first_shards_and_yaml_at_the_top(void **state) {
        static const Row rows[] = {
                { LAYOUT_PLAIN, "x/model.safetensors.index.json", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "x/model.safetensors.index.fp16.json", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "pytorch_model.bin.index.json", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "x/config.json", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x/llama-00001-of-00003.gguf", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "x/llama-00001-of-00010.gguf", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "x/llama-00002-of-00003.gguf", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x/llama-00001-of-00001.gguf", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x/llama-00001-of-00000.gguf", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x/model-00001-of-00003.safetensors", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x/train-00001-of-00010.parquet", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "phi.yaml", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "phi.yml", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "._gallery_phi.yaml", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "x/phi.yaml", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x/.cache/huggingface/download/sub/a.gguf.metadata", LAYOUT_POINTER },
                { LAYOUT_PLAIN, ".cache/huggingface/download/a.gguf.metadata", LAYOUT_POINTER },
                { LAYOUT_PLAIN, "x/a.metadata", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "x.cache/huggingface/download/a.metadata", LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "blobs/sha256-" HEX64, LAYOUT_CONTENT },
                { LAYOUT_PLAIN, "blobs/sha256-" HEX64 "-partial-3", LAYOUT_UNFINISHED },
        };

        (void) state;
        assert_roles(rows, ELEMENTSOF(rows));
}

static void digests_are_taken_from_the_names_of_blobs_only(void **state) {
        static const struct {
                LayoutKind kind;
                const char *path;
                ClaimKind claim;
        } rows[] = {
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64, CLAIM_SHA256 },
                { LAYOUT_OLLAMA, "blobs/sha256-" UPPER64, CLAIM_SHA256 },
                { LAYOUT_OLLAMA, "blobs/" HEX64, CLAIM_NONE },
                { LAYOUT_OLLAMA, "sha256-" HEX64, CLAIM_NONE },
                { LAYOUT_OLLAMA, "x/blobs/sha256-" HEX64, CLAIM_NONE },
                { LAYOUT_OLLAMA, "manifests/a/b/c/d", CLAIM_NONE },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX64, CLAIM_SHA256 },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX40, CLAIM_GIT_BLOB },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX40 "a", CLAIM_NONE },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40, CLAIM_NONE },
                { LAYOUT_HUGGINGFACE, "blobs/" HEX40, CLAIM_NONE },
                { LAYOUT_PLAIN, "ollama/blobs/sha256-" HEX64, CLAIM_SHA256 },
                { LAYOUT_PLAIN, "hub/" HUB "blobs/" HEX40, CLAIM_GIT_BLOB },
                { LAYOUT_PLAIN, "blobs/" HEX64, CLAIM_SHA256 },
                { LAYOUT_PLAIN, "myblobs/" HEX64, CLAIM_NONE },
                { LAYOUT_PLAIN, "x/" HEX64, CLAIM_NONE },
                { LAYOUT_PLAIN, "obs/" HEX64, CLAIM_NONE },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Claim claim = { .kind = CLAIM_NONE };
                char hex[CLAIM_HEX_MAX];

                if (layout_claim(rows[i].kind, rows[i].path, &claim) != (rows[i].claim != CLAIM_NONE) ||
                    claim.kind != rows[i].claim)
                        fail_msg("'%s' claims %d", rows[i].path, (int) claim.kind);
                if (claim.kind != CLAIM_NONE)
                        assert_string_equal(
                                claim_to_hex(&claim, hex),
                                claim.kind == CLAIM_SHA256 && strstr(rows[i].path, "ABCDEF")
                                        ? "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                                : claim.kind == CLAIM_SHA256 ? HEX64
                                                             : HEX40);
        }
}

static void links_sharing_and_counting_follow_what_clients_do(void **state) {
        static const struct {
                LayoutKind kind;
                const char *path;
                bool may_link, is_shared, is_counted, directory;
        } rows[] = {
                { LAYOUT_PLAIN, "x/model.gguf", true, false, true, false },
                { LAYOUT_PLAIN, "x", true, false, false, true },
                { LAYOUT_PLAIN, "x/model.gguf.part", true, false, false, false },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64, true, true, false, false },
                { LAYOUT_OLLAMA, "blobs/sha256-" HEX64 "-partial", true, false, false, false },
                { LAYOUT_OLLAMA, "manifests/a/b/c/d", false, false, true, false },
                { LAYOUT_OLLAMA, "manifests/a/b/c", false, false, false, false },
                { LAYOUT_OLLAMA, "README", true, false, true, false },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX40, false, true, false, false },
                { LAYOUT_HUGGINGFACE, HUB "blobs/" HEX40 ".incomplete", false, false, false, false },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40 "/x", false, false, false, false },
                { LAYOUT_HUGGINGFACE, HUB "snapshots/" HEX40, false, false, true, true },
                { LAYOUT_HUGGINGFACE, HUB "refs/main", false, false, true, false },
                { LAYOUT_HUGGINGFACE, "other/model.gguf", true, false, true, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (layout_may_link(rows[i].kind, rows[i].path) != rows[i].may_link)
                        fail_msg("may_link of '%s'", rows[i].path);
                if (layout_is_shared(rows[i].kind, rows[i].path) != rows[i].is_shared)
                        fail_msg("is_shared of '%s'", rows[i].path);
                if (layout_is_counted(rows[i].kind, rows[i].path, rows[i].directory) != rows[i].is_counted)
                        fail_msg("is_counted of '%s'", rows[i].path);
        }
}

/* Paths with a slash at the end are directories. */
static LayoutKind kind_of(const char *const *paths) {
        _cleanup_(manifest_freep) Manifest *tree = NULL;

        assert_int_equal(manifest_new(&tree), 0);
        for (; *paths; paths++) {
                char *path = strdup(*paths);
                Entry entry = { .path = path, .type = ENTRY_FILE };

                if (path[strlen(path) - 1] == '/') {
                        path[strlen(path) - 1] = '\0';
                        entry.type = ENTRY_DIRECTORY;
                }
                assert_int_equal(manifest_put(tree, &entry), 0);
                free(path);
        }
        manifest_sort(tree);
        return layout_recognise(tree);
}

static void trees_are_recognised(void **state) {
        static const struct {
                LayoutKind kind;
                const char *paths[5];
        } rows[] = {
                { LAYOUT_PLAIN, { NULL } },
                { LAYOUT_PLAIN, { "blobs/", "model.gguf" } },
                { LAYOUT_PLAIN, { "manifests/", "manifests/a" } },
                { LAYOUT_PLAIN, { "blobs", "manifests" } },
                { LAYOUT_PLAIN, { "ollama/", "ollama/blobs/", "ollama/manifests/" } },
                { LAYOUT_OLLAMA, { "blobs/", "manifests/" } },
                { LAYOUT_OLLAMA, { "blobs/", "blobs/sha256-" HEX64 } },
                { LAYOUT_PLAIN, { "blobs/", "blobs/" HEX64 } },
                { LAYOUT_OLLAMA, { "manifests/", "manifests/a/b/c/d" } },
                { LAYOUT_PLAIN, { "manifests/", "manifests/a/b/c/d/" } },
                { LAYOUT_HUGGINGFACE, { "models--a--b/", "models--a--b/blobs/" } },
                { LAYOUT_HUGGINGFACE, { "models--a--b/", "models--a--b/refs/" } },
                { LAYOUT_HUGGINGFACE, { "datasets--a--b/", "datasets--a--b/snapshots/" } },
                { LAYOUT_HUGGINGFACE, { "models--gpt2/", "models--gpt2/blobs/" } },
                { LAYOUT_PLAIN, { "models--a--b/", "models--a--b/model.gguf" } },
                { LAYOUT_PLAIN, { "models--/", "models--/blobs/" } },
                { LAYOUT_PLAIN, { "hub/", "hub/models--a--b/", "hub/models--a--b/blobs/" } },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (kind_of(rows[i].paths) != rows[i].kind)
                        fail_msg("row %zu is taken for %s", i, layout_name(kind_of(rows[i].paths)));
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
                if (layout_same_set(rows[i].a, rows[i].b) != rows[i].same ||
                    layout_same_set(rows[i].b, rows[i].a) != rows[i].same)
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
                cmocka_unit_test(ollama_has_digests_among_its_blobs_and_nothing_else),
                cmocka_unit_test(ollama_manifests_are_four_levels_deep),
                cmocka_unit_test(hugging_face_has_blobs_links_to_them_and_refs),
                cmocka_unit_test(plain_pointers_are_indexes_first_shards_and_yaml_at_the_top),
                cmocka_unit_test(digests_are_taken_from_the_names_of_blobs_only),
                cmocka_unit_test(links_sharing_and_counting_follow_what_clients_do),
                cmocka_unit_test(trees_are_recognised),
                cmocka_unit_test(shards_belong_together),
                cmocka_unit_test(the_name_of_a_set_is_what_its_members_share),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
