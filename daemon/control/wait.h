/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Calls of Wait() that are answered when what they wait for has come, or never will. Loop thread only. */

#include "base/base.h"
#include "control/status.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

typedef struct ControlWaits ControlWaits;

int control_waits_new(ControlWaits **ret, const Mirrors *mirrors);
ControlWaits *control_waits_free(ControlWaits *waits);

/* Takes a call of Wait(). It is answered by control_waits_update(), never from here, but for what is wrong with it.
 * Some places are for @trusted callers alone. */
int control_waits_add(ControlWaits *waits, sd_bus_message *call, bool trusted, sd_bus_error *error);

/* Answers those that can be. True if it was too much for one time: the next call goes on. @failure: of a mirror; NULL. */
bool control_waits_update(ControlWaits *waits, const ControlState *state, const char *failure);

size_t control_waits_count(const ControlWaits *waits);
/* Of those that came over one connection. */
size_t control_waits_count_of(const ControlWaits *waits, const sd_bus *bus);

/* The connection is about to go, and what came over it is forgotten. */
void control_waits_forget(ControlWaits *waits, const sd_bus *bus);
