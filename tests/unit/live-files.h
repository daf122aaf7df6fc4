/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The ground for tests of a live mirror, and what is reported of its files and models, as a text. To be included after live.h. */

#include "mirror/inventory.h"

#define ZEROS "00000000000000000000000000000000000000000000000000000000000000"

static inline int setup(void **state) {
        (void) ground_setup(state);
        make_directory("source");
        make_tmpfs("mirror", "size=96m,mode=0755");
        return 0;
}

static inline int teardown(void **state) {
        if (live_mirror)
                live_end();
        assert_int_equal(umount("mirror"), 0);
        return ground_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline int add_file(const InventoryFile *file, void *userdata) {
        char *said = userdata;

        (void) snprintf(said + strlen(said), 8192 - strlen(said), "%s%s %s%s%s", said[0] ? ", " : "", file->path, file_state_name(file->state), file->in_ram ? " ram" : "",
                        file->on_disk ? " disk" : "");
        return 0;
}

/* "PATH STATE [ram] [disk], ..." */
static inline const char *rows(const char *after, size_t max) {
        static char said[8192];

        said[0] = '\0';
        assert_true(inventory_files(live_mirror, after, max, add_file, said) >= 0);
        return said;
}

#define assert_rows(text) assert_string_equal(rows(NULL, SIZE_MAX), text)

static inline int add_model(const InventoryModel *model, void *userdata) {
        char *said = userdata;

        (void) snprintf(said + strlen(said), 8192 - strlen(said), "%s%s %s %zu/%zu %llu/%llu", said[0] ? ", " : "", model->name, file_state_name(model->state), model->n_ready,
                        model->n_files, (unsigned long long) model->ram_bytes, (unsigned long long) model->size);
        return 0;
}

/* "NAME STATE READY/FILES RAM/SIZE, ..." */
static inline const char *models(void) {
        static char said[8192];

        said[0] = '\0';
        assert_true(inventory_models(live_mirror, add_model, said) >= 0);
        return said;
}

#define assert_models(text) assert_string_equal(models(), text)

static inline void assert_ready(const char *name, Readiness readiness, const char *reason) {
        _cleanup_(freep) char *said = NULL;
        Readiness found = inventory_readiness(live_mirror, name, &said);

        if (found != readiness || (reason ? !said || !strstr(said, reason) : said != NULL))
                fail_msg("readiness of '%s' is %d: %s", name, found, said);
}

typedef struct Awaited {
        const char *path;
        FileState state;
} Awaited;

static inline int compare_state(const InventoryFile *file, void *userdata) {
        const Awaited *awaited = userdata;

        return strcmp(file->path, awaited->path) == 0 && file->state == awaited->state ? -ECANCELED : 0;
}

static inline bool is_in_state(void *userdata) {
        return inventory_files(live_mirror, NULL, SIZE_MAX, compare_state, userdata) == -ECANCELED;
}

static inline void wait_state(const char *path, FileState state) {
        Awaited awaited = { .path = path, .state = state };

        live_wait(is_in_state, &awaited, file_state_name(state));
}

static inline bool has_no_row(void *userdata) {
        for (unsigned i = 0; i < _FILE_STATE_MAX; i++)
                if (is_in_state(&(Awaited){ .path = userdata, .state = i }))
                        return false;
        return true;
}

static inline void put_file(const char *path, size_t size) {
        free(put_pattern(path, size, size));
}

static inline const MirrorStatus *status(void) {
        static MirrorStatus now;

        now = mirror_status(live_mirror);
        return &now;
}
