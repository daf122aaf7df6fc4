/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Files become one Config, with a note for each error and each unknown name in them. See config/config.h.
 *
 * The first error does not end the reading, so that all of them can be corrected at once. Only a file that is no text,
 * or that has very many errors, is given up. */

#include "config/config.h"

#include "base/array.h"
#include "base/ini.h"
#include "base/path.h"
#include "base/strv.h"
#include "base/text.h"
#include "config/files.h"
#include "config/system-path.h"
#include "config/value.h"

#include <strings.h>

#define MIRROR_NAME_MAX 64
#define MIRRORS_MAX 256        /* each pair of them is compared */
#define NOTES_PER_FILE_MAX 50

/* Where a key or section is. */
typedef struct Location {
        const char *file; /* borrowed from Config.files; NULL for a default */
        unsigned line;
        unsigned order;   /* counted over all files: the greater one was set later */
} Location;

/* Where the section of a mirror begins, and where its paths were set last. */
typedef struct Origin {
        Location section, source, target;
} Origin;

typedef struct Loader {
        Config *config;
        Origin *origins;       /* one for each of Config.mirrors, see base/array.h */
        Location metrics_file; /* where it was set last */
        const char *file;      /* the file that is being read; borrowed from Config.files */
        size_t file_notes;     /* the number of notes about it */
        unsigned order;        /* of the line that is being read */
        const char *section;   /* "Daemon", "Mirror", or NULL for an unknown one, whose keys are ignored */
        size_t mirror;         /* index, in a "Mirror" */
} Loader;

static _printf_(5, 6) int add_note(Loader *loader, bool error, const char *file, unsigned line,
                                   const char *format, ...) {
        Config *config = loader->config;
        _cleanup_(freep) char *text = NULL, *where = file ? strdup(file) : NULL;
        va_list arguments;

        va_start(arguments, format);
        text = text_vformat(format, arguments);
        va_end(arguments);
        if (!text || (file && !where) || ARRAY_ROOM(config->notes, config->n_notes) < 0)
                return -ENOMEM;
        config->notes[config->n_notes++] =
                (ConfigNote){ .error = error, .file = TAKE_PTR(where), .line = line, .text = TAKE_PTR(text) };
        config->n_errors += error;
        loader->file_notes++;
        return 0;
}

static const ConfigRow *find_row(const char *section, const char *key, int (*compare)(const char *, const char *)) {
        size_t n;
        const ConfigRow *rows = config_rows(&n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(rows[i].section, section) == 0 && compare(rows[i].key, key) == 0)
                        return &rows[i];
        return NULL;
}

static void *config_storage_of(void *object, const ConfigRow *row) {
        return (char *) object + row->offset;
}

