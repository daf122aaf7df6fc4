/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What Models= chooses, what an Ollama store needs, and what nothing needs any more. */

#include "base/strv.h"
#include "ground.h"
#include "plan/select.h"
#include "plan/unreferenced.h"
#include "tree/scan.h"

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000"
#define BLOB(digit) "sha256-" digit ZEROS digit
#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define LIBRARY "manifests/registry.ollama.ai/library/"

/* ---- the ground: source/ and mirror/ ---- */

static Manifest *base;
static Overrides overrides;
static LayoutKind kind;
static char **deleted;

static int setup(void **state) {
        (void) ground_setup(state);
        make_directory("source");
        make_directory("mirror");
        assert_int_equal(manifest_new(&base), 0);
        kind = LAYOUT_PLAIN;
        deleted = NULL;
        return 0;
}

static int teardown(void **state) {
        overrides_done(&overrides);
        base = manifest_free(base);
        deleted = strv_free(deleted);
        return ground_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void release(const char *path) {
        assert_int_equal(overrides_release(&overrides, path), 0);
}

static void want(const char *path) {
        assert_int_equal(overrides_stage(&overrides, path), 0);
}

/* Files, each of one byte, and their directories. */
static void put_files(const char *root, const char *paths) {
        char command[4096];

        (void) snprintf(command, sizeof(command), "cd %s; for p in %s; do mkdir -p $(dirname $p) && printf x >$p; done", root, paths);
        shell(command);
}

/* A manifest of blobs, given by their digits. */
static void put_manifest(const char *path, const char *digits) {
        char text[2048] = "{\"config\":{},\"layers\":[", command[512];

        for (const char *s = digits; *s; s++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text),
                                "%s{\"digest\":\"sha256:%c" ZEROS "%c\",\"size\":1}", s > digits ? "," : "", *s, *s);
        strcat(text, "]}");
        (void) snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", path);
        shell(command);
        put_text(path, text);
        set_mtime(path, 1000, 0);
}

/* What is on both sides is agreed. */
static void agree(const char *path, uint16_t flags) {
        struct stat st = stat_at(path);
        Entry entry = { .path = (char *) strchr(path, '/') + 1, .size = (uint64_t) st.st_size, .mtime_nsec = st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec, .flags = flags,
                        .ino = st.st_ino, .dev = (uint32_t) st.st_dev };

        entry.disk = (DiskObject){ .ino = st.st_ino, .mtime_nsec = entry.mtime_nsec, .ctime_nsec = st.st_ctim.tv_sec * NSEC_PER_SEC + st.st_ctim.tv_nsec };
        assert_int_equal(manifest_put(base, &entry), 0);
        manifest_sort(base);
}

static Manifest *scan(const char *root, bool mirror) {
        int fd = open_directory(root);
        static char *none[] = { NULL };
        char path[64];
        ScanOptions options = { .root = path, .mirror = mirror, .include = mirror ? NULL : none, .exclude = none };
        Manifest *tree = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", ground_base, root);
        assert_int_equal(scan_tree(fd, &options, &tree), 0);
        (void) close(fd);
        return tree;
}

static bool is_deleted(const char *path, void *userdata) {
        for (char **s = *(char ***) userdata; s && *s; s++)
                if (strcmp(*s, path) == 0)
                        return true;
        return false;
}

static void delete(const char *path) {
        assert_int_equal(strv_take(&deleted, strdup(path)), 0);
}

/* The files that stay, "~" before those that are only linked and "?" before orphans, "=FIRST" behind hard links; then after "!" the names that
 * chose nothing. Directories only if @directories, with a slash. Models are separated by blanks. */
static const char *choose_listing(const char *models, bool directories) {
        static char said[8192];
        _cleanup_(manifest_freep) Manifest *source = scan("source", false), *mirror = scan("mirror", true);
        _cleanup_(strv_freep) char **names = NULL, **unmatched = NULL;
        _cleanup_(freep) char *copy = strdup(models);
        int sourcefd = open_directory("source"), mirrorfd = open_directory("mirror");
        SelectInput input = { .kind = kind, .sourcefd = sourcefd, .mirrorfd = mirrorfd, .mirror = mirror, .base = base,
                              .is_deleted = is_deleted, .userdata = &deleted, .overrides = &overrides };

        assert_int_equal(strv_copy(NULL, &names), 0);
        for (char *save = NULL, *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save))
                assert_int_equal(strv_take(&names, strdup(name)), 0);
        input.models = names;
        assert_int_equal(select_apply(source, &input, &unmatched), 0);
        (void) close(sourcefd);
        (void) close(mirrorfd);
        said[0] = '\0';
        for (size_t i = 0; i < source->n_entries; i++) {
                const Entry *e = &source->entries[i];

                if (e->type == ENTRY_DIRECTORY && !directories)
                        continue;
                (void) snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%s%s%s%s%s%s", said[0] ? " " : "", e->flags & ENTRY_DISK_ONLY ? "~" : "",
                                e->flags & ENTRY_ORPHAN ? "?" : "", e->path, e->type == ENTRY_DIRECTORY ? "/" : "", e->type == ENTRY_HARDLINK ? "=" : "",
                                e->type == ENTRY_HARDLINK ? e->target : "");
        }
        for (char **s = unmatched; *s; s++)
                (void) snprintf(said + strlen(said), sizeof(said) - strlen(said), " !%s", *s);
        return said;
}

