/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The connection to the system bus: made when there is a bus, and again when that was restarted. For a bus that is not
 * there yet inotify watches, without wake-ups. A bus that refuses the daemon is tried a few times, at growing
 * intervals, and then not before control_system_bus_retry(). All of this is logged at debug level only, because the
 * daemon works without it. Loop thread only. */

#include "base/base.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct ControlSystemBus ControlSystemBus;

typedef struct ControlSystemBusOptions {
        sd_event *event;
        int (*register_objects)(sd_bus *bus, void *userdata); /* on a new connection */
        void (*disconnected)(sd_bus *bus, void *userdata);    /* the connection is about to be closed */
        void *userdata;
} ControlSystemBusOptions;

int control_system_bus_new(ControlSystemBus **ret, const ControlSystemBusOptions *options);
ControlSystemBus *control_system_bus_free(ControlSystemBus *bus);

/* The connection, for signals; NULL while there is none, or the name is not ours. */
sd_bus *control_system_bus_get(const ControlSystemBus *bus);

/* Tries again, if it has given up. */
void control_system_bus_retry(ControlSystemBus *bus);
