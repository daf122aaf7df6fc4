/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The clients of the private socket: one peer-to-peer sd-bus for each. What clients can use is bounded: the number of
 * connections in all and for each user, with some kept for root and the daemon's own user; one call and one answer at
 * a time; the size of a message. A client that makes no call within half a minute is disconnected, and when there is
 * no room for another client of a user, the one of that user that has been idle the longest. The loop never waits for
 * a client. Loop thread only. */

#include "base/base.h"

#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* Every client takes three descriptors, and those of inotify must stay below 1024. */
enum { CONTROL_CLIENTS_MAX = 160, CONTROL_CLIENTS_RESERVED = 32, CONTROL_CLIENTS_PER_USER = 48 };

typedef struct ControlClients ControlClients;

typedef struct ControlClientsOptions {
        sd_event *event;
        int listenfd;                                           /* borrowed */
        int (*register_objects)(sd_bus *bus, void *userdata);   /* on a new connection */
        bool (*is_waiting)(sd_bus *bus, void *userdata);        /* for the answer to a call of Wait() */
        void (*disconnected)(sd_bus *bus, void *userdata);      /* the connection is about to be closed */
        void *userdata;
} ControlClientsOptions;

int control_clients_new(ControlClients **ret, const ControlClientsOptions *options);
ControlClients *control_clients_free(ControlClients *clients);

/* The credentials that the kernel recorded when the client connected; NULL if the connection is none of these. */
const struct ucred *control_clients_find(const ControlClients *clients, sd_bus *bus);

size_t control_clients_count(const ControlClients *clients);

/* Calls @emit for each client that has made a call yet. A client that has not read what it was sent before is skipped,
 * and @emit is called for it once when it has, however many signals it has missed. So @emit must send the present
 * state, not the change. */
void control_clients_emit(ControlClients *clients, void (*emit)(sd_bus *bus, void *userdata));

/* Calls @send for each client that has made a call yet, for signals that cannot be repeated. A client that has too many
 * of them unread is disconnected. */
void control_clients_send(ControlClients *clients, void (*send)(sd_bus *bus, const void *what), const void *what);

/* To be called after answers were sent from outside a handler: waits for sockets that did not take them whole. */
void control_clients_flush(ControlClients *clients);