#define assert_chosen(models, text) assert_string_equal(choose_listing(models, false), text)

/* ---- plain ---- */

static void without_names_all_of_a_plain_tree_is_chosen(void **state) {
        (void) state;
        put_files("source", "a.gguf b/c.gguf");
        make_directory("source/empty");
        assert_string_equal(choose_listing("", true), "a.gguf b/ b/c.gguf empty/");
}

static void names_choose_directories_files_and_sets_of_a_plain_tree(void **state) {
        static const struct {
                const char *models, *chosen;
        } rows[] = {
                { "org/big", "org/big/config.json org/big/sub/w.bin" },
                { "big", "org/big/config.json org/big/sub/w.bin" },
                { "org", "org/big/config.json org/big/sub/w.bin org/small.gguf" },
                { "org/*", "org/big/config.json org/big/sub/w.bin org/small.gguf" },
                { "small.gguf", "org/small.gguf" },
                { "small", "org/small.gguf" },
                { "org/small", "org/small.gguf" },
                { "org/small.gguf", "org/small.gguf" },
                { "sma*", "org/small.gguf" },
                { "split", "split-00001-of-00003.gguf split-00002-of-00003.gguf split-00003-of-00003.gguf" },
                { "split-00002-of-00003", "split-00001-of-00003.gguf split-00002-of-00003.gguf split-00003-of-00003.gguf" },
                { "split-00002-of-00003.gguf", "split-00001-of-00003.gguf split-00002-of-00003.gguf split-00003-of-00003.gguf" },
                { "tune", "x/tune-00001-of-00002.safetensors x/tune-00002-of-00002.safetensors" },
                { "x/tune", "x/tune-00001-of-00002.safetensors x/tune-00002-of-00002.safetensors" },
                { "odd[1]", "odd[1].gguf" },
                { "small nothing org/no* big", "org/big/config.json org/big/sub/w.bin org/small.gguf !nothing !org/no*" },
                { "x/*/y", " !x/*/y" },
                { "Small", " !Small" },
                { "mall", " !mall" },
                { "split-", " !split-" },
                { "config", "org/big/config.json" },
        };

        (void) state;
        put_files("source", "org/big/config.json org/big/sub/w.bin org/small.gguf split-00001-of-00003.gguf split-00002-of-00003.gguf "
                            "split-00003-of-00003.gguf splitter-00001-of-00002.gguf 'odd[1].gguf' x/tune-00001-of-00002.safetensors x/tune-00002-of-00002.safetensors");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_chosen(rows[i].models, rows[i].chosen);
}

static void directories_that_nothing_chosen_is_below_are_dropped(void **state) {
        (void) state;
        put_files("source", "a/b/c/x.gguf a/b/y.gguf d/z.gguf a-b/w.gguf");
        shell("mkdir -p source/a/b/c/empty source/e");
        assert_string_equal(choose_listing("x", true), "a/ a/b/ a/b/c/ a/b/c/x.gguf");
        assert_string_equal(choose_listing("c", true), "a/ a/b/ a/b/c/ a/b/c/empty/ a/b/c/x.gguf");
        assert_string_equal(choose_listing("e", true), "e/");
        assert_string_equal(choose_listing("none", true), " !none");
}

static void what_a_client_brought_stays_chosen(void **state) {
        (void) state;
        put_files("source", "a/x.gguf b/y.gguf c/z.gguf d/record.gguf");
        agree("source/b/y.gguf", ENTRY_SAVED);
        agree("source/c/z.gguf", 0);
        agree("source/d/record.gguf", ENTRY_SAVED | ENTRY_RECORD);
        assert_string_equal(choose_listing("x", true), "a/ a/x.gguf b/ b/y.gguf");
}

