/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The calls that change something: what they name, and the job that they become. Loop thread only. */

#include "base/base.h"

#include <systemd/sd-bus.h>

/* Carries out a call whose caller may, and answers it; for control_authorize_new(), with the ControlObject as userdata. */
void control_methods_allowed(sd_bus_message *call, const char *who, void *userdata);
