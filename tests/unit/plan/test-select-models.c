/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Models as a selection finds them: those of an Ollama store, whose manifests it reads; and that each name that is
 * shown for a model is one that chooses it in Models=, in every layout. */

#include "model-trees.h"
#include "plan/select.h"

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000"
#define BLOB(digit) "blobs/sha256-" digit ZEROS digit
#define LIBRARY "registry.ollama.ai/library/"
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char *none[] = { NULL };

/* A manifest of blobs, given by their digits. */
static void put_manifest(const char *root, const char *place, const char *digits) {
        char text[2048] = "{\"config\":{},\"layers\":[", path[512], command[600];

        for (const char *s = digits; *s; s++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text),
                                "%s{\"digest\":\"sha256:%c" ZEROS "%c\",\"size\":1}", s > digits ? "," : "", *s, *s);
        strcat(text, "]}");
        (void) snprintf(path, sizeof(path), "%s/manifests/%s", root, place);
        (void) snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", path);
        shell(command);
        put_text(path, text);
        set_mtime(path, 1000, 0);
}

/* As a survey does it, with Models= as given. *ret_source, if wanted, is what was chosen. */
static Models *find_models(char *const *names, Manifest **ret_source) {
        _cleanup_(manifest_freep) Manifest *source = scan("source", false), *mirror = scan("mirror", true);
        _cleanup_(strv_freep) char **unmatched = NULL;
        int sourcefd = open_directory("source"), mirrorfd = open_directory("mirror");
        Models *models = NULL;
        SelectInput input = { .kind = kind,
                              .models = names,
                              .sourcefd = sourcefd,
                              .mirrorfd = mirrorfd,
                              .mirror = mirror,
                              .base = base };

        assert_int_equal(models_new(&models, kind), 0);
        input.found = models;
        assert_int_equal(select_apply(source, &input, &unmatched), 0);
        assert_null(unmatched[0]);
        assert_int_equal(models_add_trees(models, source, mirror, base), 0);
        assert_int_equal(models_sort(models), 0);
        (void) close(sourcefd);
        (void) close(mirrorfd);
        if (ret_source)
                *ret_source = TAKE_PTR(source);
        return models;
}

static void assert_models(const char *text) {
        _cleanup_(models_freep) Models *models = find_models(none, NULL);

        assert_string_equal(models_text(models), text);
}

static void assert_means(const char *name, const char *text) {
        _cleanup_(models_freep) Models *models = find_models(none, NULL);

        assert_string_equal(models_meant(models, name), text);
}

static size_t find_times(const Models *models, const char *name) {
        size_t n = 0;

        for (size_t i = 0; i < models_count(models); i++)
                n += strcmp(models_name(models, i), name) == 0;
        return n;
}

/* Each name that is shown, alone in Models=, chooses the files that it is shown for. */
static void assert_names_choose_their_models(void) {
        _cleanup_(models_freep) Models *all = find_models(none, NULL);

        assert_true(models_count(all) > 0);
        for (size_t i = 0; i < models_count(all); i++) {
                char *names[] = { (char *) models_name(all, i), NULL };
                _cleanup_(manifest_freep) Manifest *chosen = NULL;
                _cleanup_(models_freep) Models *models = find_models(names, &chosen);

                assert_int_equal(find_times(models, names[0]), 1);
                for (size_t k = 0; k < models_n_paths(all, i); k++) {
                        const Entry *entry = manifest_find(chosen, models_path(all, i, k));

                        if (!entry || entry->flags & (ENTRY_DISK_ONLY | ENTRY_ORPHAN))
                                fail_msg("Models=%s does not choose '%s'", names[0], models_path(all, i, k));
                }
        }
}

/* ---- names ---- */

static void names_of_model_files_choose_them(void **state) {
        (void) state;
        put_files("source", "llama.gguf pub/name/Q4.v1.gguf old.GGML net.onnx README.md notes.txt x/voice.pt .gguf");
        assert_names_choose_their_models();
}

static void the_name_of_a_split_model_chooses_all_of_it(void **state) {
        (void) state;
        put_files("source", "a/m-00001-of-00003.gguf a/m-00002-of-00003.gguf a/m-00003-of-00003.gguf a/m-mmproj.gguf "
                            "b-00001-of-00002.bin b-00002-of-00002.bin");
        assert_names_choose_their_models();
}

static void names_of_directories_choose_what_is_in_them(void **state) {
        (void) state;
        put_files("source", "org/config/config.json org/config/a.bin org/tensors/w.safetensors "
                            "org/index/model.safetensors.index.json org/index/x.bin "
                            "org/diffusers/model_index.json org/diffusers/unet/config.json "
                            "org/diffusers/unet/d.safetensors org/none/tokenizer.json org/none/a.bin");
        assert_names_choose_their_models();
}

static void names_of_files_at_the_top_choose_them(void **state) {
        (void) state;
        put_files("source", "config.json tokenizer.json model-00001-of-00002.safetensors "
                            "model-00002-of-00002.safetensors sub/config.json");
        assert_names_choose_their_models();
}

static void names_of_repositories_choose_them(void **state) {
        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "models--org--name/refs/main models--org--name/snapshots/" COMMIT
                            "/config.json models--bert/refs/main datasets--org--data/refs/main "
                            "spaces--org--demo/refs/main .locks/models--org--name/x.lock version.txt");
        assert_names_choose_their_models();
}

