/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What pointers name, whole and broken. */

#include "ground.h"
#include "layout/references.h"
#include "tree/scan.h"

#define A "sha256-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "sha256-cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define TAG "manifests/registry.ollama.ai/library/llama/latest"
#define MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"

static void put_at(const char *path, const char *text) {
        char directory[256], *slash;

        strcpy(directory, path);
        slash = strrchr(directory, '/');
        if (slash) {
                char command[300];

                *slash = '\0';
                (void) snprintf(command, sizeof(command), "mkdir -p '%s'", directory);
                shell(command);
        }
        put_text(path, text);
}

static int try_read(LayoutKind kind, const char *path, References *ret, const char **reterr_text) {
        int fd = open_directory("."), r;
        _cleanup_(manifest_freep) Manifest *tree = NULL;
        ScanOptions options = { .root = ground_base, .mirror = true };

        assert_int_equal(scan_tree(fd, &options, &tree), 0);
        r = references_read(kind, fd, tree, path, ret, reterr_text);
        (void) close(fd);
        return r;
}

/* "path=size path path*", or "broken: ..."; freed by the next call. A star marks a pointer. */
static const char *references_of(LayoutKind kind, const char *path) {
        static char said[4096];
        References found = {};
        const char *text = NULL;
        int r = try_read(kind, path, &found, &text);

        said[0] = '\0';
        if (r < 0)
                (void) snprintf(said, sizeof(said), "error: %s", strerror(-r));
        if (r == REFERENCES_BROKEN)
                (void) snprintf(said, sizeof(said), "broken: %s", text);
        for (size_t i = 0; i < found.n; i++) {
                char *end = said + strlen(said);

                (void) snprintf(end, sizeof(said) - (size_t) (end - said), "%s%s%s", i > 0 ? " " : "",
                                found.items[i].path, found.items[i].pointer ? "*" : "");
                end = said + strlen(said);
                if (found.items[i].size != UINT64_MAX)
                        (void) snprintf(end, sizeof(said) - (size_t) (end - said), "=%llu",
                                        (unsigned long long) found.items[i].size);
        }
        reference_list_done(&found);
        return said;
}

#define assert_references(kind, path, text) assert_string_equal(references_of(kind, path), text)

/* ---- Ollama ---- */

