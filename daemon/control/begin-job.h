/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The calls that change something: each begins a job. control/object.h has the calls that only read. Loop thread
 * only. */

#include "base/base.h"

#include <systemd/sd-bus.h>

/* Carries out a call whose caller is authorized, and answers it. For control_authorizer_new(), with the ControlObject
 * as userdata. */
void control_begin_job(sd_bus_message *call, const char *who, void *userdata);