static void a_chosen_link_brings_what_it_leads_to(void **state) {
        (void) state;
        put_files("source", "store/1.gguf store/2.gguf store/dir/a store/dir/b store/dir2/c");
        shell("mkdir source/links; ln -s ../store/1.gguf source/links/one; ln -s one source/links/chain; ln -s ../store/dir source/links/folder;"
              "ln -s nowhere source/links/dangling; ln -s loop source/links/loop");
        assert_chosen("one", "links/one store/1.gguf");
        assert_chosen("chain", "links/chain links/one store/1.gguf");
        assert_chosen("folder", "links/folder store/dir/a store/dir/b");
        assert_chosen("dangling loop", "links/dangling links/loop");
}

static void a_further_name_becomes_the_file_when_the_first_is_dropped(void **state) {
        (void) state;
        put_files("source", "a/first.gguf z.gguf");
        shell("cd source; mkdir b c; ln a/first.gguf b/second.gguf; ln a/first.gguf c/third.gguf; ln z.gguf z2.gguf");
        assert_chosen("", "a/first.gguf b/second.gguf=a/first.gguf c/third.gguf=a/first.gguf z.gguf z2.gguf=z.gguf");
        assert_chosen("first", "a/first.gguf");
        assert_chosen("third", "c/third.gguf");
        assert_chosen("second third", "b/second.gguf c/third.gguf=b/second.gguf");
        assert_chosen("first third", "a/first.gguf c/third.gguf=a/first.gguf");
        assert_chosen("z2 second", "b/second.gguf z2.gguf");
}

static void a_file_that_inherits_has_size_and_room(void **state) {
        _cleanup_(manifest_freep) Manifest *source = NULL;
        char first[] = "first", *models[] = { (char[]){ "second" }, NULL };
        SelectInput input = { .kind = LAYOUT_PLAIN, .models = models, .sourcefd = -1, .mirrorfd = -1 };
        _cleanup_(strv_freep) char **unmatched = NULL;

        (void) state;
        assert_int_equal(manifest_new(&source), 0);
        assert_int_equal(manifest_put(source, &(Entry){ .path = first, .type = ENTRY_FILE, .size = 5000, .room = 8192 }), 0);
        assert_int_equal(manifest_put(source, &(Entry){ .path = models[0], .target = first, .type = ENTRY_HARDLINK, .size = 5000 }), 0);
        manifest_sort(source);
        assert_int_equal(select_apply(source, &input, &unmatched), 0);
        assert_int_equal(source->n_entries, 1);
        assert_int_equal(source->entries[0].type, ENTRY_FILE);
        assert_null(source->entries[0].target);
        assert_int_equal(source->entries[0].room, 8192);
        assert_int_equal(source->entries[0].size, 5000);
}

static void unfinished_names_of_the_layout_are_left_out(void **state) {
        _cleanup_(manifest_freep) Manifest *source = NULL;
        SelectInput input = { .kind = LAYOUT_OLLAMA, .models = NULL, .mirrorfd = -1 };
        _cleanup_(strv_freep) char **unmatched = NULL;
        int fd;

        (void) state;
        put_files("source", "blobs/" BLOB("1") " blobs/Q4_K_M123 blobs/split-gguf-1/x " LIBRARY "m/latest/deep");
        shell("ln source/blobs/Q4_K_M123 source/unfinished-first");
        source = scan("source", false);
        assert_non_null(manifest_find(source, "blobs/split-gguf-1"));
        fd = input.sourcefd = open_directory("source");
        assert_int_equal(select_apply(source, &input, &unmatched), 0);
        (void) close(fd);
        assert_non_null(manifest_find(source, "blobs/" BLOB("1")));
        assert_null(manifest_find(source, "blobs/split-gguf-1"));
        assert_null(manifest_find(source, LIBRARY "m/latest/deep"));
        assert_int_equal(manifest_omissions(source, OMIT_IN_PROGRESS), 3);
        assert_int_equal(manifest_find(source, "unfinished-first")->type, ENTRY_FILE);
}

static void names_that_are_unfinished_in_another_layout_stay(void **state) {
        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "models--o--a/snapshots/" COMMIT "/poetry.lock models--o--a/blobs/1.lock models--o--b.tmp/blobs/2 tmp1/dummy_file_src");
        assert_chosen("", "models--o--a/snapshots/" COMMIT "/poetry.lock ?models--o--b.tmp/blobs/2");
}

/* ---- Hugging Face ---- */