static const char manifest[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{\"digest\":\"" DIGEST_B
        "\",\"size\":485},"
        "\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"" DIGEST_A
        "\",\"size\":4294967296}]}";

static void a_manifest_names_its_blobs_with_their_sizes(void **state) {
        (void) state;
        put_at(TAG, manifest);
        assert_references(LAYOUT_OLLAMA, TAG, "blobs/" A "=4294967296 blobs/" B "=485");
        assert_references(LAYOUT_OLLAMA, "manifests/registry.ollama.ai", "");
        put_at("blobs/" A, "whatever");
        assert_references(LAYOUT_OLLAMA, "blobs/" A, "");
        assert_references(LAYOUT_OLLAMA, "not-there", "error: No such file or directory");
}

static void manifests_of_many_forms_are_understood(void **state) {
        static const struct {
                const char *text, *found;
        } rows[] = {
                { "{\"config\":{\"digest\":\"\"},\"layers\":[]}", "" }, /* runs elsewhere */
                { "{\"config\":{\"digest\":null},\"layers\":null}", "" },
                { "{\"config\":{\"digest\":\"" A "\"}}", "blobs/" A },
                { "{\"layers\":[{\"digest\":\"" DIGEST_A "\",\"size\":1},{\"digest\":\"" DIGEST_A "\",\"size\":1}]}",
                  "blobs/" A "=1" },
                { "{\"layers\":[{\"digest\":\"" DIGEST_A "\",\"size\":1},{\"digest\":\"" DIGEST_A "\"}]}",
                  "blobs/" A "=1" },
                { "{\"layers\":[{\"digest\":\"" DIGEST_A "\",\"size\":1.5}]}", "blobs/" A },
                { "{\"new\":{\"deep\":[{\"digest\":\"" DIGEST_A "\",\"size\":7,\"more\":{\"digest\":\"" DIGEST_B
                  "\"}}]}}",
                  "blobs/" A "=7 blobs/" B },
                { "{\"layers\":[{\"digest\":\"sha256:"
                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
                  "blobs/sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                put_at(TAG, rows[i].text);
                assert_references(LAYOUT_OLLAMA, TAG, rows[i].found);
        }
}

static void broken_manifests_are_reported(void **state) {
        static const struct {
                const char *text, *broken;
        } rows[] = {
                { "", "it is empty" },
                { "{\"config\":{\"digest\":\"sha256:aaaa", "it is not JSON" },
                { "{}}", "it is not JSON" },
                { "not json", "it is not JSON" },
                { "{\"a\":1,\"a\":2}", "it is not JSON" },
                { "{}", "it is not a manifest" },
                { "[]", "it is not a manifest" },
                { "[1,2]", "it is not a manifest" },
                { "{\"config\":{\"digest\":\"sha256:aaaa\"}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":\"" DIGEST_A "a\"}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":\"" DIGEST_A "\\u0000\"}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":\"sha512:aaaa\"}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":\"../../etc/shadow\"}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":1}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":{}}}", "it has an invalid digest" },
                { "{\"config\":{\"digest\":\"" DIGEST_A "\",\"size\":-1}}", "it has a negative size" },
                { "{\"layers\":[{\"digest\":\"" DIGEST_A "\",\"size\":1},{\"digest\":\"" DIGEST_A "\",\"size\":2}]}",
                  "it gives two sizes for one file" },
        };
        char text[300];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                put_at(TAG, rows[i].text);
                (void) snprintf(text, sizeof(text), "broken: %s", rows[i].broken);
                assert_references(LAYOUT_OLLAMA, TAG, text);
        }
}

static void a_manifest_that_is_cut_off_anywhere_is_broken(void **state) {
        (void) state;
        put_at(TAG, manifest);
        for (size_t n = sizeof(manifest) - 2; n > 0; n--) {
                assert_int_equal(truncate(TAG, (off_t) n), 0);
                assert_references(LAYOUT_OLLAMA, TAG, "broken: it is not JSON");
        }
        assert_int_equal(truncate(TAG, sizeof(manifest) - 1), 0); /* zeros where the rest was */
        assert_references(LAYOUT_OLLAMA, TAG, "broken: it is not JSON");
}

static void a_manifest_is_bounded(void **state) {
        _cleanup_(freep) char *deep = calloc(1, 4000), *wide = malloc(5000000);

        (void) state;
        put_at(TAG, manifest);
        assert_int_equal(truncate(TAG, 17 * 1024 * 1024), 0);
        assert_references(LAYOUT_OLLAMA, TAG, "broken: it is larger than 16 MiB");
        assert_non_null(deep);
        memset(deep, '[', 1000);
        memset(deep + 1000, ']', 1000);
        put_at(TAG, deep);
        assert_references(LAYOUT_OLLAMA, TAG, "broken: it is nested too deeply");
        assert_non_null(wide);
        memset(wide, ',', 5000000);
        for (size_t i = 0; i < 4999999; i += 2)
                wide[i] = '1';
        wide[0] = '[';
        wide[4999998] = ']';
        wide[4999999] = '\0';
        put_text(TAG, wide);
        assert_references(LAYOUT_OLLAMA, TAG, "broken: it has too many values");
}

static void a_manifest_that_is_no_file_is_broken(void **state) {
        (void) state;
        put_at(TAG, manifest);
        shell("mkdir -p blobs; ln -s ../../../../blobs/" C " manifests/registry.ollama.ai/library/llama/link;"
              "ln -s /etc/passwd manifests/registry.ollama.ai/library/llama/out;"
              "ln -s link manifests/registry.ollama.ai/library/llama/twice");
        assert_references(LAYOUT_OLLAMA, "manifests/registry.ollama.ai/library/llama/link",
                          "broken: its target is missing");
        assert_references(LAYOUT_OLLAMA, "manifests/registry.ollama.ai/library/llama/out",
                          "broken: it points outside the mirror or source");
        assert_references(LAYOUT_OLLAMA, "manifests/registry.ollama.ai/library/llama/twice",
                          "broken: it is a link to a link");
}

static void a_tag_that_is_a_link_names_the_manifest_and_what_that_names(void **state) {
        (void) state;
        put_at("blobs/" C, manifest);
        shell("mkdir -p manifest-v2/library/llama; ln -s ../../../blobs/" C " manifest-v2/library/llama/soft;"
              "ln blobs/" C " manifest-v2/library/llama/hard; ln -s $PWD/blobs/" C
              " manifest-v2/library/llama/absolute");
        assert_references(LAYOUT_OLLAMA, "manifest-v2/library/llama/soft",
                          "blobs/" A "=4294967296 blobs/" B "=485 blobs/" C "*");
        assert_references(LAYOUT_OLLAMA, "manifest-v2/library/llama/hard",
                          "blobs/" A "=4294967296 blobs/" B "=485 blobs/" C "*");
        assert_references(LAYOUT_OLLAMA, "manifest-v2/library/llama/absolute",
                          "blobs/" A "=4294967296 blobs/" B "=485 blobs/" C "*");
}

static void a_list_of_manifests_is_followed_one_level_down(void **state) {
        static const char list[] =
                "{\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
                "\"manifests\":[{\"mediaType\":\"" MANIFEST_TYPE "\","
                "\"digest\":\"sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\","
                "\"size\":9}]}";

        (void) state;
        put_at(TAG, list);
        shell("mkdir blobs");
        assert_references(LAYOUT_OLLAMA, TAG, "broken: a manifest that it names is missing");
        put_at("blobs/" C, manifest);
        assert_references(LAYOUT_OLLAMA, TAG, "blobs/" A "=4294967296 blobs/" B "=485 blobs/" C "*=9");
        put_at("blobs/" C, "{\"layers\":");
        assert_references(LAYOUT_OLLAMA, TAG, "broken: a manifest that it names is broken");
        put_at("blobs/" C, list); /* of itself */
        assert_references(LAYOUT_OLLAMA, TAG, "broken: a manifest that it names is broken");
}

/* ---- Hugging Face ---- */

static void a_ref_names_its_snapshot(void **state) {
        (void) state;
        put_at("models--o--n/refs/main", COMMIT);
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/refs/main", "broken: its snapshot is missing");
        put_at("models--o--n/snapshots/" COMMIT "/sub/b", "regular");
        shell("ln -s ../../blobs/x models--o--n/snapshots/" COMMIT "/a");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/refs/main",
                          "models--o--n/snapshots/" COMMIT "/a models--o--n/snapshots/" COMMIT "/sub/b");
        put_at("models--o--n/refs/pr/1", COMMIT "\n");
        put_at("models--o--n/trees/" COMMIT ".json", "{}");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/refs/pr/1",
                          "models--o--n/snapshots/" COMMIT "/a models--o--n/snapshots/" COMMIT
                          "/sub/b models--o--n/trees/" COMMIT ".json");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/refs/pr", "");
}

