/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Is this machine set up well for its mirrors, and are its engines? A check is a row of a table and a function that
 * looks at facts and says what it found, with the numbers and with what mends it. Nothing is changed, nobody is
 * asked but the facts. */

#include "base/base.h"
#include "ctl/doctor/facts.h"

typedef enum DoctorVerdict {
        DOCTOR_OK,
        DOCTOR_NOTE,    /* worth knowing; nothing has to be done */
        DOCTOR_WARNING, /* it works, but costs something or will go wrong some day */
        DOCTOR_PROBLEM, /* it does not work as it is */
} DoctorVerdict;

const char *doctor_verdict_name(DoctorVerdict verdict);

typedef struct DoctorReport DoctorReport;

typedef void DoctorCheckFunction(const DoctorFacts *facts, DoctorReport *report);

typedef enum DoctorGroup { DOCTOR_MACHINE, DOCTOR_SERVICE, DOCTOR_MIRROR, DOCTOR_ENGINE } DoctorGroup;

typedef struct DoctorCheck {
        const char *name;  /* for programs: does not change */
        const char *title; /* for people */
        DoctorGroup group;
        DoctorCheckFunction *run;
} DoctorCheck;

const DoctorCheck *doctor_checks(size_t *ret_n);

typedef struct DoctorFinding {
        const DoctorCheck *check;
        DoctorVerdict verdict;
        char *subject; /* name of the mirror or engine; NULL: the machine */
        char *reason;  /* a sentence without the full stop */
        char *fix;     /* a command or a setting; NULL: nothing to be done */
} DoctorFinding;

struct DoctorReport {
        const DoctorCheck *check; /* whose turn it is */
        DoctorFinding *findings;  /* in the order of the table, and of mirrors and engines within a check */
        size_t n_findings;
        bool failed;              /* out of memory: the report is not whole */
};

/* Runs all checks. A check that does not apply here (no engine, no mirror) finds nothing. 0 or -ENOMEM. */
int doctor_run(const DoctorFacts *facts, DoctorReport *ret);
void doctor_report_done(DoctorReport *report);

DoctorVerdict doctor_worst(const DoctorReport *report);

/* For the checks: one more finding, and what mends the last one. Paths in it are made safe by whoever prints. */
void doctor_say(DoctorReport *report, DoctorVerdict verdict, const char *subject, const char *format, ...)
        _printf_(4, 5);
void doctor_fix(DoctorReport *report, const char *format, ...) _printf_(2, 3);

/* The same of a setting of an engine, which goes into its unit, or into how somebody starts it. */
void doctor_fix_setting(DoctorReport *report, const FactsEngine *engine, const char *text);

/* The checks. */
DoctorCheckFunction doctor_check_kernel, doctor_check_config, doctor_check_memory, doctor_check_huge_pages,
        doctor_check_swap, doctor_check_inotify, doctor_check_shm, doctor_check_remove_ipc;
DoctorCheckFunction doctor_check_service, doctor_check_reload, doctor_check_limits, doctor_check_stop;
DoctorCheckFunction doctor_check_source, doctor_check_read_ahead, doctor_check_room, doctor_check_mount_options,
        doctor_check_disk_room, doctor_check_token;
DoctorCheckFunction doctor_check_unit, doctor_check_order, doctor_check_place, doctor_check_copies,
        doctor_check_memlock, doctor_check_sight, doctor_check_dynamic_user, doctor_check_owner, doctor_check_home,
        doctor_check_version;
