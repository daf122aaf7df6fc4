/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is to be without RAM: absent, or with a link in its place, whatever the layout. */

#include "ground.h"
#include "plan/release.h"

#include "layout/layout.h"

static Manifest *source, *mirror;
static Overrides overrides;

static int setup(void **state) {
        (void) state;
        assert_int_equal(manifest_new(&source), 0);
        assert_int_equal(manifest_new(&mirror), 0);
        return 0;
}

static int teardown(void **state) {
        (void) state;
        source = manifest_free(source);
        mirror = manifest_free(mirror);
        overrides_done(&overrides);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* "d/" is a directory, "a>b" a link, "a=b" a further name of b, else it is a file. */
static void put(Manifest *manifest, const char *text) {
        _cleanup_(freep) char *copy = strdup(text);
        char *mark = strpbrk(copy, ">=");
        Entry entry = { .path = copy, .type = ENTRY_FILE, .size = 1 };

        if (mark) {
                entry.type = *mark == '>' ? ENTRY_SYMLINK : ENTRY_HARDLINK;
                entry.target = mark + 1;
                *mark = '\0';
        } else if (copy[strlen(copy) - 1] == '/') {
                entry.type = ENTRY_DIRECTORY;
                copy[strlen(copy) - 1] = '\0';
        }
        assert_int_equal(manifest_put(manifest, &entry), 0);
}

static void put_all(Manifest *manifest, const char *paths) {
        _cleanup_(freep) char *copy = strdup(paths);

        for (char *save = NULL, *path = strtok_r(copy, " ", &save); path; path = strtok_r(NULL, " ", &save))
                put(manifest, path);
        manifest_sort(manifest);
}

/* What is absent; then "~" and what a link stands for; then "!" and the files that are reported. */
static const char *listing(LayoutKind kind, bool link) {
        ReleaseInput input = { .kind = kind, .overrides = &overrides, .mirror = mirror, .link = link };
        PathSet absent = {}, released = {};
        static char text[4096];

        text[0] = '\0';
        assert_int_equal(release_apply(source, &input, &absent, &released), 0);
        for (size_t i = 0; i < absent.n; i++)
                strcat(strcat(text, " "), absent.items[i]);
        strcat(text, " ~");
        for (size_t i = 0; i < source->n_entries; i++)
                if (source->entries[i].flags & ENTRY_DISK_ONLY)
                        strcat(strcat(text, " "), source->entries[i].path);
        strcat(text, " !");
        for (size_t i = 0; i < released.n; i++)
                strcat(strcat(text, " "), released.items[i]);
        pathset_done(&absent);
        pathset_done(&released);
        return text + 1;
}

static void without_overrides_nothing_is_released(void **state) {
        (void) state;
        put_all(source, "a d/ d/b");
        assert_string_equal(listing(LAYOUT_PLAIN, false), "~ !");
}

static void a_directory_goes_with_all_that_is_in_it(void **state) {
        (void) state;
        put_all(source, "a d/ d/b d/e/ d/e/c d/l>b");
        assert_int_equal(overrides_release(&overrides, "d"), 0);
        assert_string_equal(listing(LAYOUT_PLAIN, false), "d d/b d/e d/e/c d/l ~ ! d/b d/e/c");
        assert_int_equal(overrides_stage(&overrides, "d/e"), 0);
        assert_string_equal(listing(LAYOUT_PLAIN, false), "d d/b d/l ~ ! d/b");
}

static void with_links_files_have_one_and_the_rest_stays(void **state) {
        (void) state;
        put_all(source, "a d/ d/b d/l>b");
        assert_int_equal(overrides_release(&overrides, "d"), 0);
        assert_string_equal(listing(LAYOUT_PLAIN, true), "~ d/b ! d/b");
}

static void a_file_stays_if_one_of_its_names_does(void **state) {
        (void) state;
        put_all(source, "a b=a c=a");
        assert_int_equal(overrides_release(&overrides, "a"), 0);
        assert_int_equal(overrides_release(&overrides, "b"), 0);
        assert_string_equal(listing(LAYOUT_PLAIN, false), "~ !");
        assert_int_equal(overrides_release(&overrides, "c"), 0);
        assert_string_equal(listing(LAYOUT_PLAIN, false), "a b c ~ ! a b c");
}

static void manifests_and_blobs_of_ollama_are_not_its_business(void **state) {
        (void) state;
        put_all(source, "blobs/ blobs/sha256-0000000000000000000000000000000000000000000000000000000000000000 manifests/ manifests/r/ manifests/r/l/ manifests/r/l/m/ manifests/r/l/m/t other");
        assert_int_equal(overrides_release(&overrides, "blobs"), 0);
        assert_int_equal(overrides_release(&overrides, "manifests/r/l/m/t"), 0);
        assert_string_equal(listing(LAYOUT_OLLAMA, false), "~ !");
        assert_int_equal(overrides_release(&overrides, "other"), 0);
        assert_string_equal(listing(LAYOUT_OLLAMA, false), "other ~ ! other");
}

#define REPO "models--o--n"
#define ONE REPO "/blobs/1111111111111111111111111111111111111111"
#define TWO REPO "/blobs/2222222222222222222222222222222222222222"
#define SNAPSHOTS REPO "/snapshots/a/f>../../blobs/1111111111111111111111111111111111111111 " REPO "/snapshots/b/f>../../blobs/1111111111111111111111111111111111111111 " \
        REPO "/snapshots/b/g>../../blobs/2222222222222222222222222222222222222222"

static void a_repository_of_hugging_face_is_absent_also_with_links(void **state) {
        (void) state;
        put_all(source, REPO "/ " ONE " " REPO "/refs/main models--o--other");
        assert_int_equal(overrides_release(&overrides, REPO), 0);
        assert_string_equal(listing(LAYOUT_HUGGINGFACE, true), REPO " " ONE " " REPO "/refs/main ~ ! " ONE " " REPO "/refs/main");
}

static void a_blob_goes_with_the_last_link_that_leads_to_it(void **state) {
        (void) state;
        put_all(source, ONE " " TWO " " SNAPSHOTS);
        assert_int_equal(overrides_release(&overrides, REPO "/snapshots/b"), 0);
        assert_string_equal(listing(LAYOUT_HUGGINGFACE, false), TWO " " REPO "/snapshots/b/f " REPO "/snapshots/b/g ~ ! " TWO);
        assert_int_equal(overrides_release(&overrides, REPO "/snapshots/a/f"), 0);
        assert_string_equal(listing(LAYOUT_HUGGINGFACE, false), ONE " " TWO " " REPO "/snapshots/a/f " REPO "/snapshots/b/f " REPO "/snapshots/b/g ~ ! " ONE " " TWO);
}

static void a_blob_that_a_client_has_linked_again_stays(void **state) {
        (void) state;
        put_all(source, ONE " " TWO " " SNAPSHOTS);
        put_all(mirror, REPO "/snapshots/c/g>../../blobs/2222222222222222222222222222222222222222");
        assert_int_equal(overrides_release(&overrides, REPO "/snapshots/b"), 0);
        assert_string_equal(listing(LAYOUT_HUGGINGFACE, false), REPO "/snapshots/b/f " REPO "/snapshots/b/g ~ !");
}

static void the_links_go_with_a_blob(void **state) {
        (void) state;
        put_all(source, ONE " " TWO " " SNAPSHOTS);
        assert_int_equal(overrides_release(&overrides, ONE), 0);
        assert_string_equal(listing(LAYOUT_HUGGINGFACE, false), ONE " " REPO "/snapshots/a/f " REPO "/snapshots/b/f ~ ! " ONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(without_overrides_nothing_is_released),
                TEST(a_directory_goes_with_all_that_is_in_it),
                TEST(with_links_files_have_one_and_the_rest_stays),
                TEST(a_file_stays_if_one_of_its_names_does),
                TEST(manifests_and_blobs_of_ollama_are_not_its_business),
                TEST(a_repository_of_hugging_face_is_absent_also_with_links),
                TEST(a_blob_goes_with_the_last_link_that_leads_to_it),
                TEST(a_blob_that_a_client_has_linked_again_stays),
                TEST(the_links_go_with_a_blob),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
