/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Entries are found by their inode numbers, hard links together and in the order of their paths. */

#include "ground.h"
#include "tree/inodes.h"

static void put(Manifest *manifest, const char *path, uint64_t ino) {
        Entry entry = { .path = (char *) path, .ino = ino };

        assert_int_equal(manifest_put(manifest, &entry), 0);
}

static uint64_t ino_of(const Entry *entry) {
        return entry->ino;
}

static void an_empty_manifest_has_no_inodes(void **state) {
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        Inodes inodes = {};

        (void) state;
        assert_int_equal(inodes_find(&inodes, 1), 0);
        assert_int_equal(manifest_new(&manifest), 0);
        assert_int_equal(inodes_collect(&inodes, manifest, ino_of), 0);
        assert_int_equal(inodes.n, 0);
        assert_int_equal(inodes_find(&inodes, 1), 0);
        inodes_done(&inodes);
        inodes_done(&inodes);
}

static void every_inode_is_found_by_its_first_name(void **state) {
        static const struct {
                uint64_t ino;
                const char *first;
                size_t n;
        } expected[] = { { 2, "c", 1 }, { 5, "a", 3 }, { 9, "d", 1 }, { UINT64_MAX, "b", 1 } };
        _cleanup_(manifest_freep) Manifest *manifest = NULL;
        Inodes inodes = {};

        (void) state;
        assert_int_equal(manifest_new(&manifest), 0);
        put(manifest, "f", 5);
        put(manifest, "a", 5);
        put(manifest, "b", UINT64_MAX);
        put(manifest, "c", 2);
        put(manifest, "d", 9);
        put(manifest, "e", 5);
        put(manifest, "none", 0);
        manifest_sort(manifest);
        assert_int_equal(inodes_collect(&inodes, manifest, ino_of), 0);
        assert_int_equal(inodes.n, 6);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                size_t k = inodes_find(&inodes, expected[i].ino);

                for (size_t n = 0; n < expected[i].n; n++)
                        assert_int_equal(inodes.items[k + n].ino, expected[i].ino);
                assert_string_equal(manifest->entries[inodes.items[k].index].path, expected[i].first);
                assert_true(k + expected[i].n == inodes.n || inodes.items[k + expected[i].n].ino != expected[i].ino);
        }
        assert_int_equal(inodes_find(&inodes, 0), inodes.n);
        assert_int_equal(inodes_find(&inodes, 6), inodes.n);
        assert_int_equal(inodes_find(&inodes, UINT64_MAX - 1), inodes.n);
        assert_string_equal(manifest->entries[inodes.items[2].index].path, "e");
        assert_string_equal(manifest->entries[inodes.items[3].index].path, "f");
        inodes_done(&inodes);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_manifest_has_no_inodes),
                cmocka_unit_test(every_inode_is_found_by_its_first_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
