/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* For the tests of config/: a directory of their own, with one file that holds the configuration of the moment. */

#include "base/strv.h"
#include "config/config.h"
#include "config/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static char directory[] = "/tmp/test-config-XXXXXX";
static char file[sizeof(directory) + 16];

static inline void write_bytes(const char *path, const void *bytes, size_t length) {
        FILE *out = fopen(path, "we");

        assert_non_null(out);
        assert_int_equal(fwrite(bytes, 1, length, out), length);
        assert_int_equal(fclose(out), 0);
}

static inline Config *load_bytes(const void *bytes, size_t length) {
        Config *config;
        const char *what;

        write_bytes(file, bytes, length);
        assert_int_equal(config_load(file, NULL, &config, &what), 0);
        return config;
}

static inline Config *load(const char *text) {
        return load_bytes(text, strlen(text));
}

static inline Config *load_good(const char *text) {
        Config *config = load(text);

        for (size_t i = 0; i < config->n_notes; i++)
                print_error("%u: %s\n", config->notes[i].line, config->notes[i].text);
        assert_int_equal(config->n_notes, 0);
        return config;
}

/* One key in a file of its own, on line 3. */
static inline Config *load_key(const char *section, const char *key, const char *value) {
        _cleanup_(freep) char *text = NULL;

        assert_true(asprintf(&text, "# a comment\n[%s]\n%s=%s\n", section, key, value) > 0);
        return load(text);
}

static inline void assert_only_error(const Config *config, unsigned line, const char *part) {
        if (config->n_notes != 1 || config->n_errors != 1 || !strstr(config->notes[0].text, part))
                for (size_t i = 0; i < config->n_notes; i++)
                        print_error("%u: %s\n", config->notes[i].line, config->notes[i].text);
        assert_int_equal(config->n_notes, 1);
        assert_int_equal(config->n_errors, 1);
        assert_true(config->notes[0].error);
        assert_string_equal(config->notes[0].file, file);
        assert_int_equal(config->notes[0].line, line);
        assert_non_null(strstr(config->notes[0].text, part));
}

static inline char *print(const Config *config) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        assert_int_equal(config_print(config, out), 0);
        assert_int_equal(fclose(out), 0);
        return text;
}

static inline int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_,
                               struct FTW *walk _unused_) {
        return remove(path);
}

static inline int setup(void **state _unused_) {
        assert_non_null(mkdtemp(directory));
        (void) snprintf(file, sizeof(file), "%s/x.conf", directory);
        return 0;
}

static inline int teardown(void **state _unused_) {
        return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
