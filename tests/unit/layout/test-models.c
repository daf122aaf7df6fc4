/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which files form which model, in real directories of each layout; and that what is shown as a model's name is one that Models= takes. */

#include "base/strv.h"
#include "ground.h"
#include "layout/layout.h"
#include "layout/models.h"
#include "os/fs.h"
#include "plan/select.h"
#include "tree/scan.h"

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000"
#define BLOB(digit) "blobs/sha256-" digit ZEROS digit
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static LayoutKind kind;
static Manifest *base;

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("source");
        make_directory("mirror");
        kind = LAYOUT_PLAIN;
        return manifest_new(&base);
}

static int teardown(void **state) {
        base = manifest_free(base);
        return ground_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- the ground ---- */

static void put_files(const char *root, const char *paths) {
        char command[4096];

        (void) snprintf(command, sizeof(command), "cd %s; for p in %s; do mkdir -p $(dirname $p) && printf x >$p; done", root, paths);
        shell(command);
}

/* A manifest of blobs, given by their digits. */
static void put_manifest(const char *root, const char *place, const char *digits) {
        char text[2048] = "{\"config\":{},\"layers\":[", path[512], command[600];

        for (const char *s = digits; *s; s++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s{\"digest\":\"sha256:%c" ZEROS "%c\",\"size\":1}", s > digits ? "," : "", *s, *s);
        strcat(text, "]}");
        (void) snprintf(path, sizeof(path), "%s/manifests/%s", root, place);
        (void) snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", path);
        shell(command);
        put_text(path, text);
        set_mtime(path, 1000, 0);
}

static Manifest *scan(const char *root, bool mirror) {
        static char *none[] = { NULL };
        char path[64];
        ScanOptions options = { .root = path, .mirror = mirror, .include = mirror ? NULL : none, .exclude = none };
        int fd = open_directory(root);
        Manifest *tree = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", ground_base, root);
        assert_int_equal(scan_tree(fd, &options, &tree), 0);
        (void) close(fd);
        return tree;
}

/* As a look does it, with Models= as it is given. *ret_source, if wanted, is what was chosen. */
static Models *find_models(char *const *names, Manifest **ret_source) {
        _cleanup_(manifest_freep) Manifest *source = scan("source", false), *mirror = scan("mirror", true);
        _cleanup_(strv_freep) char **unmatched = NULL;
        int sourcefd = open_directory("source"), mirrorfd = open_directory("mirror");
        Models *models = NULL;
        SelectInput input = { .kind = kind, .models = names, .sourcefd = sourcefd, .mirrorfd = mirrorfd, .mirror = mirror, .base = base };

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

/* ---- what is found, as a text ---- */

/* "NAME: PATH PATH; NAME: PATH" */
static const char *listing(void) {
        static char said[8192], *none[] = { NULL };
        _cleanup_(models_freep) Models *models = find_models(none, NULL);

        said[0] = '\0';
        for (size_t i = 0; i < models_count(models); i++) {
                (void) snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s:", i > 0 ? "; " : "", models_name(models, i));
                for (size_t k = 0; k < models_n_paths(models, i); k++)
                        (void) snprintf(said + strlen(said), sizeof(said) - strlen(said), " %s", models_path(models, i, k));
        }
        return said;
}

#define assert_models(text) assert_string_equal(listing(), text)

/* "PATH PATH" of what a name means, "" if nothing. */
static const char *meant(const char *name) {
        static char said[4096], *none[] = { NULL };
        _cleanup_(models_freep) Models *models = find_models(none, NULL);
        _cleanup_(strv_freep) char **paths = NULL;
        int r = models_find(models, name, &paths);

        said[0] = '\0';
        assert_true(r >= 0);
        assert_int_equal(r > 0, paths != NULL);
        for (char **path = paths; path && *path; path++)
                (void) snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s", path > paths ? " " : "", *path);
        return said;
}

#define assert_means(name, text) assert_string_equal(meant(name), text)

static size_t find_times(const Models *models, const char *name) {
        size_t n = 0;

        for (size_t i = 0; i < models_count(models); i++)
                n += strcmp(models_name(models, i), name) == 0;
        return n;
}

/* Each name that is shown, alone in Models=, chooses what it is shown for. */
static void assert_names_choose_their_models(void) {
        static char *none[] = { NULL };
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

/* ---- plain ---- */

static void model_files_of_a_plain_tree_are_models_without_their_extension(void **state) {
        (void) state;
        put_files("source", "llama.gguf pub/name/Q4.v1.gguf old.GGML net.onnx README.md notes.txt x/voice.pt .gguf");
        assert_models("llama: llama.gguf; net: net.onnx; old: old.GGML; pub/name/Q4.v1: pub/name/Q4.v1.gguf; x/voice: x/voice.pt");
        assert_names_choose_their_models();
}

static void a_split_model_is_one(void **state) {
        (void) state;
        put_files("source", "a/m-00001-of-00003.gguf a/m-00002-of-00003.gguf a/m-00003-of-00003.gguf a/m-mmproj.gguf b-00001-of-00002.bin b-00002-of-00002.bin");
        assert_models("a/m: a/m-00001-of-00003.gguf a/m-00002-of-00003.gguf a/m-00003-of-00003.gguf; a/m-mmproj: a/m-mmproj.gguf; b: b-00001-of-00002.bin b-00002-of-00002.bin");
        assert_names_choose_their_models();
}

static void a_directory_of_transformers_is_one(void **state) {
        (void) state;
        put_files("source", "org/config/config.json org/config/a.bin org/tensors/w.safetensors org/index/model.safetensors.index.json org/index/x.bin "
                            "org/diffusers/model_index.json org/diffusers/unet/config.json org/diffusers/unet/d.safetensors org/none/tokenizer.json org/none/a.bin");
        assert_models("org/config: org/config; org/diffusers: org/diffusers; org/index: org/index; org/none/a: org/none/a.bin; org/tensors: org/tensors");
        assert_names_choose_their_models();
}

/* It has no name that anybody could give. */
static void what_is_at_the_top_is_taken_file_by_file(void **state) {
        (void) state;
        put_files("source", "config.json tokenizer.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors sub/config.json");
        assert_models("model: model-00001-of-00002.safetensors model-00002-of-00002.safetensors; sub: sub");
        assert_names_choose_their_models();
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

/* The base's entry for a file of the mirror as it is. */
static void agree(const char *path) {
        struct stat st = survey_at(path);
        Entry entry = { .path = strchr(path, '/') + 1, .size = (uint64_t) st.st_size, .mtime_nsec = fs_nsec(&st.st_mtim) };

        assert_int_equal(manifest_put(base, &entry), 0);
        manifest_sort(base);
}

static void what_is_about_to_leave_the_mirror_is_no_model_any_more(void **state) {
        (void) state;
        put_files("source", "stays.gguf");
        put_files("mirror", "stays.gguf goes.gguf changed.gguf dir/config.json");
        agree("mirror/stays.gguf");
        agree("mirror/goes.gguf");
        agree("mirror/changed.gguf");
        agree("mirror/dir/config.json");
        put_text("mirror/changed.gguf", "somebody's work");
        assert_models("changed: changed.gguf; stays: stays.gguf");
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
                      "llama3.1:70b: " BLOB("1") " " BLOB("2") " manifests/registry.ollama.ai/library/llama3.1/70b; "
                      "localhost:5000/library/private:latest: " BLOB("3") " manifests/localhost:5000/library/private/latest; "
                      "me/mine:v1: " BLOB("3") " manifests/registry.ollama.ai/me/mine/v1; "
                      "tiny:latest: " BLOB("2") " manifests/registry.ollama.ai/library/tiny/latest");
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
        assert_means("tiny:*", BLOB("1") " " BLOB("2") " manifests/registry.ollama.ai/library/tiny/7b manifests/registry.ollama.ai/library/tiny/latest");
        assert_means("tiny:8b", "");
        assert_means("other", "");
}

static void a_blob_is_shared_if_another_model_has_it(void **state) {
        static char *none[] = { NULL };

        (void) state;
        kind = LAYOUT_OLLAMA;
        put_files("source", BLOB("1") " " BLOB("2"));
        put_manifest("source", "registry.ollama.ai/library/a/latest", "12");
        put_manifest("source", "registry.ollama.ai/library/b/latest", "2");
        {
                _cleanup_(models_freep) Models *models = find_models(none, NULL);

                assert_false(models_is_shared(models, "a:latest", BLOB("1")));
                assert_true(models_is_shared(models, "a:latest", BLOB("2")));
                assert_true(models_is_shared(models, "a", BLOB("2")));
                assert_true(models_is_shared(models, "b", BLOB("1")));
                assert_false(models_is_shared(models, "*", BLOB("2")));
        }
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
        set_mtime("mirror/manifests/registry.ollama.ai/library/a/latest", 2000, 0); /* as agreed: it looks the same on both sides */
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

/* ---- Hugging Face ---- */

static void repositories_of_hugging_face_are_models(void **state) {
        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "models--org--name/refs/main models--org--name/snapshots/" COMMIT "/config.json models--bert/refs/main datasets--org--data/refs/main "
                            "spaces--org--demo/refs/main .locks/models--org--name/x.lock version.txt");
        put_files("mirror", "models--new--one/refs/main");
        assert_models("bert: models--bert; datasets/org/data: datasets--org--data; new/one: models--new--one; org/name: models--org--name; spaces/org/demo: spaces--org--demo");
        assert_int_equal(system("rm -r mirror/*"), 0);
        assert_names_choose_their_models();
        assert_means("org/name", "models--org--name");
        assert_means("org/*", "models--org--name");
        assert_means("datasets/*/*", "datasets--org--data");
        assert_means("data", "");
        assert_means("org/data", "");
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
        assert_false(models_is_shared(models, "a", "b"));
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
                TEST(model_files_of_a_plain_tree_are_models_without_their_extension),
                TEST(a_split_model_is_one),
                TEST(a_directory_of_transformers_is_one),
                TEST(what_is_at_the_top_is_taken_file_by_file),
                TEST(files_of_one_name_are_one_model),
                TEST(what_is_unfinished_is_no_model),
                TEST(both_trees_count_together),
                TEST(what_is_about_to_leave_the_mirror_is_no_model_any_more),
                TEST(a_manifest_that_is_about_to_leave_the_mirror_is_no_model_any_more),
                TEST(names_mean_in_a_plain_tree_what_they_mean_in_models),
                TEST(a_name_with_what_is_a_globs_in_it_means_itself),
                TEST(manifests_are_models_with_their_blobs),
                TEST(names_mean_in_an_ollama_store_what_they_mean_to_ollama),
                TEST(a_blob_is_shared_if_another_model_has_it),
                TEST(of_two_versions_of_a_manifest_the_one_that_will_be_counts),
                TEST(a_manifest_that_is_not_understood_is_a_model_of_which_no_more_is_known),
                TEST(models_that_are_not_chosen_are_known_in_an_ollama_store),
                TEST(repositories_of_hugging_face_are_models),
                TEST(an_empty_list_has_nothing),
                TEST(a_list_is_sorted_and_has_each_part_once),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
