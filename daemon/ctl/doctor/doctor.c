/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The table of checks, and what they have found. See ctl/doctor/doctor.h; the checks are in
 * ctl/doctor/check-machine.c, ctl/doctor/check-mirror.c, ctl/doctor/check-engine.c and ctl/doctor/check-copy.c. */

#include "ctl/doctor/doctor.h"

#include <stdarg.h>

static const DoctorCheck checks[] = {
        { "config", "configuration", DOCTOR_MACHINE, doctor_check_config },
        { "kernel", "kernel", DOCTOR_MACHINE, doctor_check_kernel },
        { "memory", "memory", DOCTOR_MACHINE, doctor_check_memory },
        { "huge-pages", "huge pages", DOCTOR_MACHINE, doctor_check_huge_pages },
        { "swap", "swap", DOCTOR_MACHINE, doctor_check_swap },
        { "inotify", "inotify", DOCTOR_MACHINE, doctor_check_inotify },
        { "service", "service", DOCTOR_SERVICE, doctor_check_service },
        { "daemon-reload", "units", DOCTOR_SERVICE, doctor_check_reload },
        { "memory-limit", "memory limit", DOCTOR_SERVICE, doctor_check_limits },
        { "stop-timeout", "time to stop", DOCTOR_SERVICE, doctor_check_stop },
        { "source", "source", DOCTOR_MIRROR, doctor_check_source },
        { "read-ahead", "read-ahead", DOCTOR_MIRROR, doctor_check_read_ahead },
        { "tmpfs-size", "size", DOCTOR_MIRROR, doctor_check_room },
        { "mount-options", "mount options", DOCTOR_MIRROR, doctor_check_mount_options },
        { "shm", "mount", DOCTOR_MIRROR, doctor_check_shm },
        { "remove-ipc", "RemoveIPC", DOCTOR_MIRROR, doctor_check_remove_ipc },
        { "disk-room", "room to save", DOCTOR_MIRROR, doctor_check_disk_room },
        { "token", "secrets", DOCTOR_MIRROR, doctor_check_token },
        { "unit", "unit", DOCTOR_ENGINE, doctor_check_unit },
        { "order", "order", DOCTOR_ENGINE, doctor_check_order },
        { "place", "models", DOCTOR_ENGINE, doctor_check_place },
        { "copies", "second copy", DOCTOR_ENGINE, doctor_check_copies },
        { "memlock", "locked memory", DOCTOR_ENGINE, doctor_check_memlock },
        { "sight", "sight", DOCTOR_ENGINE, doctor_check_sight },
        { "dynamic-user", "user", DOCTOR_ENGINE, doctor_check_dynamic_user },
        { "owner", "owner", DOCTOR_ENGINE, doctor_check_owner },
        { "hf-home", "HF_HOME", DOCTOR_ENGINE, doctor_check_home },
        { "version", "version", DOCTOR_ENGINE, doctor_check_version },
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

int doctor_run(const DoctorFacts *facts, DoctorReport *ret) {
        _cleanup_(doctor_report_done) DoctorReport report = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(checks) && !report.failed; i++) {
                report.check = &checks[i];
                checks[i].run(facts, &report);
        }
        if (report.failed)
                return -ENOMEM;
        *ret = report;
        report = (DoctorReport){ 0 };
        return 0;
}

void doctor_report_done(DoctorReport *report) {
        for (size_t i = 0; i < report->n_findings; i++) {
                free(report->findings[i].subject);
                free(report->findings[i].reason);
                free(report->findings[i].fix);
        }
        free(report->findings);
        *report = (DoctorReport){ 0 };
}

DoctorVerdict doctor_worst(const DoctorReport *report) {
        DoctorVerdict worst = DOCTOR_OK;

        for (size_t i = 0; i < report->n_findings; i++)
                worst = MAX(worst, report->findings[i].verdict);
        return worst;
}

void doctor_say(DoctorReport *report, DoctorVerdict verdict, const char *subject, const char *format, ...) {
        DoctorFinding *grown = reallocarray(report->findings, report->n_findings + 1, sizeof(*grown)), *finding;
        va_list arguments;

        if (!grown) {
                report->failed = true;
                return;
        }
        report->findings = grown;
        finding = &grown[report->n_findings++];
        *finding = (DoctorFinding){ .check = report->check, .verdict = verdict, .subject = subject ? strdup(subject) : NULL };
        va_start(arguments, format);
        if (vasprintf(&finding->reason, format, arguments) < 0)
                finding->reason = NULL;
        va_end(arguments);
        report->failed = report->failed || !finding->reason || (subject && !finding->subject);
}

void doctor_fix(DoctorReport *report, const char *format, ...) {
        va_list arguments;

        if (report->failed || report->n_findings == 0)
                return;
        va_start(arguments, format);
        if (vasprintf(&report->findings[report->n_findings - 1].fix, format, arguments) < 0) {
                report->findings[report->n_findings - 1].fix = NULL;
                report->failed = true;
        }
        va_end(arguments);
}

void doctor_fix_setting(DoctorReport *report, const FactsEngine *engine, const char *text) {
        if (engine->unit)
                doctor_fix(report, "systemctl edit %s: %s", engine->name, text);
        else
                doctor_fix(report, "start it anew: %s", text);
}
