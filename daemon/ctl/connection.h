/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The connection to the daemon, over its private socket or the system bus. io.shmstaged(5) describes the interface.
 *
 * Nothing here waits for ever, unless told to: any process may listen at the socket, and it may not answer. */

#include "base/base.h"
#include "ctl/ctl.h"

#include <systemd/sd-bus.h>

#define CTL_INTERFACE "io.shmstaged.Manager1"
#define CTL_OBJECT "/io/shmstaged"
/* The daemon replies from memory; only one that is stopped, or another program, takes so long. */
#define CTL_CALL_USEC (10 * USEC_PER_SEC)

/* Why a call failed. */
typedef enum CtlTrouble {
        CTL_TROUBLE_NONE,
        CTL_TROUBLE_ABSENT,   /* there is no daemon */
        CTL_TROUBLE_LOST,     /* it has ended, or is about to */
        CTL_TROUBLE_STRANGE,  /* no shmstaged, one of an incompatible version, or one that does not answer */
        CTL_TROUBLE_DENIED,   /* this user may not do it */
        CTL_TROUBLE_NEVER,    /* what was waited for cannot happen */
        CTL_TROUBLE_TIMEOUT,  /* no reply in time */
        CTL_TROUBLE_REFUSED,  /* the daemon refused, or another error */
} CtlTrouble;

typedef struct CtlConnection {
        sd_bus *bus;
        const char *destination; /* NULL on the private socket */
        char *place;             /* for messages: "at '/run/shmstaged/control'" */
        pid_t agent;             /* of polkit, which asks for a password on this terminal; 0: none */
} CtlConnection;

/* Connects, on the private socket unless @ctl wants the system bus. Not NONE: *ret_reason is a sentence (a new
 * string, or NULL if memory ran out) and there is no connection. */
CtlTrouble ctl_connection_open(const Ctl *ctl, CtlConnection *ret, char **ret_reason);

/* Connects to the system bus, and lets polkit ask for a password on this terminal. */
CtlTrouble ctl_connection_open_interactive(CtlConnection *ret, char **ret_reason);
void ctl_connection_close(CtlConnection *bus);

/* A call of Manager1 to append arguments to; NULL if memory ran out. */
sd_bus_message *ctl_connection_message(const CtlConnection *bus, const char *member);

/* Appends names as "aay". One that begins with ./ or ../ is made absolute; the others are left to the daemon. 0 or a
 * negative errno. */
int ctl_connection_append_names(sd_bus_message *message, char *const *names);

/* Sends a call and waits for the reply, for ever with @usec UINT64_MAX. Not NONE: *ret_reason is a sentence. */
CtlTrouble ctl_connection_call(CtlConnection *bus, sd_bus_message *message, uint64_t usec, sd_bus_message **ret,
                               char **ret_reason);

/* The same for a call without arguments. */
CtlTrouble ctl_connection_ask(CtlConnection *bus, const char *member, sd_bus_message **ret, char **ret_reason);

/* The outcome of a connection that was lost: LOST, and a sentence. */
CtlTrouble ctl_connection_broken(const CtlConnection *bus, int error, char **ret_reason);
