/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The table of the checks, and a run of all of them. See ctl/doctor/doctor.h. */

#include "ctl/doctor/doctor.h"

static const DoctorCheck checks[] = {
        { "config", "configuration", DOCTOR_MACHINE, .machine = doctor_check_config },
        { "kernel", "kernel", DOCTOR_MACHINE, .machine = doctor_check_kernel },
        { "memory", "memory", DOCTOR_MACHINE, .machine = doctor_check_memory },
        { "huge-pages", "huge pages", DOCTOR_MACHINE, .machine = doctor_check_huge_pages },
        { "swap", "swap", DOCTOR_MACHINE, .machine = doctor_check_swap },
        { "inotify", "inotify", DOCTOR_MACHINE, .machine = doctor_check_inotify },
        { "service", "service", DOCTOR_SERVICE, .machine = doctor_check_service },
        { "daemon-reload", "units", DOCTOR_SERVICE, .machine = doctor_check_reload },
        { "memory-limit", "memory limit", DOCTOR_SERVICE, .machine = doctor_check_limits },
        { "stop-timeout", "time to stop", DOCTOR_SERVICE, .machine = doctor_check_stop },
        { "source", "source", DOCTOR_MIRROR, .mirror = doctor_check_source },
        { "read-ahead", "read-ahead", DOCTOR_MIRROR, .mirror = doctor_check_read_ahead },
        { "tmpfs-size", "size", DOCTOR_MIRROR, .mirror = doctor_check_room },
        { "mount-options", "mount options", DOCTOR_MIRROR, .mirror = doctor_check_mount_options },
        { "shm", "mount", DOCTOR_MIRROR, .mirror = doctor_check_shm },
        { "remove-ipc", "RemoveIPC", DOCTOR_MIRROR, .mirror = doctor_check_remove_ipc },
        { "disk-room", "room to save", DOCTOR_MIRROR, .mirror = doctor_check_disk_room },
        { "token", "secrets", DOCTOR_MIRROR, .mirror = doctor_check_token },
        { "unit", "unit", DOCTOR_ENGINE, .engine = doctor_check_unit },
        { "order", "order", DOCTOR_ENGINE, .engine = doctor_check_order },
        { "place", "models", DOCTOR_ENGINE, .engine = doctor_check_place },
        { "copies", "second copy", DOCTOR_ENGINE, .engine = doctor_check_copies },
        { "memlock", "locked memory", DOCTOR_ENGINE, .engine = doctor_check_memlock },
        { "sight", "sight", DOCTOR_ENGINE, .engine = doctor_check_sight },
        { "dynamic-user", "user", DOCTOR_ENGINE, .engine = doctor_check_dynamic_user },
        { "owner", "owner", DOCTOR_ENGINE, .engine = doctor_check_owner },
        { "hf-home", "HF_HOME", DOCTOR_ENGINE, .engine = doctor_check_home },
        { "version", "version", DOCTOR_ENGINE, .engine = doctor_check_version },
};

const DoctorCheck *doctor_checks(size_t *ret_n) {
        *ret_n = ELEMENTSOF(checks);
        return checks;
}

const char *doctor_verdict_name(DoctorVerdict verdict) {
        static const char *const names[] = {
                [DOCTOR_OK] = "ok", [DOCTOR_NOTE] = "note", [DOCTOR_WARNING] = "warning", [DOCTOR_PROBLEM] = "problem"
        };

        return names[verdict];
}

/* Runs a check for each of its subjects. */
static void run_check(const DoctorCheck *check, const DoctorFacts *facts, DoctorReport *report) {
        if (check->group == DOCTOR_MIRROR)
                for (size_t i = 0; i < facts->n_mirrors; i++) {
                        report->subject = facts->mirrors[i].config->name;
                        check->mirror(facts, &facts->mirrors[i], report);
                }
        else if (check->group == DOCTOR_ENGINE)
                for (size_t i = 0; i < facts->engines.n; i++) {
                        const EngineFacts *engine = &facts->engines.items[i];

                        report->subject = engine->name;
                        report->unit = engine->unit ? engine->name : NULL;
                        check->engine(facts, engine, report);
                }
        else {
                report->subject = NULL;
                check->machine(facts, report);
        }
}

int doctor_run(const DoctorFacts *facts, DoctorReport *ret) {
        _cleanup_(finding_report_done) DoctorReport report = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(checks) && !report.failed; i++) {
                report.check = &checks[i];
                run_check(&checks[i], facts, &report);
        }
        if (report.failed)
                return -ENOMEM;
        *ret = report;
        report = (DoctorReport){ 0 };
        return 0;
}

DoctorVerdict doctor_worst(const DoctorReport *report) {
        DoctorVerdict worst = DOCTOR_OK;

        for (size_t i = 0; i < report->n_findings; i++)
                worst = MAX(worst, report->findings[i].verdict);
        return worst;
}
