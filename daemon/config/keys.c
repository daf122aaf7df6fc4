/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The keys of shmstaged.conf(5), one row each. See config/config.h. */

#include "config/config.h"
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