static void names_choose_repositories_of_hugging_face(void **state) {
        static const struct {
                const char *models, *chosen;
        } rows[] = {
                { "", "CACHEDIR.TAG datasets--o--d/snapshots/c/1 models--gpt2/snapshots/c/2 models--o--a/refs/main models--o--a/snapshots/c/3 models--o--b.x/snapshots/c/4 models--p--a/snapshots/c/5 spaces--o--s/snapshots/c/6" },
                { "o/a", "models--o--a/refs/main models--o--a/snapshots/c/3" },
                { "o/b.x gpt2", "models--gpt2/snapshots/c/2 models--o--b.x/snapshots/c/4" },
                { "o/*", "models--o--a/refs/main models--o--a/snapshots/c/3 models--o--b.x/snapshots/c/4" },
                { "*/a", "models--o--a/refs/main models--o--a/snapshots/c/3 models--p--a/snapshots/c/5" },
                { "*", "models--gpt2/snapshots/c/2 models--o--a/refs/main models--o--a/snapshots/c/3 models--o--b.x/snapshots/c/4 models--p--a/snapshots/c/5" },
                { "datasets/o/d", "datasets--o--d/snapshots/c/1" },
                { "spaces/*/*", "spaces--o--s/snapshots/c/6" },
                { "o/d a o", " !o/d !a !o" },
        };

        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "CACHEDIR.TAG datasets--o--d/snapshots/c/1 models--gpt2/snapshots/c/2 models--o--a/refs/main models--o--a/snapshots/c/3 models--o--b.x/snapshots/c/4 models--p--a/snapshots/c/5 spaces--o--s/snapshots/c/6");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_chosen(rows[i].models, rows[i].chosen);
}

static void blobs_that_no_link_leads_to_are_orphans(void **state) {
        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "models--o--a/blobs/1 models--o--a/blobs/2 models--o--a/blobs/3 models--o--a/snapshots/c/regular");
        shell("cd source/models--o--a/snapshots/c; ln -s ../../blobs/1 one; ln -s ../../blobs/2 two; cp -a ../../../../source/models--o--a ../../../../mirror");
        assert_chosen("", "models--o--a/blobs/1 models--o--a/blobs/2 ?models--o--a/blobs/3 models--o--a/snapshots/c/one models--o--a/snapshots/c/regular models--o--a/snapshots/c/two");
        assert_chosen("o/a", "models--o--a/blobs/1 models--o--a/blobs/2 ?models--o--a/blobs/3 models--o--a/snapshots/c/one models--o--a/snapshots/c/regular models--o--a/snapshots/c/two");
        assert_int_equal(unlink("mirror/models--o--a/snapshots/c/two"), 0);
        delete("models--o--a/snapshots/c/two"); /* a revision was removed, the other has blob 1 as well */
        assert_chosen("", "models--o--a/blobs/1 ?models--o--a/blobs/2 ?models--o--a/blobs/3 models--o--a/snapshots/c/one models--o--a/snapshots/c/regular models--o--a/snapshots/c/two");
        shell("ln -s ../../../../outside mirror/models--o--a/snapshots/c/out");
        assert_chosen("", "models--o--a/blobs/1 models--o--a/blobs/2 models--o--a/blobs/3 models--o--a/snapshots/c/one models--o--a/snapshots/c/regular models--o--a/snapshots/c/two");
}

/* ---- Ollama ---- */

/* Blobs 1 (shared), 2, 3, 4 and an orphan 9. */
static void put_store(const char *root) {
        char path[256];

        kind = LAYOUT_OLLAMA;
        put_files(root, "blobs/" BLOB("1") " blobs/" BLOB("2") " blobs/" BLOB("3") " blobs/" BLOB("4") " blobs/" BLOB("9"));
        (void) snprintf(path, sizeof(path), "%s/" LIBRARY "llama3.1/latest", root);
        put_manifest(path, "12");
        (void) snprintf(path, sizeof(path), "%s/" LIBRARY "llama3.1/70b", root);
        put_manifest(path, "13");
        (void) snprintf(path, sizeof(path), "%s/manifests/hf.co/user/model/Q4", root);
        put_manifest(path, "4");
}

#define MANIFESTS "manifests/hf.co/user/model/Q4 " LIBRARY "llama3.1/70b " LIBRARY "llama3.1/latest"
#define BLOBS(a, b, c, d, e) a "blobs/" BLOB("1") " " b "blobs/" BLOB("2") " " c "blobs/" BLOB("3") " " d "blobs/" BLOB("4") " " e "blobs/" BLOB("9") " "

