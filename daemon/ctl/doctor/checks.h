/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The checks of doctor, in a file check-*.c for each subject: machine and service, mirrors, engines, and what engines
 * do with models. A check reads facts and adds findings, with numbers and fixes. Pure, but for small files that only it
 * needs (a sysctl, the configuration of llama-swap); it changes nothing. A check that does not apply (no engine, no
 * mirror) adds nothing. The table of the checks is in ctl/doctor/doctor.c. */

#include "ctl/doctor/facts.h"
#include "ctl/doctor/finding.h"

typedef void DoctorMachineCheck(const DoctorFacts *facts, DoctorReport *report);
typedef void DoctorMirrorCheck(const DoctorFacts *facts, const FactsMirror *mirror, DoctorReport *report);
typedef void DoctorEngineCheck(const DoctorFacts *facts, const EngineFacts *engine, DoctorReport *report);

DoctorMachineCheck doctor_check_kernel, doctor_check_config, doctor_check_memory, doctor_check_huge_pages,
        doctor_check_swap, doctor_check_inotify, doctor_check_service, doctor_check_reload, doctor_check_limits,
        doctor_check_stop;
DoctorMirrorCheck doctor_check_source, doctor_check_read_ahead, doctor_check_room, doctor_check_mount_options,
        doctor_check_shm, doctor_check_remove_ipc, doctor_check_disk_room, doctor_check_token;
DoctorEngineCheck doctor_check_unit, doctor_check_order, doctor_check_place, doctor_check_copies,
        doctor_check_memlock, doctor_check_sight, doctor_check_dynamic_user, doctor_check_owner, doctor_check_home,
        doctor_check_version;
