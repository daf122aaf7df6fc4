/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The clients of the private socket: one sd-bus for each, peer to peer. What one of them can take is bounded: so
 * many connections in all and for each user, of which some are for the daemon's own user and root alone; one request
 * and one answer at a time; no large requests. Who says nothing is let go of after half a minute, and who has been
 * quiet the longest makes room for another client of his own. The loop never waits for any of them. Loop thread
 * only. */

#include "base/base.h"

#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* inotify descriptors have to be below 1024, and every client takes three. */
enum { CONTROL_CLIENTS_MAX = 160, CONTROL_CLIENTS_RESERVED = 32, CONTROL_CLIENTS_PER_USER = 48 };

typedef struct ControlClients ControlClients;

typedef struct ControlClientsOptions {
        sd_event *event;
        int listenfd;                                /* borrowed */
        int (*dress)(sd_bus *bus, void *userdata);   /* gives a new connection its objects */
        bool (*waits)(sd_bus *bus, void *userdata);  /* true if it waits for an answer that comes later */
        void (*left)(sd_bus *bus, void *userdata);   /* it is about to go */
        void *userdata;
} ControlClientsOptions;

int control_clients_new(ControlClients **ret, const ControlClientsOptions *options);
ControlClients *control_clients_free(ControlClients *peers);

/* Who is at the other end of a connection, as the kernel said when it was made; NULL if it is none of these. */
const struct ucred *control_clients_find(const ControlClients *peers, sd_bus *bus);

/* True for root and for the daemon's own user. */
bool control_clients_is_trusted(const struct ucred *who);

size_t control_clients_count(const ControlClients *peers);

/* Calls @emit for each client that has asked for anything yet. One that does not read what it was sent before is
 * passed over, and gets its turn when it has: @emit is called for it then, once, however much it missed. So @emit
 * has to send what is, not what was. */
void control_clients_emit(ControlClients *peers, void (*emit)(sd_bus *bus, void *userdata));

/* The same for what happens once: who has too much of it waiting is let go of. */
void control_clients_send(ControlClients *peers, void (*send)(sd_bus *bus, const void *what), const void *what);

/* Answers were sent from elsewhere than a call: what the kernel did not take of them is sent when it does. */
void control_clients_serve(ControlClients *peers);
