/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The control interface: the object /io/shmstaged on the private socket and, for root's daemon, on the system bus.
 * io.shmstaged(5) describes it.
 *
 * Everything is answered from what the loop knows; nothing waits for a disk, a copy or another process. Calls that
 * take a while are jobs. The daemon does without any of it: what cannot be set up is told as a warning. Loop thread
 * only. */

#include "base/base.h"
#include "control/object.h"

typedef struct Control Control;

int control_new(Control **ret, const ControlOptions *options);
Control *control_free(Control *control);
DEFINE_CLEANUP(Control, control_free)

/* Something may have changed. Cheap: what is to be told and answered is looked at a moment later, once for many
 * changes, and not at all if nobody is there. */
void control_update(Control *control);

/* A system bus that would not have us is tried again. */
void control_retry(Control *control);
