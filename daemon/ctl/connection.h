/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The way to the daemon: its private socket, or the system bus. io.shmstaged(5) describes what is spoken there.
 *
 * Nothing here waits for ever for one that does not answer: what listens at the socket may be anything. */

#include "base/base.h"
#include "ctl/ctl.h"

#include <systemd/sd-bus.h>

#define CTL_INTERFACE "io.shmstaged.Manager1"
#define CTL_OBJECT "/io/shmstaged"
/* Calls are answered from what the daemon knows; only one that is stopped, or is not ours, takes so long. */
#define CTL_CALL_USEC (10 * USEC_PER_SEC)

/* Why something did not come about. */
typedef enum CtlTrouble {
        CTL_TROUBLE_NONE,
        CTL_TROUBLE_ABSENT,   /* there is no daemon */
        CTL_TROUBLE_LOST,     /* it was there, and ended, or is about to */
        CTL_TROUBLE_STRANGE,  /* what is there is no daemon, one of another version, or one that does not answer */
        CTL_TROUBLE_DENIED,   /* not for us */
        CTL_TROUBLE_NEVER,    /* what is waited for will not come */
        CTL_TROUBLE_TIMEOUT,  /* it has not answered in the time that it was given */
        CTL_TROUBLE_REFUSED,  /* the daemon will not do it, or something else is wrong */
} CtlTrouble;

typedef struct CtlConnection {
        sd_bus *bus;
        const char *destination; /* NULL on the private socket */
        char *place;             /* where the daemon is, for sentences: "at '/run/shmstaged/control'" */
        pid_t agent;             /* of polkit, that asks for a password on this terminal; 0: none */
} CtlConnection;

/* Connects, on the private socket unless @ctl wants the system bus. Not NONE: *ret_reason is a sentence (a new
 * string, or NULL for want of memory) and there is no connection. */
CtlTrouble ctl_connection_open(const Ctl *ctl, CtlConnection *ret, char **ret_reason);

/* The system bus, and polkit may ask whoever sits at this terminal. */
CtlTrouble ctl_connection_open_interactive(CtlConnection *ret, char **ret_reason);
void ctl_connection_close(CtlConnection *bus);

/* A call of Manager1 to append arguments to; NULL for want of memory. */
sd_bus_message *ctl_connection_message(const CtlConnection *bus, const char *member);

/* Appends names as "aay". One that begins with ./ or ../ is taken from the working directory; all others the daemon
 * understands. 0 or a negative errno. */
int ctl_connection_append_names(sd_bus_message *message, char *const *names);

/* Sends and waits. NONE: *ret is the reply. Otherwise *ret_reason is a sentence. @usec: UINT64_MAX for ever. */
CtlTrouble ctl_connection_call(CtlConnection *bus, sd_bus_message *message, uint64_t usec, sd_bus_message **ret,
                               char **ret_reason);

/* The same for a call without arguments. */
CtlTrouble ctl_connection_ask(CtlConnection *bus, const char *member, sd_bus_message **ret, char **ret_reason);

/* What a connection that broke off is: LOST, and a sentence. */
CtlTrouble ctl_connection_broken(const CtlConnection *bus, int error, char **ret_reason);
