/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The settings: one row each, and what follows from the rows. See config/config.h; reading files is config/load.c. */

#include "config/config.h"

#include "base/strv.h"
#include "config/value.h"

#define DAEMON(key, field, kind, fallback) \
        { "Daemon", key, fallback, false, &value_type_##kind, offsetof(Config, field) }
#define MIRROR(key, field, kind, fallback) \
        { "Mirror", key, fallback, false, &value_type_##kind, offsetof(MirrorConfig, field) }
#define MIRROR_LIST(key, field, kind) \
        { "Mirror", key, "", true, &value_type_##kind, offsetof(MirrorConfig, field) }

static const ConfigRow rows[] = {
        DAEMON("Workers", workers, workers, "auto"),
        DAEMON("ReserveMemory", reserve, reserve, "10%"),
        DAEMON("MetricsFile", metrics_file, optional_path, ""),

        MIRROR("Source", source, path, "/data/models"),
        MIRROR("Target", target, path, "/dev/shm/models"),
        MIRROR("Size", size, size, "auto"),
        MIRROR("HugePages", huge_pages, huge_pages, "within_size"),
        MIRROR("NUMAPolicy", numa_policy, numa_policy, "auto"),
        MIRROR("Swap", swap, boolean, "no"),
        MIRROR("Layout", layout, layout, "auto"),
        MIRROR_LIST("Models", models, models),
        MIRROR_LIST("Include", include, globs),
        MIRROR_LIST("Exclude", exclude, globs),
        MIRROR_LIST("Priority", priority, globs),
        MIRROR("OnNoRoom", on_no_room, on_no_room, "fail"),
        MIRROR("OnCorrupt", on_corrupt, on_corrupt, "withhold"),
        MIRROR("CopyMethod", copy_method, copy_method, "auto"),
        MIRROR("ChunkSize", chunk_size, chunk_size, "4M"),
        MIRROR("BandwidthLimit", bandwidth_limit, bandwidth_limit, "off"),
        MIRROR("WatchSource", watch_source, boolean, "yes"),
        MIRROR("PollInterval", poll_usec, poll_interval, "1min"),
        MIRROR("SettleTime", settle_usec, settle_time, "2s"),
        MIRROR("WriteBack", write_back, boolean, "yes"),
        MIRROR("Deletes", deletes, deletes, "trash"),
        MIRROR("TrashKeep", trash_keep_usec, trash_keep, "7d"),
        MIRROR("MassDeleteLimit", mass_delete_limit, mass_delete_limit, "3 25%"),
        MIRROR("SweepDelay", sweep_delay_usec, sweep_delay, "1h"),
        MIRROR("Scrub", scrub_usec, scrub, "no"),
        MIRROR("RemoveOnStop", remove_on_stop, boolean, "yes"),
        MIRROR_LIST("Engines", engines, units),
};

const ConfigRow *config_rows(size_t *ret_n) {
        *ret_n = ELEMENTSOF(rows);
        return rows;
}

static_assert(sizeof(HugePages) == sizeof(unsigned) && sizeof(OnNoRoom) == sizeof(unsigned) &&
                      sizeof(OnCorrupt) == sizeof(unsigned) && sizeof(CopyMethod) == sizeof(unsigned) &&
                      sizeof(LayoutKind) == sizeof(unsigned) && sizeof(DeletePolicy) == sizeof(unsigned),
              "an enum is stored as an unsigned");

/* Loops over the rows of one section, as a `for` statement does. */
#define FOREACH_ROW(row, name)                                                      \
        for (const ConfigRow *row = rows; row < rows + ELEMENTSOF(rows); row++)     \
                if (strcmp(row->section, name) == 0)

static void *field_of(void *object, const ConfigRow *row) {
        return (char *) object + row->offset;
}

static const void *const_field_of(const void *object, const ConfigRow *row) {
        return (const char *) object + row->offset;
}

void config_mirror_done(MirrorConfig *mirror) {
        FOREACH_ROW(row, "Mirror")
                field_done(row->type->storage, field_of(mirror, row));
        free(mirror->name);
        mirror->name = NULL;
}

int config_mirror_copy(const MirrorConfig *from, MirrorConfig *to) {
        MirrorConfig copy = { .name = strdup(from->name) };
        int r = copy.name ? 0 : -ENOMEM;

        FOREACH_ROW(row, "Mirror")
                if (r == 0)
                        r = field_copy(row->type->storage, const_field_of(from, row), field_of(&copy, row));
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
                field_done(row->type->storage, field_of(config, row));
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
