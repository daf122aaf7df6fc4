/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Reads a unit with its drop-ins. See ctl/doctor/unit-view.h; ctl/doctor/unit-setting.c interprets the settings. */

#include "ctl/doctor/unit-view.h"

#include "base/array.h"
#include "base/ini.h"
#include "base/strv.h"
#include "base/text.h"
#include "os/fs.h"
#include "os/unit-name.h"

#include <fcntl.h>

typedef struct Reader {
        const RootView *machine;
        UnitView *unit;
        char **unread; /* NULL: not wanted */
} Reader;

static int add_setting(UnitView *unit, const char *section, const IniItem *item, const char *file) {
        UnitSetting *setting;

        if (ARRAY_ROOM(unit->settings, unit->n_settings) < 0)
                return -ENOMEM;
        setting = &unit->settings[unit->n_settings++];
        *setting = (UnitSetting){ strdup(section), strdup(item->name), strdup(item->value), strdup(file) };
        return setting->section && setting->key && setting->value && setting->file ? 0 : -ENOMEM;
}

static int add_wrong(UnitView *unit, const IniItem *item, const char *file) {
        return strv_take(&unit->wrong, text_format("%s:%u: this line %s", file, item->line, item->wrong));
}

static int parse(UnitView *unit, char *text, const char *file) {
        const char *section = "";
        IniReader reader;
        IniItem item;
        int kind, r = 0;

        ini_init(&reader, text, strlen(text));
        while (r == 0 && (kind = ini_next(&reader, &item)) != INI_END)
                if (kind == INI_SECTION)
                        section = item.name;
                else if (kind == INI_ASSIGNMENT)
                        r = add_setting(unit, section, &item, file);
                else
                        r = add_wrong(unit, &item, file);
        return r;
}

/* Positive if the file exists. */
static int read_file(Reader *reader, const char *path) {
        _cleanup_(freep) char *text = NULL;
        int r;

        r = root_view_read(reader->machine, path, MIB, &text);
        if (r == -ENOENT || r == -ENOTDIR || r == -ENOMEM)
                return r == -ENOMEM ? r : 0;
        if (r < 0) {
                if (reader->unread && !*reader->unread)
                        *reader->unread = strdup(path);
                return 1;
        }
        r = parse(reader->unit, text, path);
        return r < 0 ? r : 1;
}

/* The file in the first directory that has one counts. A link to /dev/null, or an empty file, masks the unit. */
static int read_own_file(Reader *reader, const char *name) {
        size_t n;
        const UnitDirectory *directories = unit_name_directories(&n);

        for (size_t i = 0; i < n; i++) {
                _cleanup_(freep) char *path = text_format("%s/%s", directories[i].path, name);
                int r = path ? read_file(reader, path) : -ENOMEM;

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                reader->unit->masked = reader->unit->n_settings == 0 && !(reader->unread && *reader->unread);
                reader->unit->path = TAKE_PTR(path);
                return 1;
        }
        return 0;
}

static const char *base_name(const char *path) {
        return strrchr(path, '/') + 1;
}

static bool has_name(char *const *files, const char *name) {
        for (; files && *files; files++)
                if (string_equal(base_name(*files), name))
                        return true;
        return false;
}

static bool ends_with(const char *text, const char *suffix) {
        size_t length = strlen(text), n = strlen(suffix);

        return length >= n && strcmp(text + length - n, suffix) == 0;
}

int unit_view_list_directory(const RootView *machine, const char *directory, const char *suffix, char ***files) {
        int fd = root_view_open_path(machine, directory, O_RDONLY | O_DIRECTORY), r = 0;
        _cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;

        if (!dir)
                (void) close_fd(fd);
        while (r == 0 && dir && (entry = readdir(dir)))
                if (entry->d_name[0] != '.' && ends_with(entry->d_name, suffix) && !has_name(*files, entry->d_name))
                        r = strv_take(files, text_format("%s/%s", directory, entry->d_name));
        return r;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(base_name(*(char *const *) a), base_name(*(char *const *) b));
}

static int list_drop_ins(const RootView *machine, const char *name, char ***files) {
        size_t n;
        const UnitDirectory *directories = unit_name_directories(&n);
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++) {
                _cleanup_(freep) char *path = text_format("%s/%s.d", directories[i].path, name);

                r = path ? unit_view_list_directory(machine, path, ".conf", files) : -ENOMEM;
        }
        return r;
}

/* The drop-ins of "foo-bar@x.service" are in foo-bar@x.service.d, foo-bar@.service.d, foo-.service.d and service.d
 * (systemd.unit(5)); of files with the same name, the one in the most specific directory counts. */