static void a_ref_that_is_no_commit_is_broken(void **state) {
        static const char *const texts[] = {
                "main", "0123456789abcdef", COMMIT "0", COMMIT " " COMMIT, "\n",
                "../../../../etc/aaaaaaaaaaaaaaaaaaaaaaaaaa",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                put_at("models--o--n/refs/main", texts[i]);
                assert_references(LAYOUT_HUGGINGFACE, "models--o--n/refs/main", "broken: it is not a commit");
        }
        put_at("models--o--n/refs/main", "");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/refs/main", "broken: it is empty");
}

static void a_link_of_a_snapshot_names_its_blob(void **state) {
        (void) state;
        shell("mkdir -p models--o--n/snapshots/" COMMIT "/sub models--o--n/blobs; cd models--o--n/snapshots/" COMMIT
              "; ln -s ../../blobs/x a; ln -s ../../../blobs/y sub/b; ln -s ../../../../../out c; "
              "ln -s /etc/passwd d; touch e");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/snapshots/" COMMIT "/a", "models--o--n/blobs/x");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/snapshots/" COMMIT "/sub/b", "models--o--n/blobs/y");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/snapshots/" COMMIT "/c",
                          "broken: it points outside the mirror or source");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/snapshots/" COMMIT "/d",
                          "broken: it points outside the mirror or source");
        assert_references(LAYOUT_HUGGINGFACE, "models--o--n/snapshots/" COMMIT "/e", "");
}

