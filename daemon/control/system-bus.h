/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The system bus: joined when it is there, whenever that is, and joined again when it was started anew. A bus that
 * is not there yet is waited for with the kernel's help, so nobody wakes up for it. One that refuses us is tried
 * again a few times, later and later, and then left alone until control_system_bus_retry(). All of this is told at
 * debug level only, because the daemon does without. Loop thread only. */

#include "base/base.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct ControlSystemBus ControlSystemBus;

typedef struct ControlSystemBusOptions {
        sd_event *event;
        int (*dress)(sd_bus *bus, void *userdata);  /* gives the connection its objects */
        void (*left)(sd_bus *bus, void *userdata);  /* it is about to go */
        void *userdata;
} ControlSystemBusOptions;

int control_system_bus_new(ControlSystemBus **ret, const ControlSystemBusOptions *options);
ControlSystemBus *control_system_bus_free(ControlSystemBus *bus);

/* The connection, for signals; NULL as long as it or its name is not ours. */
sd_bus *control_system_bus_get(const ControlSystemBus *bus);

/* Tries again, if nothing was tried any more. */
void control_system_bus_retry(ControlSystemBus *bus);
