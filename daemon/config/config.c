/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Defaults, copies and the text of a configuration, all from the table in config/keys.c. See config/config.h;
 * reading files is config/load.c. */

#include "config/config.h"

#include "base/strv.h"
#include "config/value.h"

static_assert(sizeof(HugePages) == sizeof(unsigned) && sizeof(OnNoRoom) == sizeof(unsigned) &&
                      sizeof(OnCorrupt) == sizeof(unsigned) && sizeof(CopyMethod) == sizeof(unsigned) &&
                      sizeof(LayoutKind) == sizeof(unsigned) && sizeof(DeletePolicy) == sizeof(unsigned),
              "an enum is stored as an unsigned");

/* Loops over the rows of one section, as a `for` statement does. */
#define FOREACH_ROW(row, name)                                                                               \
        for (const ConfigRow *row = config_rows(&(size_t){ 0 }), *end_ = row + n_rows(); row < end_; row++) \
                if (strcmp(row->section, name) == 0)

static size_t n_rows(void) {
        size_t n;

        (void) config_rows(&n);
        return n;
}

static void *field_of(void *object, const ConfigRow *row) {
        return (char *) object + row->offset;
}

static const void *const_field_of(const void *object, const ConfigRow *row) {
        return (const char *) object + row->offset;
}

void config_mirror_done(MirrorConfig *mirror) {
        FOREACH_ROW(row, "Mirror")
                config_storage_done(row->type->storage, field_of(mirror, row));
        free(mirror->name);
        mirror->name = NULL;
}

int config_mirror_copy(const MirrorConfig *from, MirrorConfig *to) {
        MirrorConfig copy = { .name = strdup(from->name) };
        int r = copy.name ? 0 : -ENOMEM;

        FOREACH_ROW(row, "Mirror")
                if (r == 0)
                        r = config_storage_copy(row->type->storage, const_field_of(from, row), field_of(&copy, row));
        if (r < 0)
                config_mirror_done(&copy);
        else
                *to = copy;
        return r;
}

Config *config_free(Config *config) {
        if (!config)
                return NULL;
        for (size_t i = 0; i < config->n_mirrors; i++)
                config_mirror_done(&config->mirrors[i]);
        free(config->mirrors);
        for (size_t i = 0; i < config->n_notes; i++) {
                free(config->notes[i].file);
                free(config->notes[i].text);
        }
        free(config->notes);
        FOREACH_ROW(row, "Daemon")
                config_storage_done(row->type->storage, field_of(config, row));
        config->files = strv_free(config->files);
        free(config);
        return NULL;
}

const MirrorConfig *config_find_mirror(const Config *config, const char *name) {
        for (size_t i = 0; i < config->n_mirrors; i++)
                if (strcmp(config->mirrors[i].name, name) == 0)
                        return &config->mirrors[i];
        return NULL;
}

static void print_section(const char *section, const void *object, FILE *out) {
        FOREACH_ROW(row, section) {
                (void) fprintf(out, "%s=", row->key);
                value_print(row->type, const_field_of(object, row), out);
                (void) fputc('\n', out);
        }
}

int config_print(const Config *config, FILE *out) {
        (void) fputs("[Daemon]\n", out);
        print_section("Daemon", config, out);
        for (size_t i = 0; i < config->n_mirrors; i++) {
                (void) fprintf(out, "\n[Mirror %s]\n", config->mirrors[i].name);
                print_section("Mirror", &config->mirrors[i], out);
        }
        return ferror(out) || fflush(out) < 0 ? -EIO : 0;
}