/* ---- Ollama ---- */

static void manifests_are_models_with_their_blobs(void **state) {
        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " " BLOB("2") " " BLOB("3") " loose.gguf");
        put_manifest("source", "registry.ollama.ai/library/llama3.1/70b", "12");
        put_manifest("source", "registry.ollama.ai/library/tiny/latest", "2");
        put_manifest("source", "registry.ollama.ai/me/mine/v1", "3");
        put_manifest("source", "hf.co/org/name/Q4_K_M", "3");
        put_manifest("source", "localhost:5000/library/private/latest", "3");
        assert_models("hf.co/org/name:Q4_K_M: " BLOB("3") " manifests/hf.co/org/name/Q4_K_M; "
                      "llama3.1:70b: " BLOB("1") " " BLOB("2") " manifests/" LIBRARY "llama3.1/70b; "
                      "localhost:5000/library/private:latest: " BLOB("3")
                      " manifests/localhost:5000/library/private/latest; "
                      "me/mine:v1: " BLOB("3") " manifests/registry.ollama.ai/me/mine/v1; "
                      "tiny:latest: " BLOB("2") " manifests/" LIBRARY "tiny/latest");
        assert_names_choose_their_models();
}

static void names_mean_in_an_ollama_store_what_they_mean_to_ollama(void **state) {
        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " " BLOB("2"));
        put_manifest("source", "registry.ollama.ai/library/tiny/latest", "1");
        put_manifest("source", "registry.ollama.ai/library/tiny/7b", "2");
        assert_means("tiny", BLOB("1") " manifests/registry.ollama.ai/library/tiny/latest");
        assert_means("Tiny:LATEST", BLOB("1") " manifests/registry.ollama.ai/library/tiny/latest");
        assert_means("library/tiny:7b", BLOB("2") " manifests/registry.ollama.ai/library/tiny/7b");
        assert_means("tiny:*",
                     BLOB("1") " " BLOB("2") " manifests/" LIBRARY "tiny/7b manifests/" LIBRARY "tiny/latest");
        assert_means("tiny:8b", "");
        assert_means("other", "");
}

/* The mirror's version speaks, but where the disk has a newer one that is about to be staged. */
static void of_two_versions_of_a_manifest_the_one_that_will_be_counts(void **state) {
        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " " BLOB("2"));
        put_files("mirror", BLOB("1"));
        put_manifest("source", "registry.ollama.ai/library/a/latest", "2");
        put_manifest("mirror", "registry.ollama.ai/library/a/latest", "1");
        set_mtime("source/manifests/registry.ollama.ai/library/a/latest", 2000, 0);
        assert_models("a:latest: " BLOB("2") " manifests/registry.ollama.ai/library/a/latest");
        /* as agreed: it looks the same on both sides */
        set_mtime("mirror/manifests/registry.ollama.ai/library/a/latest", 2000, 0);
        assert_models("a:latest: " BLOB("1") " manifests/registry.ollama.ai/library/a/latest");
}

static void a_manifest_that_is_not_understood_is_a_model_of_which_no_more_is_known(void **state) {
        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " manifests/registry.ollama.ai/library/broken/latest");
        put_manifest("mirror", "registry.ollama.ai/library/pulled/latest", "1");
        assert_models("broken:latest: manifests/registry.ollama.ai/library/broken/latest; "
                      "pulled:latest: " BLOB("1") " manifests/registry.ollama.ai/library/pulled/latest");
}

static void models_that_are_not_chosen_are_known_in_an_ollama_store(void **state) {
        char *names[] = { (char *) "a", NULL };

        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " " BLOB("2"));
        put_manifest("source", "registry.ollama.ai/library/a/latest", "1");
        put_manifest("source", "registry.ollama.ai/library/b/latest", "2");
        {
                _cleanup_(models_freep) Models *models = find_models(names, NULL);

                assert_int_equal(models_count(models), 2);
        }
}

static void a_manifest_that_is_about_to_leave_the_mirror_is_no_model_any_more(void **state) {
        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " " BLOB("2"));
        put_manifest("source", "registry.ollama.ai/library/stays/latest", "1");
        put_manifest("mirror", "registry.ollama.ai/library/goes/latest", "2");
        agree("mirror/manifests/registry.ollama.ai/library/goes/latest");
        assert_models("stays:latest: " BLOB("1") " manifests/registry.ollama.ai/library/stays/latest");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_TREES(names_of_model_files_choose_them),
                WITH_TREES(the_name_of_a_split_model_chooses_all_of_it),
                WITH_TREES(names_of_directories_choose_what_is_in_them),
                WITH_TREES(names_of_files_at_the_top_choose_them),
                WITH_TREES(names_of_repositories_choose_them),
                WITH_TREES(manifests_are_models_with_their_blobs),
                WITH_TREES(names_mean_in_an_ollama_store_what_they_mean_to_ollama),
                WITH_TREES(of_two_versions_of_a_manifest_the_one_that_will_be_counts),
                WITH_TREES(a_manifest_that_is_not_understood_is_a_model_of_which_no_more_is_known),
                WITH_TREES(models_that_are_not_chosen_are_known_in_an_ollama_store),
                WITH_TREES(a_manifest_that_is_about_to_leave_the_mirror_is_no_model_any_more),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
