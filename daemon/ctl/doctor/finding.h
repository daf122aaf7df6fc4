/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The findings of doctor's checks. */

#include "base/base.h"

typedef enum DoctorVerdict {
        DOCTOR_OK,
        DOCTOR_NOTE,    /* worth knowing; nothing has to be done */
        DOCTOR_WARNING, /* it works, but costs something or may go wrong later */
        DOCTOR_PROBLEM, /* it does not work */
} DoctorVerdict;

typedef struct DoctorCheck DoctorCheck; /* ctl/doctor/doctor.h */

typedef struct DoctorFinding {
        const DoctorCheck *check;
        DoctorVerdict verdict;
        char *subject; /* name of the mirror or engine; NULL: the machine */
        char *reason;  /* a sentence without the full stop, which states what was found */
        char *fix;     /* a command or a concrete step; NULL: nothing to do */
} DoctorFinding;

typedef struct DoctorReport {
        const DoctorCheck *check; /* the one that is running, and what it is about */
        const char *subject;      /* see DoctorFinding; borrowed */
        const char *unit;         /* of an engine; NULL: it is not started by a unit */
        DoctorFinding *findings;  /* in the order of the checks, and of mirrors and engines within a check */
        size_t n_findings;
        bool failed;              /* out of memory: the report is incomplete */
} DoctorReport;

/* Adds a finding of the running check; finding_fix() gives the latest one its fix. Paths are printed raw: whoever shows
 * the text makes it safe. */
void finding_add(DoctorReport *report, DoctorVerdict verdict, const char *format, ...) _printf_(3, 4);
void finding_fix(DoctorReport *report, const char *format, ...) _printf_(2, 3);

/* A fix that changes a setting of an engine: of its unit, or, without one, of the command that starts it. */
void finding_fix_setting(DoctorReport *report, const char *format, ...) _printf_(2, 3);

void finding_report_done(DoctorReport *report);