static int set_defaults(const char *section, void *object) {
        size_t n;
        const ConfigRow *rows = config_rows(&n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(rows[i].section, section) == 0) {
                        int r = value_parse(rows[i].type, rows[i].default_value, config_storage_of(object, &rows[i]));

                        assert(r <= 0); /* a default is a valid value */
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int add_mirror(Loader *loader, const char *name, Location place) {
        Config *config = loader->config;
        MirrorConfig mirror = { .name = strdup(name) };
        int r = mirror.name ? set_defaults("Mirror", &mirror) : -ENOMEM;

        if (r == 0)
                r = ARRAY_ROOM(config->mirrors, config->n_mirrors);
        if (r == 0)
                r = ARRAY_ROOM(loader->origins, config->n_mirrors);
        if (r < 0) {
                config_mirror_done(&mirror);
                return r;
        }
        loader->origins[config->n_mirrors] = (Origin){ .section = place };
        config->mirrors[config->n_mirrors] = mirror;
        loader->mirror = config->n_mirrors++;
        return 0;
}

static bool is_mirror_name(const char *name) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
        size_t length = strlen(name);

        return length >= 1 && length <= MIRROR_NAME_MAX && strspn(name, allowed) == length && name[0] != '.' &&
               name[0] != '-';
}

static int enter_mirror(Loader *loader, const IniItem *item, const char *name) {
        Config *config = loader->config;
        char shown[TEXT_PATH_MAX];

        if (!is_mirror_name(name))
                return add_note(loader, true, loader->file, item->line,
                                "[%s]: must be [Mirror NAME], where NAME is 1 to %d of the characters A-Z a-z 0-9 "
                                "_ . - and starts with neither . nor -", text_path(shown, item->name),
                                MIRROR_NAME_MAX);
        loader->section = "Mirror";
        for (size_t i = 0; i < config->n_mirrors; i++)
                if (strcmp(config->mirrors[i].name, name) == 0) {
                        loader->mirror = i;
                        return 0;
                }
        if (config->n_mirrors < MIRRORS_MAX)
                return add_mirror(loader, name, (Location){ loader->file, item->line, loader->order });
        loader->section = NULL;
        return add_note(loader, true, loader->file, item->line, "[%s]: there can be at most %d mirrors", item->name,
                        MIRRORS_MAX);
}

static int enter_section(Loader *loader, const IniItem *item) {
        char shown[TEXT_PATH_MAX];

        loader->section = NULL;
        if (strcmp(item->name, "Daemon") == 0) {
                loader->section = "Daemon";
                return 0;
        }
        if (strncmp(item->name, "Mirror ", 7) == 0)
                return enter_mirror(loader, item, item->name + 7 + strspn(item->name + 7, " \t"));
        /* It was meant to be a mirror, and a mirror that is missing is more than a warning. */
        if (strncasecmp(item->name, "Mirror", 6) == 0)
                return enter_mirror(loader, item, "");
        return add_note(loader, false, loader->file, item->line, "Unknown section [%s], ignored",
                        text_path(shown, item->name));
}

static int unknown_key(Loader *loader, const IniItem *item) {
        bool in_mirror = strcmp(loader->section, "Mirror") == 0;
        const ConfigRow *similar = find_row(loader->section, item->name, strcasecmp);
        char shown[TEXT_PATH_MAX];

        if (find_row(in_mirror ? "Daemon" : "Mirror", item->name, strcmp))
                return add_note(loader, true, loader->file, item->line, "%s= belongs in section %s, not in %s",
                                item->name, in_mirror ? "[Daemon]" : "[Mirror NAME]",
                                in_mirror ? "[Mirror NAME]" : "[Daemon]");
        return add_note(loader, false, loader->file, item->line, "Unknown key %s= in section [%s%s%s], ignored%s%s%s",
                        text_path(shown, item->name), loader->section, in_mirror ? " " : "",
                        in_mirror ? loader->config->mirrors[loader->mirror].name : "", similar ? "; did you mean " : "",
                        similar ? similar->key : "", similar ? "=?" : "");
}

static void remember_place(Loader *loader, const ConfigRow *row, unsigned line) {
        Location place = { loader->file, line, loader->order };

        if (strcmp(row->section, "Mirror") != 0) {
                if (row->offset == offsetof(Config, metrics_file))
                        loader->metrics_file = place;
        } else if (row->offset == offsetof(MirrorConfig, source))
                loader->origins[loader->mirror].source = place;
        else if (row->offset == offsetof(MirrorConfig, target))
                loader->origins[loader->mirror].target = place;
}

static int assign(Loader *loader, const IniItem *item) {
        Config *config = loader->config;
        char shown[TEXT_PATH_MAX];
        const ConfigRow *row;
        bool in_mirror;
        void *field;
        int r;

        if (!loader->section)
                return 0; /* there is a note about the section */
        row = find_row(loader->section, item->name, strcmp);
        if (!row)
                return unknown_key(loader, item);
        in_mirror = strcmp(row->section, "Mirror") == 0;
        field = config_storage_of(in_mirror ? (void *) &config->mirrors[loader->mirror] : config, row);
        if (item->value[0] == '\0' && row->is_list)
                config_storage_done(row->type->storage, field);
        r = value_parse(row->type, item->value[0] ? item->value : row->default_value, field);
        if (r == VALUE_BAD)
                return add_note(loader, true, loader->file, item->line, "%s=%s: must be %s", row->key,
                                text_path(shown, item->value), row->type->allowed);
        if (r == 0)
                remember_place(loader, row, item->line);
        return r;
}

static int load_text(Loader *loader, char *text, size_t length) {
        IniReader reader;
        IniItem item;
        int kind, r = 0;

        loader->section = NULL;
        loader->file_notes = 0;
        ini_init(&reader, text, length);
        while (r == 0 && (kind = ini_next(&reader, &item)) != INI_END) {
                loader->order++;
                if (loader->file_notes >= NOTES_PER_FILE_MAX)
                        return add_note(loader, true, loader->file, item.line,
                                        "Too many errors; the rest of this file is not read");
                if (kind == INI_SECTION)
                        r = enter_section(loader, &item);
                else if (kind == INI_ASSIGNMENT)
                        r = assign(loader, &item);
                else {
                        if (item.section) /* whose name is not known, so its keys are ignored */
                                loader->section = NULL;
                        r = add_note(loader, true, loader->file, item.line, "This line %s", item.wrong);
                }
        }
        return r;
}

static int load_file(Loader *loader, const char *path, bool only_plain) {
        _cleanup_(freep) char *text = NULL;
        char *copy;
        size_t length;
        int r = config_files_read(path, only_plain, &text, &length);

        if (r < 0)
                return r;
        copy = strdup(path);
        r = copy ? strv_take(&loader->config->files, copy) : -ENOMEM;
        if (r < 0)
                return r;
        loader->file = copy;
        return load_text(loader, text, length);
}

static const char *read_failure(int error) {
        return error == -EINVAL  ? "it is neither a regular file nor a link to /dev/null"
               : error == -EFBIG ? "it is larger than 1M"
                                 : strerror(-error);
}

/* All files below @root. One that exists and cannot be read is an error of the configuration: what it would have set
 * is not known. */
static int load_found(Loader *loader, const char *root, const char **reterr_what) {
        _cleanup_(strv_freep) char **paths = NULL;
        int r = config_files_find(root, &paths);

        if (r < 0) {
                *reterr_what = "find the configuration files";
                return r;
        }
        for (char **path = paths; r == 0 && path && *path; path++) {
                r = load_file(loader, *path, true);
                if (r < 0 && r != -ENOMEM)
                        r = add_note(loader, true, *path, 0, "Failed to read this file: %s", read_failure(r));
        }
        return r;
}

/* One path of one mirror, to be compared with another. */
typedef struct Setting {
        const char *key, *path, *mirror;
        Location place;
} Setting;

static Setting setting_of(const Loader *loader, size_t i, bool target) {
        const MirrorConfig *mirror = &loader->config->mirrors[i];
        const Origin *origin = &loader->origins[i];
        Location place = target ? origin->target : origin->source;

        return (Setting){
                .key = target ? "Target" : "Source", .path = target ? mirror->target : mirror->source,
                .mirror = mirror->name, .place = place.file ? place : origin->section,
        };
}

/* The relation of the first path to the second, as the verb of a sentence; NULL if they do not overlap. */
static const char *relation(const char *path, const char *other) {
        if (strcmp(path, other) == 0)
                return "is the same as";
        if (path_is_below(path, other))
                return "is inside";
        return path_is_below(other, path) ? "contains" : NULL;
}

/* Positive if the two overlap; then there is a note at the one that was set later. */
static int check_two(Loader *loader, Setting a, Setting b) {
        Setting later = a.place.order > b.place.order ? a : b, earlier = a.place.order > b.place.order ? b : a;
        const char *how = relation(later.path, earlier.path);
        char path[TEXT_PATH_MAX], other[TEXT_PATH_MAX];
        _cleanup_(freep) char *where = NULL;
        int r;

        if (!how)
                return 0;
        if (earlier.place.file) {
                r = text_append(&where, " (%s:%u)", earlier.place.file, earlier.place.line);
                if (r < 0)
                        return r;
        }
        r = add_note(loader, true, later.place.file, later.place.line,
                     "%s=%s of [Mirror %s] %s %s=%s of [Mirror %s]%s; they must not overlap", later.key,
                     text_path(path, later.path), later.mirror, how, earlier.key, text_path(other, earlier.path),
                     earlier.mirror, where ? where : "");
        return r < 0 ? r : 1;
}

/* Positive if the tmpfs would hide a directory of the system; then there is a note. */
static int check_target(Loader *loader, Setting target) {
        char path[TEXT_PATH_MAX];
        int r;

        if (!system_path_is_reserved(target.path))
                return 0;
        r = add_note(loader, true, target.place.file, target.place.line,
                     "Target=%s of [Mirror %s] is a directory of the system, which the mirror would hide; choose a "
                     "directory of its own, such as /dev/shm/%s",
                     text_path(path, target.path), target.mirror, target.mirror);
        return r < 0 ? r : 1;
}

/* Two sources may be the same or nested: what one mirror saves is a change on the disk for the other. A target must not
 * overlap any other path. One note for each mirror is enough. */
static int check_mirror(Loader *loader, size_t i) {
        int r = check_target(loader, setting_of(loader, i, true));

        if (r == 0)
                r = check_two(loader, setting_of(loader, i, false), setting_of(loader, i, true));

        for (size_t k = 0; r == 0 && k < i; k++) {
                r = check_two(loader, setting_of(loader, k, true), setting_of(loader, i, true));
                if (r == 0)
                        r = check_two(loader, setting_of(loader, k, false), setting_of(loader, i, true));
                if (r == 0)
                        r = check_two(loader, setting_of(loader, k, true), setting_of(loader, i, false));
        }
        return MIN(r, 0);
}

/* In a mirror or a source, writing it would be a change that is reported and scanned, and changes the metrics again. */
static int check_metrics_file(Loader *loader) {
        Setting metrics = { .key = "MetricsFile", .path = loader->config->metrics_file, .place = loader->metrics_file };
        char path[TEXT_PATH_MAX], other[TEXT_PATH_MAX];
        int r = 0;

        for (size_t i = 0; r == 0 && metrics.path[0] && i < loader->config->n_mirrors * 2; i++) {
                Setting tree = setting_of(loader, i / 2, i % 2);
                const char *how = relation(metrics.path, tree.path);

                if (how)
                        r = add_note(loader, true, metrics.place.file, metrics.place.line,
                                     "%s=%s %s %s=%s of [Mirror %s]; they must not overlap", metrics.key,
                                     text_path(path, metrics.path), how, tree.key, text_path(other, tree.path),
                                     tree.mirror);
        }
        return r;
}

static int check_paths(Loader *loader) {
        int r = check_metrics_file(loader);

        for (size_t i = 0; r == 0 && i < loader->config->n_mirrors; i++)
                r = check_mirror(loader, i);
        return r;
}

int config_load(const char *file, const char *root, Config **ret, const char **reterr_what) {
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(*config));
        _cleanup_(freep) Origin *origins = NULL;
        Loader loader = { .config = config };
        const char *what = file ? "read the configuration file" : "read the configuration files";
        int r = config ? set_defaults("Daemon", config) : -ENOMEM;

        if (r == 0)
                r = file ? load_file(&loader, file, false) : load_found(&loader, root, &what);
        if (r == 0 && config->n_mirrors == 0)
                r = add_mirror(&loader, "models", (Location){ 0 });
        if (r == 0 && config->n_errors == 0) /* a wrong value left a default, which may overlap */
                r = check_paths(&loader);
        if (r == 0 && !config->files)
                r = strv_copy(NULL, &config->files);
        origins = loader.origins;
        if (r < 0) {
                *reterr_what = what;
                return r;
        }
        *ret = TAKE_PTR(config);
        return 0;
}
