/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of a machine and of our own service. See ctl/doctor/checks.h. */

#include "ctl/doctor/checks.h"

#include "base/text.h"

static bool kernel_is_below(const DoctorFacts *facts, unsigned major, unsigned minor) {
        return facts->kernel_major < major || (facts->kernel_major == major && facts->kernel_minor < minor);
}

void doctor_check_config(const DoctorFacts *facts, DoctorReport *report) {
        if (facts->config_problem) {
                finding_add(report, DOCTOR_PROBLEM, "The configuration has errors: %s", facts->config_problem);
                finding_fix(report, "shmstaged --check-config");
        } else
                finding_add(report, DOCTOR_OK, "%zu mirror%s configured", facts->n_mirrors,
                            facts->n_mirrors == 1 ? "" : "s");
}

void doctor_check_kernel(const DoctorFacts *facts, DoctorReport *report) {
        if (facts->kernel_major == 0)
                finding_add(report, DOCTOR_NOTE, "The kernel version is unknown");
        else if (kernel_is_below(facts, 5, 8)) {
                finding_add(report, DOCTOR_PROBLEM, "Linux %s is too old; shmstaged needs 5.8 or newer",
                            facts->kernel);
                finding_fix(report, "boot Linux 5.8 or newer");
        } else if (kernel_is_below(facts, 6, 4))
                finding_add(report, DOCTOR_NOTE,
                            "Linux %s supports neither noswap (since 6.4) nor user xattrs (since 6.6) on tmpfs",
                            facts->kernel);
        else if (kernel_is_below(facts, 6, 6))
                finding_add(report, DOCTOR_NOTE, "Linux %s does not support user xattrs on tmpfs (6.6 and later "
                                                 "do); those of model files are not mirrored", facts->kernel);
        else
                finding_add(report, DOCTOR_OK, "Linux %s", facts->kernel);
}

/* The bytes that all mirrors need. False if those of any are unknown. */
static bool sum_needs(const DoctorFacts *facts, uint64_t *ret) {
        bool known = facts->n_mirrors > 0;

        *ret = 0;
        for (size_t i = 0; i < facts->n_mirrors; i++) {
                known = known && facts->mirrors[i].scanned;
                *ret += facts->mirrors[i].need;
        }
        return known;
}

void doctor_check_memory(const DoctorFacts *facts, DoctorReport *report) {
        uint64_t total = facts->memory.total,
                 reserve = facts->config ? quantity_amount_bytes(facts->config->reserve, total, 0) : 0, need,
                 sizes = 0;
        bool known = sum_needs(facts, &need);
        char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX], c[TEXT_BYTES_MAX];

        if (total == 0 || facts->n_mirrors == 0)
                return;
        for (size_t i = 0; i < facts->n_mirrors; i++)
                sizes += facts_mirror_size(facts, facts->mirrors[i].config);
        (void) text_bytes(a, need);
        (void) text_bytes(b, total);
        (void) text_bytes(c, reserve);
        if (need > total - MIN(total, reserve)) {
                finding_add(report, DOCTOR_PROBLEM,
                            "The mirrors select %s, which exceeds the %s of RAM minus %s (ReserveMemory=)", a, b, c);
                finding_fix(report, "select less with Models=, Include= or Exclude=, or set OnNoRoom=link in "
                            "shmstaged.conf");
        } else if (sizes > total) {
                finding_add(report, DOCTOR_WARNING, "The mirrors may grow to %s in total, more than the %s of RAM; "
                            "the machine would hang when they are full", text_bytes(a, sizes), b);
                finding_fix(report, "set Size= of each mirror in shmstaged.conf, in total at most %s",
                            text_bytes(a, total - MIN(total, reserve)));
        } else if (!known)
                finding_add(report, DOCTOR_NOTE,
                            "%s of RAM; the amount selected is unknown because a source cannot be read", b);
        else
                finding_add(report, DOCTOR_OK, "%s of %s selected; %s stay free (ReserveMemory=)", a, b, c);
}

