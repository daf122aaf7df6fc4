/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether this machine is set up well for its mirrors and engines: the table of the checks, and a run of all. */

#include "base/base.h"
#include "ctl/doctor/checks.h"

typedef enum DoctorGroup { DOCTOR_MACHINE, DOCTOR_SERVICE, DOCTOR_MIRROR, DOCTOR_ENGINE } DoctorGroup;

struct DoctorCheck {
        const char *name;  /* for programs: does not change */
        const char *title; /* for people */
        DoctorGroup group;
        union { /* by the group; of machine and service the same */
                DoctorMachineCheck *machine;
                DoctorMirrorCheck *mirror;
                DoctorEngineCheck *engine;
        };
};

const DoctorCheck *doctor_checks(size_t *ret_n);

/* Runs all checks. 0 or -ENOMEM; the caller frees the report with finding_report_done(). */
int doctor_run(const DoctorFacts *facts, DoctorReport *ret);

DoctorVerdict doctor_worst(const DoctorReport *report);
const char *doctor_verdict_name(DoctorVerdict verdict);