static void without_names_a_store_has_what_its_manifests_reach(void **state) {
        (void) state;
        put_store("source");
        assert_chosen("", BLOBS("", "", "", "", "?") MANIFESTS);
}

static void names_choose_models_of_a_store(void **state) {
        static const struct {
                const char *models, *chosen;
        } rows[] = {
                { "llama3.1", BLOBS("", "", "~", "~", "?") MANIFESTS },
                { "llama3.1:latest", BLOBS("", "", "~", "~", "?") MANIFESTS },
                { "library/llama3.1", BLOBS("", "", "~", "~", "?") MANIFESTS },
                { "registry.ollama.ai/library/llama3.1:latest", BLOBS("", "", "~", "~", "?") MANIFESTS },
                { "llama3.1:70b", BLOBS("", "~", "", "~", "?") MANIFESTS },
                { "Llama3.1:70B", BLOBS("", "~", "", "~", "?") MANIFESTS },
                { "llama3.1:*", BLOBS("", "", "", "~", "?") MANIFESTS },
                { "llama*", BLOBS("", "", "", "~", "?") MANIFESTS },
                { "llama*:7*", BLOBS("", "~", "", "~", "?") MANIFESTS },
                { "hf.co/user/model:Q4", BLOBS("~", "~", "~", "", "?") MANIFESTS },
                { "hf.co/*/*", BLOBS("~", "~", "~", "", "?") MANIFESTS },
                { "hf.co/user/model", BLOBS("~", "~", "~", "~", "?") MANIFESTS " !hf.co/user/model" },
                { "*", BLOBS("", "", "", "", "?") MANIFESTS },
                { "user/model:Q4 a/b/c/d llama3.1:70b", BLOBS("", "~", "", "~", "?") MANIFESTS " !user/model:Q4 !a/b/c/d" },
        };

        (void) state;
        put_store("source");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_chosen(rows[i].models, rows[i].chosen);
}

static void a_host_with_a_port_is_no_tag(void **state) {
        (void) state;
        put_store("source");
        put_manifest("source/manifests/localhost:5000/me/own/latest", "9");
        assert_chosen("localhost:5000/me/own", BLOBS("~", "~", "~", "~", "") "manifests/hf.co/user/model/Q4 manifests/localhost:5000/me/own/latest "
                                               LIBRARY "llama3.1/70b " LIBRARY "llama3.1/latest");
}

static void nothing_is_an_orphan_while_a_manifest_is_not_understood(void **state) {
        static const char *const broken[] = { "", "{\"config\":{\"digest\":\"sha2", "{}" };

        (void) state;
        put_store("source");
        for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
                put_text("source/manifests/hf.co/user/model/Q4", broken[i]);
                assert_chosen("", BLOBS("", "", "", "", "") MANIFESTS);
                assert_chosen("llama3.1", BLOBS("", "", "~", "~", "~") MANIFESTS);
        }
}

static void what_a_client_deleted_is_needed_no_more(void **state) {
        (void) state;
        put_store("source");
        put_store("mirror");
        agree("source/" LIBRARY "llama3.1/70b", 0);
        assert_int_equal(unlink("mirror/" LIBRARY "llama3.1/70b"), 0);
        assert_chosen("", BLOBS("", "", "", "", "?") MANIFESTS); /* no client has deleted it */
        delete(LIBRARY "llama3.1/70b");
        assert_chosen("", BLOBS("", "", "?", "", "?") MANIFESTS); /* the shared one stays needed */
}

static void the_old_layers_of_a_model_that_was_pulled_again_are_orphans(void **state) {
        (void) state;
        put_store("source");
        put_store("mirror");
        agree("source/" LIBRARY "llama3.1/latest", 0);
        put_manifest("mirror/" LIBRARY "llama3.1/latest", "19");
        set_mtime("mirror/" LIBRARY "llama3.1/latest", 2000, 0);
        assert_chosen("", BLOBS("", "?", "", "", "") MANIFESTS);
}

/* Then the base has the times of what is in the mirror now. */
static void they_are_when_a_comparison_has_found_out_that_the_mirrors_was_altered(void **state) {
        (void) state;
        put_store("source");
        put_store("mirror");
        agree("source/" LIBRARY "llama3.1/latest", ENTRY_HAS_DIGEST | ENTRY_MIRROR_DIFFERS | ENTRY_RACY);
        manifest_find(base, LIBRARY "llama3.1/latest")->mtime_nsec = 2000 * NSEC_PER_SEC;
        put_manifest("mirror/" LIBRARY "llama3.1/latest", "19");
        set_mtime("mirror/" LIBRARY "llama3.1/latest", 2000, 0);
        assert_chosen("", BLOBS("", "?", "", "", "") MANIFESTS);
}