void doctor_check_huge_pages(const DoctorFacts *facts, DoctorReport *report) {
        static const char mount_decides[] =
                "echo never >/sys/kernel/mm/transparent_hugepage/shmem_enabled (\"never\" concerns only the kernel's "
                "own mount; then huge= of each mount decides)";
        const char *setting = facts->shmem_huge;
        bool wanted = false;

        for (size_t i = 0; i < facts->n_mirrors; i++)
                wanted = wanted || facts->mirrors[i].config->huge_pages != HUGE_NEVER;
        if (!wanted)
                return;
        if (!setting) {
                finding_add(report, DOCTOR_WARNING, "This kernel has no huge pages for tmpfs; engines load models "
                            "more slowly from pages of 4 KiB");
                finding_fix(report, "boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE");
        } else if (string_equal(setting, "deny")) {
                finding_add(report, DOCTOR_PROBLEM,
                            "shmem_enabled is \"deny\"; no tmpfs gets huge pages, whatever its mount options are");
                finding_fix(report, "%s", mount_decides);
        } else if (string_equal(setting, "force")) {
                finding_add(report, DOCTOR_WARNING,
                            "shmem_enabled is \"force\"; each small file of a mirror occupies 2 MiB");
                finding_fix(report, "%s", mount_decides);
        } else
                finding_add(report, DOCTOR_OK, "The mount options decide about huge pages (shmem_enabled is \"%s\")",
                            setting);
}

void doctor_check_swap(const DoctorFacts *facts, DoctorReport *report) {
        char bytes[TEXT_BYTES_MAX];
        size_t found = 0;

        if (facts->memory.total == 0 || facts->n_mirrors == 0)
                return;
        (void) text_bytes(bytes, facts->memory.swap_total);
        for (size_t i = 0; i < facts->n_mirrors && facts->memory.swap_total > 0; i++) {
                const FactsMirror *mirror = &facts->mirrors[i];
                _cleanup_(freep) char *noswap = facts_mount_option(&mirror->target_mount, "noswap");

                if (mirror->config->swap || noswap || !mirror->target_there ||
                    !string_equal(mirror->target_mount.type, "tmpfs"))
                        continue;
                found++;
                if (!mirror->own_mount || !kernel_is_below(facts, 6, 4)) {
                        finding_add(report, DOCTOR_WARNING, "There is %s of swap and %s is mounted without noswap; "
                                    "models can be swapped out", bytes, mirror->config->target);
                        finding_fix(report, "recreate the mount: systemctl stop shmstaged.service; findmnt %s (must "
                                    "print nothing); systemctl start shmstaged.service", mirror->config->target);
                } else {
                        finding_add(report, DOCTOR_WARNING, "There is %s of swap and Linux %s has no noswap (6.4); "
                                    "models in %s can be swapped out", bytes, facts->kernel, mirror->config->target);
                        finding_fix(report, "boot Linux 6.4 or newer, or keep MemorySwapMax=0 in shmstaged.service, "
                                    "or, if enough memory is free, swapoff -a");
                }
        }
        if (found == 0 && facts->memory.swap_total == 0)
                finding_add(report, DOCTOR_OK, "No swap");
        else if (found == 0)
                finding_add(report, DOCTOR_OK, "%s of swap; no mirror can be swapped out unless its configuration "
                                               "allows it", bytes);
}

void doctor_check_inotify(const DoctorFacts *facts, DoctorReport *report) {
        uint64_t directories = 0;

        if (facts->watches == 0)
                return;
        /* each directory is watched in the mirror and, with WatchSource=, in the source */
        for (size_t i = 0; i < facts->n_mirrors; i++)
                directories += facts->mirrors[i].directories * (facts->mirrors[i].config->watch_source ? 2 : 1);
        if (directories > facts->watches) {
                finding_add(report, DOCTOR_WARNING, "The mirrors need to watch %llu directories, but a user may "
                                                    "have only %llu inotify watches; the rest is scanned "
                                                    "periodically", (unsigned long long) directories,
                            (unsigned long long) facts->watches);
                finding_fix(report, "sysctl -w fs.inotify.max_user_watches=%llu, and set the same in /etc/sysctl.d/",
                            (unsigned long long) (directories * 2));
        } else if (facts->instances > 0 && facts->instances < 8) {
                finding_add(report, DOCTOR_WARNING, "A user may have only %llu inotify instances; other programs "
                            "may leave none for shmstaged", (unsigned long long) facts->instances);
                finding_fix(report,
                            "sysctl -w fs.inotify.max_user_instances=128, and set the same in /etc/sysctl.d/");
        } else if (facts->queue > 0 && facts->queue < 4096) {
                finding_add(report, DOCTOR_WARNING, "The inotify queue holds only %llu events; a pull of many files "
                            "overflows it and causes a full scan", (unsigned long long) facts->queue);
                finding_fix(report,
                            "sysctl -w fs.inotify.max_queued_events=16384, and set the same in /etc/sysctl.d/");
        } else
                finding_add(report, DOCTOR_OK, "%llu of %llu inotify watches needed",
                            (unsigned long long) directories, (unsigned long long) facts->watches);
}

