/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The control interface: the object /io/shmstaged on the private socket and, for root's daemon, on the system bus.
 * io.shmstaged(5) describes it.
 *
 * Every call is answered from what the event loop knows; nothing waits for a disk, a copy or another process. Calls
 * that take longer become jobs. The daemon works without a control interface: what cannot be set up is logged as a
 * warning. Loop thread only. */

#include "base/base.h"
#include "control/object.h"

typedef struct Control Control;

int control_new(Control **ret, const ControlOptions *options);
Control *control_free(Control *control);
DEFINE_CLEANUP(Control, control_free)

/* Something may have changed. Cheap: signals and answers are sent a moment later, together for many changes, and not
 * at all without clients. */
void control_update(Control *control);

/* Tries again to get on a system bus that has refused the daemon. */
void control_retry(Control *control);
