/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which files form which model by their names, in real directories. The models of an Ollama store are in its
 * manifests: see tests/unit/plan/test-select-models.c. */

#include "model-trees.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static Models *find_models(void) {
        _cleanup_(manifest_freep) Manifest *source = scan("source", false), *mirror = scan("mirror", true);
        Models *models = NULL;

        assert_int_equal(models_new(&models, kind), 0);
        assert_int_equal(models_add_trees(models, source, mirror, base), 0);
        assert_int_equal(models_sort(models), 0);
        return models;
}

static void assert_models(const char *text) {
        _cleanup_(models_freep) Models *models = find_models();

        assert_string_equal(models_text(models), text);
}

static void assert_means(const char *name, const char *text) {
        _cleanup_(models_freep) Models *models = find_models();

        assert_string_equal(models_meant(models, name), text);
}

/* ---- plain ---- */

static void model_files_of_a_plain_tree_are_models_without_their_extension(void **state) {
        (void) state;
        put_files("source", "llama.gguf pub/name/Q4.v1.gguf old.GGML net.onnx README.md notes.txt x/voice.pt .gguf");
        assert_models("llama: llama.gguf; net: net.onnx; old: old.GGML; pub/name/Q4.v1: pub/name/Q4.v1.gguf; "
                      "x/voice: x/voice.pt");
}

static void a_split_model_is_one(void **state) {
        (void) state;
        put_files("source", "a/m-00001-of-00003.gguf a/m-00002-of-00003.gguf a/m-00003-of-00003.gguf a/m-mmproj.gguf "
                            "b-00001-of-00002.bin b-00002-of-00002.bin");
        assert_models("a/m: a/m-00001-of-00003.gguf a/m-00002-of-00003.gguf a/m-00003-of-00003.gguf; a/m-mmproj: "
                      "a/m-mmproj.gguf; b: b-00001-of-00002.bin b-00002-of-00002.bin");
}

static void a_directory_of_transformers_is_one(void **state) {
        (void) state;
        put_files("source", "org/config/config.json org/config/a.bin org/tensors/w.safetensors "
                            "org/index/model.safetensors.index.json org/index/x.bin "
                            "org/diffusers/model_index.json org/diffusers/unet/config.json "
                            "org/diffusers/unet/d.safetensors org/none/tokenizer.json org/none/a.bin");
        assert_models("org/config: org/config; org/diffusers: org/diffusers; org/index: org/index; org/none/a: "
                      "org/none/a.bin; org/tensors: org/tensors");
}

/* The top directory has no name that Models= could give. */
static void what_is_at_the_top_is_taken_file_by_file(void **state) {
        (void) state;
        put_files("source", "config.json tokenizer.json model-00001-of-00002.safetensors "
                            "model-00002-of-00002.safetensors sub/config.json");
        assert_models("model: model-00001-of-00002.safetensors model-00002-of-00002.safetensors; sub: sub");
}

static void files_of_one_name_are_one_model(void **state) {
        (void) state;
        put_files("source", "m.gguf m.onnx m/config.json");
        assert_models("m: m m.gguf m.onnx");
        assert_means("m", "m m.gguf m.onnx");
}

static void what_is_unfinished_is_no_model(void **state) {
        (void) state;
        put_files("source", "a.gguf.part b.gguf.tmp .cache/c.incomplete");
        put_files("mirror", "d.gguf downloading_e.gguf");
        assert_models("d: d.gguf");
}

static void both_trees_count_together(void **state) {
        (void) state;
        put_files("source", "org/m/config.json both.gguf");
        put_files("mirror", "org/m/w.bin both.gguf new.gguf");
        assert_models("both: both.gguf; new: new.gguf; org/m: org/m");
}

static void what_is_about_to_leave_the_mirror_is_no_model_any_more(void **state) {
        (void) state;
        put_files("source", "stays.gguf");
        put_files("mirror", "stays.gguf goes.gguf changed.gguf dir/config.json");
        agree("mirror/stays.gguf");
        agree("mirror/goes.gguf");
        agree("mirror/changed.gguf");
        agree("mirror/dir/config.json");
        put_text("mirror/changed.gguf", "a client's work");
        assert_models("changed: changed.gguf; stays: stays.gguf");
}

static void only_what_was_agreed_and_is_gone_from_the_source_is_leaving(void **state) {
        _cleanup_(manifest_freep) Manifest *source = NULL, *mirror = NULL;

        (void) state;
        put_files("source", "stays");
        put_files("mirror", "stays goes new");
        agree("mirror/stays");
        agree("mirror/goes");
        source = scan("source", false);
        mirror = scan("mirror", true);
        assert_false(models_is_leaving(base, source, manifest_find(mirror, "stays")));
        assert_true(models_is_leaving(base, source, manifest_find(mirror, "goes")));
        assert_false(models_is_leaving(base, source, manifest_find(mirror, "new")));
        assert_false(models_is_leaving(NULL, source, manifest_find(mirror, "goes")));
        assert_int_equal(manifest_omit(source, "goes", OMIT_UNREADABLE, EACCES), 0);
        assert_false(models_is_leaving(base, source, manifest_find(mirror, "goes")));
}