void doctor_check_service(const DoctorFacts *facts, DoctorReport *report) {
        if (!facts->service) {
                finding_add(report, DOCTOR_NOTE, "shmstaged.service is not installed");
                return;
        }
        if (facts->service->masked) {
                finding_add(report, DOCTOR_PROBLEM, "shmstaged.service is masked and cannot be started");
                finding_fix(report, "systemctl unmask shmstaged.service");
        } else if (!facts->enabled) {
                finding_add(report, DOCTOR_WARNING, "shmstaged.service is not enabled; after a boot the mirrors "
                            "stay empty until an engine starts it");
                finding_fix(report, "systemctl enable shmstaged.service");
        } else
                finding_add(report, DOCTOR_OK, "shmstaged.service is enabled");
}

/* The generator turns the configuration into units at boot and at daemon-reload. */
void doctor_check_reload(const DoctorFacts *facts, DoctorReport *report) {
        if (!facts->service || facts->config_mtime_nsec == 0)
                return;
        if (facts->generated_mtime_nsec == 0) {
                finding_add(report, DOCTOR_PROBLEM, "systemd has no units generated from the configuration; the "
                                                    "mounts and the start order of the engines are missing");
                finding_fix(report, "systemctl daemon-reload");
        } else if (facts->config_mtime_nsec > facts->generated_mtime_nsec) {
                finding_add(report, DOCTOR_WARNING, "The configuration is newer than the units generated from it");
                finding_fix(report, "systemctl daemon-reload && systemctl reload shmstaged.service; a few keys need "
                                    "more, see Applying changes in shmstaged.conf(5)");
        } else
                finding_add(report, DOCTOR_OK, "The generated units are up to date");
}

/* The memory limits of one unit. The pages of a mirror are charged to the service that stages them and to its slice. */
static void check_limit(const DoctorFacts *facts, DoctorReport *report, const UnitView *unit, const char *section,
                        uint64_t need, size_t *n_found) {
        static const char *const keys[] = { "MemoryMax", "MemoryHigh", "MemoryLimit" };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const UnitSetting *setting = unit_view_last(unit, section, keys[i]);
                char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];
                uint64_t limit;

                if (!setting || !unit_view_parse_bytes(setting->value, facts->memory.total, &limit) || limit > need)
                        continue;
                ++*n_found;
                finding_add(report, DOCTOR_PROBLEM,
                            "%s=%s of %s is below the %s that the mirrors need; their "
                            "memory counts toward this limit, and shmstaged %s",
                            keys[i], text_bytes(a, limit), unit->name, text_bytes(b, need),
                            i == 1 ? "is throttled to a crawl" : "is killed while staging");
                finding_fix(report, "set %s= to more than %s in %s, then systemctl daemon-reload", keys[i], b,
                            setting->file);
        }
}

void doctor_check_limits(const DoctorFacts *facts, DoctorReport *report) {
        const char *slice = unit_view_value(facts->service, "Service", "Slice");
        _cleanup_(unit_view_freep) UnitView *around = NULL;
        size_t found = 0;
        uint64_t need;

        if (!facts->service || !sum_needs(facts, &need))
                return;
        check_limit(facts, report, facts->service, "Service", need, &found);
        if (unit_view_load(&facts->machine, slice && strrchr(slice, '.') ? slice : "system.slice", &around, NULL) >= 0)
                check_limit(facts, report, around, "Slice", need, &found);
        if (found == 0)
                finding_add(report, DOCTOR_OK,
                            "No limit of shmstaged.service or its slice is below what the mirrors need");
}

void doctor_check_stop(const DoctorFacts *facts, DoctorReport *report) {
        const UnitSetting *setting = unit_view_last(facts->service, "Service", "TimeoutStopSec");
        const UnitSetting *both = unit_view_last(facts->service, "Service", "TimeoutSec");
        char span[TEXT_SPAN_MAX];
        uint64_t usec;

        if (!facts->service)
                return;
        if (both && (!setting || both > setting))
                setting = both;
        if (setting && !string_equal(setting->value, "infinity") && quantity_parse_span(setting->value, &usec) &&
            usec > 0 && usec < 30 * USEC_PER_SEC) {
                finding_add(report, DOCTOR_WARNING,
                            "systemd kills shmstaged after %s without progress while stopping; files not saved by "
                            "then stay in RAM and are lost when the machine is rebooted or switched off",
                            text_span(span, usec));
                finding_fix(report, "remove %s= from %s, then systemctl daemon-reload", setting->key, setting->file);
        } else
                finding_add(report, DOCTOR_OK, "%s, and longer while files are saved",
                            setting ? setting->value : "1min 30s");
}
