/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Decides who may change something: root, the daemon's own user, and on the system bus every user whom polkit allows
 * the action "io.shmstaged.manage". Bus and polkit are asked asynchronously. Loop thread only. */

#include "base/base.h"

#include <sys/socket.h>
#include <systemd/sd-bus.h>

typedef struct ControlAuthorizer ControlAuthorizer;

/* @allowed carries out and answers a call whose caller is authorized; its @who is for the log, such as "uid 1000 (pid
 * 77, busctl)". */
int control_authorizer_new(ControlAuthorizer **ret,
                          void (*allowed)(sd_bus_message *call, const char *who, void *userdata), void *userdata);
ControlAuthorizer *control_authorizer_free(ControlAuthorizer *authorizer);

/* True for root and for the daemon's own user. */
bool control_authorizer_is_trusted(uid_t uid);

/* Authorizes a call, now or later: calls allowed(), or answers with AccessDenied. @peer: the credentials of a client of
 * the private socket; NULL: the call came over the system bus. */
int control_authorizer_check(ControlAuthorizer *authorizer, sd_bus_message *call, const struct ucred *peer);

/* Forgets the calls of a connection that is about to be closed. */
void control_authorizer_forget(ControlAuthorizer *authorizer, sd_bus *bus);