/* ---- plain ---- */

static void an_index_names_the_shards_beside_it(void **state) {
        static const struct {
                const char *text, *found;
        } rows[] = {
                { "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"t1\":\"m-1.safetensors\","
                  "\"t2\":\"m-2.safetensors\",\"t3\":\"m-1.safetensors\"}}",
                  "x/m-1.safetensors x/m-2.safetensors" },
                { "{\"weight_map\":{}}", "" },
                { "{\"weight_map\":{\"t\":\"sub/m..1\"}}", "x/sub/m..1" },
                { "", "broken: it is empty" },
                { "{\"weight_map\":{\"t\"", "broken: it is not JSON" },
                { "{}", "broken: it has no weight_map" },
                { "[]", "broken: it has no weight_map" },
                { "{\"weight_map\":[]}", "broken: it has no weight_map" },
                { "{\"weight_map\":{\"t\":1}}", "broken: its weight_map has an invalid file name" },
                { "{\"weight_map\":{\"t\":\"\"}}", "broken: its weight_map has an invalid file name" },
                { "{\"weight_map\":{\"t\":\"../m\"}}", "broken: its weight_map has an invalid file name" },
                { "{\"weight_map\":{\"t\":\"a/..\"}}", "broken: its weight_map has an invalid file name" },
                { "{\"weight_map\":{\"t\":\"/etc/passwd\"}}", "broken: its weight_map has an invalid file name" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                put_at("x/model.safetensors.index.json", rows[i].text);
                assert_references(LAYOUT_PLAIN, "x/model.safetensors.index.json", rows[i].found);
        }
        put_at("model.safetensors.index.json", rows[0].text);
        assert_references(LAYOUT_PLAIN, "model.safetensors.index.json", "m-1.safetensors m-2.safetensors");
}

static void the_first_shard_names_the_others(void **state) {
        (void) state;
        put_at("x/m-00001-of-00004.gguf", "GGUF");
        put_at("x/m-00002-of-00004.gguf", "GGUF");
        assert_references(LAYOUT_PLAIN, "x/m-00001-of-00004.gguf",
                          "x/m-00002-of-00004.gguf x/m-00003-of-00004.gguf x/m-00004-of-00004.gguf");
        assert_references(LAYOUT_PLAIN, "x/m-00002-of-00004.gguf", "");
        put_at("m-00001-of-00002.gguf", "GGUF");
        /* the rest of any tree is plain */
        assert_references(LAYOUT_OLLAMA, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
        assert_references(LAYOUT_HUGGINGFACE, "m-00001-of-00002.gguf", "m-00002-of-00002.gguf");
        shell("ln -s x/m-00002-of-00004.gguf l-00001-of-00002.gguf");
        assert_references(LAYOUT_PLAIN, "l-00001-of-00002.gguf", "x/m-00002-of-00004.gguf");
}

static void a_record_of_a_download_names_its_file(void **state) {
        (void) state;
        put_at("D/.cache/huggingface/download/sub/a.gguf.metadata", "x");
        assert_references(LAYOUT_PLAIN, "D/.cache/huggingface/download/sub/a.gguf.metadata", "D/sub/a.gguf");
        put_at(".cache/huggingface/download/a.gguf.metadata", "x");
        assert_references(LAYOUT_PLAIN, ".cache/huggingface/download/a.gguf.metadata", "a.gguf");
}

static void a_description_of_localai_names_files_that_are_there(void **state) {
        (void) state;
        put_at("a.gguf", "x");
        put_at("sub/b.gguf", "x");
        put_at("c.bin", "x");
        put_at("phi.yaml",
               "name: phi\nmmproj: ./sub/b.gguf\nparameters:\n  model: a.gguf # the model\nbackend: llama\n"
               "files:\n- filename: \"c.bin\"\n- filename: gone.bin\n"
               "model: huggingface://o/n/x.gguf\r\nmodel:\nmodel: phi.yaml");
        assert_references(LAYOUT_PLAIN, "phi.yaml", "a.gguf c.bin sub/b.gguf");
        put_at("phi.yaml", "name: nothing\n");
        assert_references(LAYOUT_PLAIN, "phi.yaml", "");
        put_at("phi.yaml", "");
        assert_references(LAYOUT_PLAIN, "phi.yaml", "broken: it is empty");
        put_bytes("phi.yaml", "a\0b", 3);
        assert_references(LAYOUT_PLAIN, "phi.yaml", "broken: it is not text");
        put_at("sub/phi.yaml", "");
        assert_references(LAYOUT_PLAIN, "sub/phi.yaml", "");
}

static void random_bytes_and_flipped_bits_do_no_harm(void **state) {
        static const struct {
                LayoutKind kind;
                const char *path, *text;
        } seeds[] = {
                { LAYOUT_OLLAMA, TAG, manifest },
                { LAYOUT_HUGGINGFACE, "models--o--n/refs/main", COMMIT },
                { LAYOUT_PLAIN, "x/m.safetensors.index.json",
                  "{\"weight_map\":{\"t1\":\"m-1.safetensors\",\"t2\":\"m-2.safetensors\"}}" },
                { LAYOUT_PLAIN, "phi.yaml", "parameters:\n  model: \"phi.yaml\" # x\n- filename: './a'\n" },
        };
        uint64_t random = random_seed();
        int fd = open_directory(".");

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(seeds); i++) {
                ScanOptions options = { .root = "/", .mirror = true };
                _cleanup_(manifest_freep) Manifest *tree = NULL;

                put_at(seeds[i].path, seeds[i].text);
                assert_int_equal(scan_tree(fd, &options, &tree), 0);
                for (unsigned plan_run = 0; plan_run < 2000; plan_run++) {
                        size_t n = strlen(seeds[i].text);
                        char bytes[512];
                        References found = {};
                        const char *text = NULL;
                        int r;

                        memcpy(bytes, seeds[i].text, n);
                        if (plan_run % 5 == 0)
                                fill_bytes((uint8_t *) bytes, n = random_below(&random, sizeof(bytes)),
                                           random_next(&random));
                        for (unsigned k = 1 + random_below(&random, 3); n > 0 && k > 0; k--)
                                bytes[random_below(&random, (unsigned) n)] ^= (char) (1u << random_below(&random, 8));
                        put_bytes(seeds[i].path, bytes, n);
                        r = references_read(seeds[i].kind, fd, tree, seeds[i].path, &found, &text);
                        assert_true(r == 0 || (r == REFERENCES_BROKEN && text));
                        for (size_t k = 0; k < found.n; k++)
                                assert_null(strstr(found.items[k].path, "/../"));
                        reference_list_done(&found);
                }
        }
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_GROUND(a_manifest_names_its_blobs_with_their_sizes),
                ON_GROUND(manifests_of_many_forms_are_understood),
                ON_GROUND(broken_manifests_are_reported),
                ON_GROUND(a_manifest_that_is_cut_off_anywhere_is_broken),
                ON_GROUND(a_manifest_is_bounded),
                ON_GROUND(a_manifest_that_is_no_file_is_broken),
                ON_GROUND(a_tag_that_is_a_link_names_the_manifest_and_what_that_names),
                ON_GROUND(a_list_of_manifests_is_followed_one_level_down),
                ON_GROUND(a_ref_names_its_snapshot),
                ON_GROUND(a_ref_that_is_no_commit_is_broken),
                ON_GROUND(a_link_of_a_snapshot_names_its_blob),
                ON_GROUND(an_index_names_the_shards_beside_it),
                ON_GROUND(the_first_shard_names_the_others),
                ON_GROUND(a_record_of_a_download_names_its_file),
                ON_GROUND(a_description_of_localai_names_files_that_are_there),
                ON_GROUND(random_bytes_and_flipped_bits_do_no_harm),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