static void the_new_layers_of_a_model_that_changed_on_disk_are_needed(void **state) {
        (void) state;
        put_store("source");
        put_store("mirror");
        agree("source/" LIBRARY "llama3.1/latest", 0);
        put_manifest("source/" LIBRARY "llama3.1/latest", "19");
        set_mtime("source/" LIBRARY "llama3.1/latest", 2000, 0);
        assert_chosen("", BLOBS("", "", "", "", "") MANIFESTS);
}

static void a_manifest_that_broke_in_the_mirror_lets_the_disk_speak(void **state) {
        (void) state;
        put_store("source");
        put_store("mirror");
        agree("source/" LIBRARY "llama3.1/latest", 0);
        put_text("mirror/" LIBRARY "llama3.1/latest", ""); /* a pull into a full tmpfs */
        assert_chosen("llama3.1", BLOBS("", "", "~", "~", "~") MANIFESTS);
}

static void blobs_that_a_client_brought_are_not_only_linked(void **state) {
        (void) state;
        put_store("source");
        agree("source/blobs/" BLOB("3"), ENTRY_SAVED);
        agree("source/blobs/" BLOB("4"), ENTRY_SAVED | ENTRY_RECORD);
        agree("source/blobs/" BLOB("9"), ENTRY_SAVED);
        assert_chosen("llama3.1", BLOBS("", "", "", "~", "?") MANIFESTS);
}

static void a_model_that_is_only_in_the_mirror_is_matched_and_needed(void **state) {
        (void) state;
        put_store("source");
        put_manifest("mirror/" LIBRARY "new/latest", "49");
        assert_chosen("new", BLOBS("~", "~", "~", "", "") MANIFESTS);
}

static void a_released_model_is_linked_but_for_what_others_need(void **state) {
        (void) state;
        put_store("source");
        release(LIBRARY "llama3.1/70b");
        assert_chosen("", BLOBS("", "", "~", "", "?") MANIFESTS);
        assert_chosen("*", BLOBS("", "", "~", "", "?") MANIFESTS); 
        release(LIBRARY "llama3.1");
        assert_chosen("", BLOBS("~", "~", "~", "", "?") MANIFESTS);
        want(LIBRARY "llama3.1/latest");
        assert_chosen("", BLOBS("", "", "~", "", "?") MANIFESTS);
        release("blobs/" BLOB("4"));
        assert_chosen("", BLOBS("", "", "~", "~", "?") MANIFESTS);
        want("blobs/" BLOB("3"));
        assert_chosen("", BLOBS("", "", "", "~", "?") MANIFESTS);
}

static void that_a_client_brought_it_does_not_protect_from_a_release(void **state) {
        (void) state;
        put_store("source");
        agree("source/blobs/" BLOB("1"), ENTRY_SAVED);
        agree("source/blobs/" BLOB("3"), ENTRY_SAVED);
        release(LIBRARY "llama3.1/70b");
        assert_chosen("user/model", BLOBS("~", "~", "~", "~", "?") MANIFESTS " !user/model");
}

static void what_a_client_brought_needs_its_blobs_still(void **state) {
        (void) state;
        put_store("source");
        agree("source/" LIBRARY "llama3.1/latest", ENTRY_SAVED);
        agree("source/blobs/" BLOB("1"), ENTRY_SAVED);
        agree("source/blobs/" BLOB("2"), ENTRY_SAVED);
        release(LIBRARY "llama3.1/70b");
        assert_chosen("hf.co/*/*", BLOBS("", "", "~", "", "?") MANIFESTS);
}

static void a_wanted_model_is_chosen_beside_those_of_the_configuration(void **state) {
        (void) state;
        put_store("source");
        want(LIBRARY "llama3.1/70b");
        assert_chosen("hf.co/*/*", BLOBS("", "~", "", "", "?") MANIFESTS);
}

static void what_is_wanted_of_a_plain_tree_is_chosen_and_what_was_released_stays_listed(void **state) {
        (void) state;
        put_files("source", "a.gguf b/c.gguf b/d.gguf e-00001-of-00002.gguf e-00002-of-00002.gguf");
        want("b");
        want("e-00001-of-00002.gguf");
        release("a.gguf");
        assert_chosen("nothing", "a.gguf b/c.gguf b/d.gguf e-00001-of-00002.gguf e-00002-of-00002.gguf !nothing");
}

