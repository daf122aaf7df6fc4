/* SPDX-License-Identifier: GPL-2.0-or-later */

/* For docs.py. Without an argument: every setting as "section<TAB>key<TAB>default<TAB>list or one". With files:
 * whatever there is to say about them, and 1 if that is anything. */

#include "config/config.h"

static int check(const char *path) {
        _cleanup_(config_freep) Config *config = NULL;
        const char *what;
        int r = config_load(path, NULL, &config, &what);

        if (r < 0) {
                (void) fprintf(stderr, "%s: failed to %s: %s\n", path, what, strerror(-r));
                return 1;
        }
        for (size_t i = 0; i < config->n_notes; i++)
                (void) fprintf(stderr, "%s:%u: %s\n", path, config->notes[i].line, config->notes[i].text);
        return config->n_notes > 0;
}

int main(int argc, char **argv) {
        size_t n;
        const ConfigRow *rows = config_rows(&n);
        int result = 0;

        for (int i = 1; i < argc; i++)
                result |= check(argv[i]);
        for (size_t i = 0; argc == 1 && i < n; i++)
                (void) printf("%s\t%s\t%s\t%s\n", rows[i].section, rows[i].key, rows[i].default_value,
                              rows[i].is_list ? "list" : "one");
        return result;
}
