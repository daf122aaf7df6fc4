/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Trees of models for tests: source/ and mirror/ as the working directory has them, the base between them, and lists
 * of models as text. */

#include "base/strv.h"
#include "ground.h"
#include "layout/models.h"
#include "os/fs.h"
#include "tree/scan.h"

static LayoutKind kind;
static Manifest *base;

static inline int models_setup(void **state) {
        (void) ground_setup(state);
        make_directory("source");
        make_directory("mirror");
        kind = LAYOUT_PLAIN;
        return manifest_new(&base);
}

static inline int models_teardown(void **state) {
        base = manifest_free(base);
        return ground_teardown(state);
}

#define WITH_TREES(name) cmocka_unit_test_setup_teardown(name, models_setup, models_teardown)

/* Files, each of one byte, and their directories. */
static inline void put_files(const char *root, const char *paths) {
        char command[4096];

        (void) snprintf(command, sizeof(command),
                        "cd %s; for p in %s; do mkdir -p $(dirname $p) && printf x >$p; done", root, paths);
        shell(command);
}

static inline Manifest *scan(const char *root, bool mirror) {
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

/* The base has the file of the mirror as it is. */
static inline void agree(const char *path) {
        struct stat st = stat_at(path);
        Entry entry = { .path = (char *) strchr(path, '/') + 1,
                        .size = (uint64_t) st.st_size,
                        .mtime_nsec = fs_nsec(&st.st_mtim) };

        assert_int_equal(manifest_put(base, &entry), 0);
        manifest_sort(base);
}

/* "NAME: PATH PATH; NAME: PATH" */
static inline const char *models_text(const Models *models) {
        static char text[8192];

        text[0] = '\0';
        for (size_t i = 0; i < models_count(models); i++) {
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s:", i > 0 ? "; " : "",
                                models_name(models, i));
                for (size_t k = 0; k < models_n_paths(models, i); k++)
                        (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s",
                                        models_path(models, i, k));
        }
        return text;
}

/* "PATH PATH" of what a name means, "" if nothing. */
static inline const char *models_meant(const Models *models, const char *name) {
        static char text[4096];
        _cleanup_(strv_freep) char **paths = NULL;
        int r = models_find(models, name, &paths);

        text[0] = '\0';
        assert_true(r >= 0);
        assert_int_equal(r > 0, paths != NULL);
        for (char **path = paths; path && *path; path++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", path > paths ? " " : "",
                                *path);
        return text;
}
