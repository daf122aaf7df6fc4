/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The checks of a machine and of our own service. See ctl/doctor/doctor.h. */

#include "ctl/doctor/doctor.h"

#include "base/text.h"

static bool kernel_is_below(const DoctorFacts *facts, unsigned major, unsigned minor) {
        return facts->kernel_major < major || (facts->kernel_major == major && facts->kernel_minor < minor);
}

void doctor_check_config(const DoctorFacts *facts, DoctorReport *report) {
        if (facts->config_problem) {
                doctor_say(report, DOCTOR_PROBLEM, NULL, "The configuration cannot be used: %s", facts->config_problem);
                doctor_fix(report, "shmstaged --check-config");
        } else
                doctor_say(report, DOCTOR_OK, NULL, "%zu mirror%s", facts->n_mirrors, facts->n_mirrors == 1 ? "" : "s");
}

void doctor_check_kernel(const DoctorFacts *facts, DoctorReport *report) {
        if (facts->kernel_major == 0)
                doctor_say(report, DOCTOR_NOTE, NULL, "Which Linux this is is not known");
        else if (kernel_is_below(facts, 5, 8)) {
                doctor_say(report, DOCTOR_PROBLEM, NULL, "Linux %s is too old: shmstaged needs 5.8", facts->kernel);
                doctor_fix(report, "boot a newer kernel");
        } else if (kernel_is_below(facts, 6, 4))
                doctor_say(report, DOCTOR_NOTE, NULL,
                           "Linux %s knows no noswap for tmpfs (6.4) and no user attributes on it (6.6)",
                           facts->kernel);
        else if (kernel_is_below(facts, 6, 6))
                doctor_say(report, DOCTOR_NOTE, NULL,
                           "Linux %s has no user attributes on tmpfs (6.6): those of models are not mirrored",
                           facts->kernel);
        else
                doctor_say(report, DOCTOR_OK, NULL, "Linux %s", facts->kernel);
}

/* What all mirrors need. False if that of any is not known. */
static bool sum_needs(const DoctorFacts *facts, uint64_t *ret) {
        bool known = facts->n_mirrors > 0;

        *ret = 0;
        for (size_t i = 0; i < facts->n_mirrors; i++) {
                known = known && facts->mirrors[i].looked;
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
                doctor_say(report, DOCTOR_PROBLEM, NULL,
                           "%s are selected, but of %s of RAM all but %s (ReserveMemory=) can be used", a, b, c);
                doctor_fix(report,
                           "select less with Models=, Include= or Exclude=, or set OnNoRoom=link in shmstaged.conf");
        } else if (sizes > total) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "The mirrors together may grow to %s, more than the %s of RAM: filled, the machine hangs",
                           text_bytes(a, sizes), b);
                doctor_fix(report, "give each mirror a Size= in shmstaged.conf, together at most %s",
                           text_bytes(a, total - MIN(total, reserve)));
        } else if (!known)
                doctor_say(report, DOCTOR_NOTE, NULL,
                           "%s of RAM; how much is selected is not known, because a source cannot be read", b);
        else
                doctor_say(report, DOCTOR_OK, NULL, "%s of %s are selected, %s stay free (ReserveMemory=)", a, b, c);
}

void doctor_check_huge_pages(const DoctorFacts *facts, DoctorReport *report) {
        const char *setting = facts->shmem_huge;
        bool wanted = false;

        for (size_t i = 0; i < facts->n_mirrors; i++)
                wanted = wanted || facts->mirrors[i].config->huge_pages != HUGE_NEVER;
        if (!wanted)
                return;
        if (!setting) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "This kernel has no huge pages for tmpfs: the mirrors have pages of 4 KiB, which engines "
                           "load more slowly");
                doctor_fix(report, "boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE");
        } else if (string_equal(setting, "deny")) {
                doctor_say(report, DOCTOR_PROBLEM, NULL,
                           "shmem_enabled is \"deny\": no tmpfs gets huge pages, whatever its mount options are");
                doctor_fix(report, "echo never >/sys/kernel/mm/transparent_hugepage/shmem_enabled");
        } else if (string_equal(setting, "force")) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "shmem_enabled is \"force\": each small file of a mirror takes 2 MiB");
                doctor_fix(report, "echo never >/sys/kernel/mm/transparent_hugepage/shmem_enabled");
        } else
                doctor_say(report, DOCTOR_OK, NULL, "The mount options decide (shmem_enabled is \"%s\")", setting);
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
                        doctor_say(report, DOCTOR_WARNING, NULL,
                                   "There is %s of swap and %s is mounted without noswap: models can leave RAM",
                                   bytes, mirror->config->target);
                        doctor_fix(report, "let the mount be made anew: systemctl stop shmstaged.service && "
                                           "systemctl start shmstaged.service");
                } else {
                        doctor_say(report, DOCTOR_WARNING, NULL,
                                   "There is %s of swap and Linux %s has no noswap (6.4 has it): under pressure the "
                                   "models in %s leave RAM",
                                   bytes, facts->kernel, mirror->config->target);
                        doctor_fix(report,
                                   "swapoff -a, or boot Linux 6.4, or keep MemorySwapMax=0 of shmstaged.service");
                }
        }
        if (found == 0 && facts->memory.swap_total == 0)
                doctor_say(report, DOCTOR_OK, NULL, "There is no swap");
        else if (found == 0)
                doctor_say(report, DOCTOR_OK, NULL, "%s of swap, which no mirror uses that should not", bytes);
}