static int find_drop_ins(const RootView *machine, const char *name, char ***files) {
        const char *at = strchr(name, '@'), *type = strrchr(name, '.');
        _cleanup_(freep) char *wider = strdup(name);
        int r;

        if (!wider)
                return -ENOMEM;
        r = list_drop_ins(machine, name, files);
        if (r == 0 && at && at + 1 < type) {
                (void) sprintf(wider, "%.*s%s", (int) (at + 1 - name), name, type);
                r = list_drop_ins(machine, wider, files);
        }
        for (const char *dash = type; r == 0 && dash > name; dash--)
                if (dash < type && *dash == '-' && (!at || dash < at)) {
                        (void) sprintf(wider, "%.*s%s", (int) (dash + 1 - name), name, type);
                        r = list_drop_ins(machine, wider, files);
                }
        if (r == 0)
                r = list_drop_ins(machine, type + 1, files);
        if (*files)
                qsort(*files, strv_length(*files), sizeof(char *), compare_names);
        return r;
}

static int read_own(Reader *reader, const char *name) {
        const char *at = strchr(name, '@'), *type = strrchr(name, '.');
        _cleanup_(freep) char *template = NULL;
        int r = read_own_file(reader, name);

        if (r != 0 || !at)
                return r;
        template = text_format("%.*s%s", (int) (at + 1 - name), name, type);
        return template ? read_own_file(reader, template) : -ENOMEM;
}

/* Dependencies that are links in NAME.requires/ and NAME.wants/, as `systemctl enable` and `add-requires` make them. */
static int read_links(Reader *reader) {
        static const char *const kinds[][2] = { { "requires", "Requires" }, { "wants", "Wants" } };
        size_t n;
        const UnitDirectory *directories = unit_name_directories(&n);
        int r = 0;

        for (size_t i = 0; r == 0 && i < n * ELEMENTSOF(kinds); i++) {
                const char *const *kind = kinds[i % ELEMENTSOF(kinds)];
                _cleanup_(strv_freep) char **links = NULL;
                _cleanup_(freep) char *path = text_format("%s/%s.%s", directories[i / ELEMENTSOF(kinds)].path,
                                                          reader->unit->name, kind[0]);

                r = path ? unit_view_list_directory(reader->machine, path, "", &links) : -ENOMEM;
                for (char **link = links; r == 0 && link && *link; link++) {
                        IniItem item = { .name = (char *) kind[1], .value = (char *) base_name(*link) };

                        r = add_setting(reader->unit, "Unit", &item, *link);
                }
        }
        return r;
}

int unit_view_load(const RootView *machine, const char *name, UnitView **ret, char **ret_unread) {
        _cleanup_(unit_view_freep) UnitView *unit = calloc(1, sizeof(*unit));
        Reader reader = { .machine = machine, .unit = unit, .unread = ret_unread };
        _cleanup_(strv_freep) char **drop_ins = NULL;
        int r;

        assert(strrchr(name, '.'));
        if (ret_unread)
                *ret_unread = NULL;
        if (!unit || !(unit->name = strdup(name)))
                return -ENOMEM;
        r = read_own(&reader, name);
        if (r >= 0)
                r = find_drop_ins(machine, name, &drop_ins);
        for (char **file = drop_ins; r >= 0 && file && *file; file++)
                r = read_file(&reader, *file);
        if (r >= 0)
                r = read_links(&reader);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(unit);
        return (*ret)->path ? 0 : UNIT_VIEW_ABSENT;
}

UnitView *unit_view_free(UnitView *unit) {
        if (!unit)
                return NULL;
        for (size_t i = 0; i < unit->n_settings; i++) {
                free(unit->settings[i].section);
                free(unit->settings[i].key);
                free(unit->settings[i].value);
                free(unit->settings[i].file);
        }
        free(unit->settings);
        (void) strv_free(unit->wrong);
        free(unit->name);
        free(unit->path);
        free(unit);
        return NULL;
}

int unit_view_names(const RootView *machine, const char *suffix, char ***ret) {
        _cleanup_(strv_freep) char **files = NULL;
        size_t n;
        const UnitDirectory *directories = unit_name_directories(&n);
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = unit_view_list_directory(machine, directories[i].path, suffix, &files);
        if (r < 0)
                return r;
        if (files)
                qsort(files, strv_length(files), sizeof(char *), compare_names);
        for (char **file = files; file && *file; file++)
                memmove(*file, base_name(*file), strlen(base_name(*file)) + 1);
        if (!files && !(files = calloc(1, sizeof(char *))))
                return -ENOMEM;
        *ret = TAKE_PTR(files);
        return 0;
}