static void a_manifest_among_the_blobs_stays_in_ram(void **state) {
        (void) state;
        put_store("source");
        put_text("source/manifests/hf.co/user/model/Q4",
                 "{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":1,"
                 "\"digest\":\"sha256:9" ZEROS "9\"}]}");
        shell("printf '{\"layers\":[{\"digest\":\"sha256:4" ZEROS "4\"}]}' >source/blobs/" BLOB("9"));
        assert_chosen("llama3.1", BLOBS("", "", "~", "~", "") MANIFESTS);
        assert_chosen("", BLOBS("", "", "", "", "") MANIFESTS);
}

static void two_names_of_one_blob_have_one_fate(void **state) {
        (void) state;
        put_store("source");
        shell("cd source; ln blobs/" BLOB("9") " other-name");
        assert_chosen("llama3.1", BLOBS("", "", "~", "~", "") MANIFESTS " other-name=blobs/" BLOB("9"));
        shell("cd source; rm other-name; ln -f blobs/" BLOB("2") " blobs/" BLOB("3"));
        assert_chosen("llama3.1:70b", "blobs/" BLOB("1") " blobs/" BLOB("2") " blobs/" BLOB("3") "=blobs/" BLOB("2") " ~blobs/" BLOB("4") " ?blobs/" BLOB("9") " " MANIFESTS);
}

/* ---- the sweep ---- */

static const char *pruner(const char *digits) {
        static char said[1024];
        _cleanup_(strv_freep) char **condemned = NULL, **unneeded = NULL;
        _cleanup_(freep) char *path = NULL;
        int fd = open_directory("source"), r;

        for (const char *s = digits; *s; s++) {
                char *blob;

                assert_true(asprintf(&blob, kind == LAYOUT_OLLAMA ? "blobs/sha256-%c" ZEROS "%c"
                                                                  : "models--o--a/blobs/%c%c", *s, *s) > 0);
                assert_int_equal(strv_take(&condemned, blob), 0);
        }
        r = unreferenced_find(kind, fd, condemned, &unneeded, &path);
        (void) close(fd);
        (void) snprintf(said, sizeof(said), "%s", r < 0 ? strerror(-r) : r == UNREFERENCED_UNSURE ? path : "");
        for (char **s = unneeded; s && *s; s++)
                (void) snprintf(said + strlen(said), sizeof(said) - strlen(said), "%c", (*s)[strlen(*s) - 1]);
        return said;
}

static void the_sweep_takes_what_no_manifest_on_disk_names(void **state) {
        (void) state;
        put_store("source");
        assert_string_equal(pruner("123456789"), "56789");
        assert_string_equal(pruner(""), "");
        assert_int_equal(unlink("source/" LIBRARY "llama3.1/70b"), 0);
        assert_string_equal(pruner("13"), "3"); /* 1 is shared with what stays */
}

static void the_sweep_takes_nothing_while_a_manifest_is_not_understood(void **state) {
        static const char *const places[] = { LIBRARY "llama3.1/latest", LIBRARY "llama3.1/.hidden", "manifests/a/b/c/d/e", "manifest-v2/x", "manifests/file" };

        (void) state;
        put_store("source");
        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                char path[128], command[300];

                (void) snprintf(path, sizeof(path), "source/%s", places[i]);
                (void) snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", path);
                shell(command);
                put_text(path, "{\"layers\":[");
                assert_string_equal(pruner("123456789"), places[i]);
                put_manifest(path, "7");
                assert_string_equal(pruner("56789"), "5689");
                (void) snprintf(command, sizeof(command), "rm %s", path);
                shell(command);
        }
        make_directory("source/manifests/closed");
        put_text("source/manifests/closed.json", "");
        assert_string_equal(pruner("9"), "manifests/closed.json");
}

static void the_sweep_of_hugging_face_goes_by_the_links_of_snapshots(void **state) {
        (void) state;
        kind = LAYOUT_HUGGINGFACE;
        put_files("source", "models--o--a/blobs/11 models--o--a/blobs/22 models--o--a/refs/main");
        shell("mkdir -p source/models--o--a/snapshots/" COMMIT "/sub; cd source/models--o--a/snapshots/" COMMIT "; ln -s ../../../blobs/22 sub/file");
        assert_string_equal(pruner("123"), "13");
        shell("ln -s /elsewhere source/models--o--a/snapshots/" COMMIT "/out");
        assert_string_equal(pruner("1"), "models--o--a/snapshots/" COMMIT "/out");
}