static void names_mean_in_a_plain_tree_what_they_mean_in_models(void **state) {
        (void) state;
        put_files("source", "top.gguf a/llama-7b.gguf b/llama-7b.gguf b/llama-13b.gguf c/config.json");
        assert_means("a/llama-7b", "a/llama-7b.gguf");
        assert_means("llama-7b", "a/llama-7b.gguf b/llama-7b.gguf");
        assert_means("b/*", "b/llama-13b.gguf b/llama-7b.gguf");
        assert_means("*7b", "a/llama-7b.gguf b/llama-7b.gguf");
        assert_means("c", "c");
        assert_means("nothing", "");
}

static void a_name_with_what_is_a_globs_in_it_means_itself(void **state) {
        (void) state;
        put_files("source", "'a/m[1].gguf' a/m1.gguf");
        assert_models("a/m1: a/m1.gguf; a/m[1]: a/m[1].gguf");
        assert_means("a/m[1]", "a/m[1].gguf");
}

/* ---- Hugging Face ---- */

static void repositories_of_hugging_face_are_models(void **state) {
        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "models--org--name/refs/main models--org--name/snapshots/" COMMIT
                            "/config.json models--bert/refs/main datasets--org--data/refs/main "
                            "spaces--org--demo/refs/main .locks/models--org--name/x.lock version.txt");
        put_files("mirror", "models--new--one/refs/main");
        assert_models("bert: models--bert; datasets/org/data: datasets--org--data; new/one: models--new--one; "
                      "org/name: models--org--name; spaces/org/demo: spaces--org--demo");
        shell("rm -r mirror/*");
        assert_means("org/name", "models--org--name");
        assert_means("org/*", "models--org--name");
        assert_means("datasets/*/*", "datasets--org--data");
        assert_means("data", "");
        assert_means("org/data", "");
}

static void paths_alone_give_no_model_of_an_ollama_store(void **state) {
        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", "manifests/registry.ollama.ai/library/a/latest loose.gguf");
        assert_models("");
}

/* ---- the list itself ---- */

static void an_empty_list_has_nothing(void **state) {
        _cleanup_(models_freep) Models *models = NULL;
        _cleanup_(strv_freep) char **paths = NULL;

        (void) state;
        assert_int_equal(models_new(&models, LAYOUT_PLAIN), 0);
        assert_int_equal(models_count(models), 0);
        assert_int_equal(models_find(models, "*", &paths), 0);
        assert_int_equal(models_sort(models), 0);
        assert_int_equal(models_count(models), 0);
        assert_int_equal(models_find(models, "*", &paths), 0);
}

static void a_list_is_sorted_and_has_each_part_once(void **state) {
        _cleanup_(models_freep) Models *models = NULL;
        char name[32], path[32];

        (void) state;
        assert_int_equal(models_new(&models, LAYOUT_PLAIN), 0);
        for (unsigned i = 0; i < 3000; i++) {
                (void) snprintf(name, sizeof(name), "m%04u", (i * 7) % 1000);
                (void) snprintf(path, sizeof(path), "p%u", (i * 7) % 1000 % 2);
                assert_int_equal(models_add(models, name, i % 3 == 0 ? name : path), 0);
        }
        assert_int_equal(models_sort(models), 0);
        assert_int_equal(models_count(models), 1000);
        for (size_t i = 0; i < 1000; i++) {
                (void) snprintf(name, sizeof(name), "m%04zu", i);
                assert_string_equal(models_name(models, i), name);
                assert_int_equal(models_n_paths(models, i), 2);
                assert_string_equal(models_path(models, i, 0), name);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_TREES(model_files_of_a_plain_tree_are_models_without_their_extension),
                WITH_TREES(a_split_model_is_one),
                WITH_TREES(a_directory_of_transformers_is_one),
                WITH_TREES(what_is_at_the_top_is_taken_file_by_file),
                WITH_TREES(files_of_one_name_are_one_model),
                WITH_TREES(what_is_unfinished_is_no_model),
                WITH_TREES(both_trees_count_together),
                WITH_TREES(what_is_about_to_leave_the_mirror_is_no_model_any_more),
                WITH_TREES(only_what_was_agreed_and_is_gone_from_the_source_is_leaving),
                WITH_TREES(names_mean_in_a_plain_tree_what_they_mean_in_models),
                WITH_TREES(a_name_with_what_is_a_globs_in_it_means_itself),
                WITH_TREES(repositories_of_hugging_face_are_models),
                WITH_TREES(paths_alone_give_no_model_of_an_ollama_store),
                cmocka_unit_test(an_empty_list_has_nothing),
                cmocka_unit_test(a_list_is_sorted_and_has_each_part_once),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
