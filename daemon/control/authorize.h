/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Who may change something: root, the daemon's own user, and on the system bus whoever polkit lets do
 * "io.shmstaged.manage". Bus and polkit are asked without waiting. Loop thread only. */

#include "base/base.h"

#include <sys/socket.h>
#include <systemd/sd-bus.h>

typedef struct ControlAuthorize ControlAuthorize;

/* @allowed: the caller may; @who: for the log, "uid 1000 (pid 77)". It answers the call. */
int control_authorize_new(ControlAuthorize **ret,
                          void (*allowed)(sd_bus_message *call, const char *who, void *userdata), void *userdata);
ControlAuthorize *control_authorize_free(ControlAuthorize *rights);

/* Comes to a verdict about the caller, now or later: calls allowed(), or answers with AccessDenied. @peer: who sits
 * at the other end of a private connection; NULL: the call came over the system bus. */
int control_authorize_request(ControlAuthorize *rights, sd_bus_message *call, const struct ucred *peer);

/* A connection is about to go: what was asked for its calls is forgotten. */
void control_authorize_forget(ControlAuthorize *rights, sd_bus *bus);