void doctor_check_inotify(const DoctorFacts *facts, DoctorReport *report) {
        uint64_t directories = 0;

        if (facts->watches == 0)
                return;
        /* the mirror has the same directories */
        for (size_t i = 0; i < facts->n_mirrors; i++)
                directories += facts->mirrors[i].directories * (facts->mirrors[i].config->watch_source ? 2 : 1);
        if (directories > facts->watches) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "%llu directories are to be watched, but one user may watch %llu: the rest is polled",
                           (unsigned long long) directories, (unsigned long long) facts->watches);
                doctor_fix(report, "sysctl -w fs.inotify.max_user_watches=%llu, and the same in /etc/sysctl.d/",
                           (unsigned long long) (directories * 2));
        } else if (facts->instances > 0 && facts->instances < 8) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "One user may have %llu inotify instances: other programs may leave none for shmstaged",
                           (unsigned long long) facts->instances);
                doctor_fix(report, "sysctl -w fs.inotify.max_user_instances=128, and the same in /etc/sysctl.d/");
        } else if (facts->queue > 0 && facts->queue < 4096) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "The queue of inotify holds %llu events: it overflows when a model of many files is "
                           "pulled, and all is looked through again",
                           (unsigned long long) facts->queue);
                doctor_fix(report, "sysctl -w fs.inotify.max_queued_events=16384, and the same in /etc/sysctl.d/");
        } else
                doctor_say(report, DOCTOR_OK, NULL, "%llu of %llu watches are needed",
                           (unsigned long long) directories, (unsigned long long) facts->watches);
}

void doctor_check_service(const DoctorFacts *facts, DoctorReport *report) {
        if (!facts->service) {
                doctor_say(report, DOCTOR_NOTE, NULL, "shmstaged.service is not installed here");
                return;
        }
        if (facts->service->masked) {
                doctor_say(report, DOCTOR_PROBLEM, NULL, "shmstaged.service is masked: it cannot be started");
                doctor_fix(report, "systemctl unmask shmstaged.service");
        } else if (!facts->enabled) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "shmstaged.service is not enabled: after the next boot the mirrors are empty until an "
                           "engine asks for them");
                doctor_fix(report, "systemctl enable shmstaged.service");
        } else
                doctor_say(report, DOCTOR_OK, NULL, "shmstaged.service is enabled");
}

/* The generator makes units of the configuration at boot and at daemon-reload. */
void doctor_check_reload(const DoctorFacts *facts, DoctorReport *report) {
        if (!facts->service || facts->config_mtime_nsec == 0)
                return;
        if (facts->generated_mtime_nsec == 0) {
                doctor_say(report, DOCTOR_PROBLEM, NULL,
                           "systemd has no units of the configuration: no mount, no order of the engines");
                doctor_fix(report, "systemctl daemon-reload");
        } else if (facts->config_mtime_nsec > facts->generated_mtime_nsec) {
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "The configuration is newer than the units that were made of it");
                doctor_fix(report, "systemctl daemon-reload && systemctl restart shmstaged.service");
        } else
                doctor_say(report, DOCTOR_OK, NULL, "The units were made of the configuration as it is");
}

/* Of the service and its slice, with the slices around it. Pages of a mirror are charged to whoever stages them. */
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
                doctor_say(report, DOCTOR_PROBLEM, NULL,
                           "%s=%s of %s is below the %s that the mirrors need: the pages of a mirror are charged to "
                           "it, and shmstaged %s",
                           keys[i], limit == UINT64_MAX ? "infinity" : text_bytes(a, limit), unit->name,
                           text_bytes(b, need), i == 1 ? "slows down to a crawl" : "is killed while it stages");
                doctor_fix(report, "set %s= to more than %s in %s, then systemctl daemon-reload", keys[i], b,
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
                doctor_say(report, DOCTOR_OK, NULL, "No limit of shmstaged.service or its slice is in the way");
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
                doctor_say(report, DOCTOR_WARNING, NULL,
                           "systemd kills shmstaged %s after a stop if nothing moves: what is not saved by then "
                           "stays in RAM, and is lost at a shutdown",
                           text_span(span, usec));
                doctor_fix(report, "remove %s= from %s, then systemctl daemon-reload", setting->key, setting->file);
        } else
                doctor_say(report, DOCTOR_OK, NULL, "%s, and longer while files are saved",
                           setting ? setting->value : "1min 30s");
}
