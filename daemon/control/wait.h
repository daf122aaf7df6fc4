/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Calls of Wait() that are not answered yet: they are when all their names are ready, or one never will be. Loop thread
 * only. */

#include "base/base.h"
#include "control/status.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

typedef struct ControlWaits ControlWaits;

int control_waits_new(ControlWaits **ret, const Mirrors *mirrors);
ControlWaits *control_waits_free(ControlWaits *waits);

/* Takes a call of Wait(), which control_waits_update() will answer. Returns 1; or a negative errno or *error, with
 * which the call is to be answered: half of all places are kept for @trusted callers. */
int control_waits_add(ControlWaits *waits, sd_bus_message *call, bool trusted, sd_bus_error *error);

/* Answers the calls that can be answered. True if there was not enough time for all: the next update continues.
 * @failure: of a mirror; NULL. */
bool control_waits_update(ControlWaits *waits, const ControlState *state, const char *failure);

size_t control_waits_count(const ControlWaits *waits);
/* The calls that came over one connection. */
size_t control_waits_count_of(const ControlWaits *waits, const sd_bus *bus);

/* Forgets the calls of a connection that is about to be closed. */
void control_waits_forget(ControlWaits *waits, const sd_bus *bus);