static void the_sweep_of_a_plain_tree_takes_nothing(void **state) {
        char *condemned[] = { (char[]){ "a.gguf" }, NULL }, *path = NULL;
        _cleanup_(strv_freep) char **unneeded = NULL;
        int fd = open_directory("source");

        (void) state;
        put_files("source", "a.gguf");
        assert_int_equal(unreferenced_find(LAYOUT_PLAIN, fd, condemned, &unneeded, &path), 0);
        assert_int_equal(strv_length(unneeded), 0);
        (void) close(fd);
}

/* ---- many ---- */

static void a_large_tree_is_chosen_quickly(void **state) {
        enum { N = 100000 };
        _cleanup_(manifest_freep) Manifest *source = NULL;
        char *models[] = { (char[]){ "m7*" }, (char[]){ "org/d5" }, NULL };
        SelectInput input = { .kind = LAYOUT_PLAIN, .models = models, .sourcefd = -1, .mirrorfd = -1 };
        _cleanup_(strv_freep) char **unmatched = NULL;
        clock_t begin;

        (void) state;
        assert_int_equal(manifest_new(&source), 0);
        for (unsigned i = 0; i < N; i++) {
                char path[96], target[96];

                (void) snprintf(path, sizeof(path), "org/d%u/m%u-%05u-of-%05u.gguf", i / 1000, i / 10, i % 10 + 1, 10u);
                (void) snprintf(target, sizeof(target), "org/d%u/m%u-00001-of-00010.gguf", i / 1000, i / 10);
                assert_int_equal(manifest_put(source, &(Entry){ .path = path, .type = i % 10 ? ENTRY_HARDLINK : ENTRY_FILE, .target = i % 10 ? target : NULL }), 0);
        }
        manifest_sort(source);
        begin = clock();
        assert_int_equal(select_apply(source, &input, &unmatched), 0);
        assert_true(clock() - begin < 20 * CLOCKS_PER_SEC); /* a square of N would take far longer */
        assert_int_equal(source->n_entries, 11110); /* 7, 70-79, 700-799, 7000-7999 of ten each; "org/d5" is no entry here */
        assert_int_equal(strv_length(unmatched), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(without_names_all_of_a_plain_tree_is_chosen),
                TEST(names_choose_directories_files_and_sets_of_a_plain_tree),
                TEST(directories_that_nothing_chosen_is_below_are_dropped),
                TEST(what_a_client_brought_stays_chosen),
                TEST(a_chosen_link_brings_what_it_leads_to),
                TEST(a_further_name_becomes_the_file_when_the_first_is_dropped),
                TEST(a_file_that_inherits_has_size_and_room),
                TEST(unfinished_names_of_the_layout_are_left_out),
                TEST(names_that_are_unfinished_in_another_layout_stay),
                TEST(names_choose_repositories_of_hugging_face),
                TEST(blobs_that_no_link_leads_to_are_orphans),
                TEST(without_names_a_store_has_what_its_manifests_reach),
                TEST(names_choose_models_of_a_store),
                TEST(a_host_with_a_port_is_no_tag),
                TEST(nothing_is_an_orphan_while_a_manifest_is_not_understood),
                TEST(what_a_client_deleted_is_needed_no_more),
                TEST(the_old_layers_of_a_model_that_was_pulled_again_are_orphans),
                TEST(they_are_when_a_comparison_has_found_out_that_the_mirrors_was_altered),
                TEST(the_new_layers_of_a_model_that_changed_on_disk_are_needed),
                TEST(a_manifest_that_broke_in_the_mirror_lets_the_disk_speak),
                TEST(blobs_that_a_client_brought_are_not_only_linked),
                TEST(a_model_that_is_only_in_the_mirror_is_matched_and_needed),
                TEST(a_released_model_is_linked_but_for_what_others_need),
                TEST(that_a_client_brought_it_does_not_protect_from_a_release),
                TEST(what_a_client_brought_needs_its_blobs_still),
                TEST(a_wanted_model_is_chosen_beside_those_of_the_configuration),
                TEST(what_is_wanted_of_a_plain_tree_is_chosen_and_what_was_released_stays_listed),
                TEST(a_manifest_among_the_blobs_stays_in_ram),
                TEST(two_names_of_one_blob_have_one_fate),
                TEST(the_sweep_takes_what_no_manifest_on_disk_names),
                TEST(the_sweep_takes_nothing_while_a_manifest_is_not_understood),
                TEST(the_sweep_of_hugging_face_goes_by_the_links_of_snapshots),
                TEST(the_sweep_of_a_plain_tree_takes_nothing),
                TEST(a_large_tree_is_chosen_quickly),
        };

        ground_enter();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
