/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The clients of the private socket. See control/clients.h. */

#include "control/clients.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/authorizer.h"
#include "control/framing.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <systemd/sd-id128.h>

/* A client that has made no call by then is disconnected. */
#define FIRST_CALL_USEC (30 * USEC_PER_SEC)
/* A client that made a call less than this ago is not disconnected to make room for another one. */
#define IDLE_USEC (USEC_PER_SEC / 10)
/* Without descriptors for another client the next attempt to accept one is made after this. */
#define ACCEPT_RETRY_USEC USEC_PER_SEC
/* At the end of the daemon, what clients have not read after this is dropped. */
#define LAST_USEC (USEC_PER_SEC / 2)

enum {
        ACCEPT_AT_ONCE = 8,        /* new clients, before the loop serves others */
        SIGNALS_WAITING_MAX = 64,
        SEND_BUFFER = 256 << 10,   /* of the kernel; sd-bus would set 8 MiB */
};

typedef struct Client Client;

struct Client {
        ControlClients *clients;
        Client *next;              /* ControlClients.first */
        sd_bus *bus;
        int fd;                    /* the client's socket; owned by the bus */
        int pipefd;                /* to the pipe that sd-bus reads */
        ControlFraming framing;
        struct ucred who;
        sd_event_source *source;
        uint64_t active_usec;      /* of its last call; before the first, of its connection */
        bool has_called;
        bool behind;               /* it has missed signals, and gets the present state when it has read all */
        bool closing;              /* to be disconnected */
};

struct ControlClients {
        ControlClientsOptions options;
        void (*emit)(sd_bus *bus, void *userdata);
        Client *first;
        size_t n;
        unsigned last_number;
        sd_id128_t id;
        ClockTimer timer;          /* for clients that make no call, and for the next attempt to accept one */
        sd_event_source *listener, *reaper;
};

static Client *client_free(Client *client) {
        if (!client)
                return NULL;
        (void) sd_event_source_disable_unref(client->source);
        client->pipefd = close_fd(client->pipefd);
        (void) sd_bus_close_unref(client->bus); /* drops what was not sent yet */
        free(client);
        return NULL;
}

static void disconnect(ControlClients *clients, Client *client) {
        Client **link = &clients->first;

        while (*link != client)
                link = &(*link)->next;
        *link = client->next;
        clients->n--;
        clients->options.disconnected(client->bus, clients->options.userdata);
        (void) client_free(client);
}

/* For callers that still use the client: it is disconnected when the loop is back. */
static void disconnect_later(Client *client) {
        client->closing = true;
        (void) sd_event_source_set_enabled(client->clients->reaper, SD_EVENT_ONESHOT);
}

static uint64_t queued(Client *client) {
        uint64_t n = 0;

        return sd_bus_get_n_queued_write(client->bus, &n) < 0 ? 0 : n;
}

/* A client is read from only when it has read its last answer. */
static void update_events(Client *client) {
        int events = sd_bus_get_events(client->bus);
        uint32_t wanted = queued(client) > 0 ? EPOLLOUT : EPOLLIN;
        int r;

        if (events >= 0 && sd_bus_is_ready(client->bus) <= 0 && (events & EPOLLOUT))
                wanted |= EPOLLOUT;
        r = sd_event_source_set_io_events(client->source, wanted);
        if (r < 0 && r != -ESTALE) /* that: the loop is over, and the last messages are still to be sent */
                disconnect_later(client);
}

static void catch_up(Client *client) {
        if (!client->behind || client->closing || queued(client) > 0)
                return;
        client->behind = false;
        client->clients->emit(client->bus, client->clients->options.userdata);
}

/* The pipe has one message at most, so this ends. */
static int process(Client *client) {
        int r;

        do
                r = sd_bus_process(client->bus, NULL);
        while (r > 0 && !client->closing);
        return r < 0 ? r : sd_bus_is_open(client->bus) > 0 ? 0 : -ECONNRESET;
}

static int on_client(sd_event_source *source _unused_, int fd, uint32_t events, void *userdata) {
        Client *client = userdata;
        int r = 0;

        if (events & EPOLLOUT)
                r = process(client);
        if (r == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && queued(client) == 0) {
                r = control_framing_pump(&client->framing, fd, client->pipefd);
                if (r > 0)
                        r = process(client);
        } else if (r == 0 && (events & (EPOLLHUP | EPOLLERR)))
                r = -ECONNRESET;
        if (r < 0 || client->closing) {
                if (r < 0 && r != -ECONNRESET && r != -EPIPE)
                        log_debug("Closing the control connection of uid %u (pid %ld): %s", (unsigned) client->who.uid,
                                  (long) client->who.pid, strerror(-r));
                disconnect(client->clients, client);
                return 0;
        }
        catch_up(client);
        update_events(client);
        return 0;
}

/* Clients that take the other end for a bus begin with Hello(), which sd-bus does not answer on the server's side. */
static int on_hello(sd_bus_message *message, Client *client) {
        char name[32];

        (void) snprintf(name, sizeof(name), ":1.%u", ++client->clients->last_number);
        return sd_bus_reply_method_return(message, "s", name);
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error _unused_) {
        Client *client = userdata;

        client->active_usec = clock_now(client->clients->options.event);
        if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus", "Hello") > 0)
                return on_hello(message, client) < 0 ? -EIO : 1;
        if (sd_bus_message_is_method_call(message, NULL, NULL) > 0)
                client->has_called = true;
        return 0;
}

static int client_new(Client **ret, ControlClients *clients, int *fd, const struct ucred *who) {
        Client *client = calloc(1, sizeof(*client));
        int pipefds[2] = { -1, -1 }, size = SEND_BUFFER, r;

        if (!client)
                return -ENOMEM;
        *client = (Client){ .clients = clients, .fd = *fd, .who = *who,
                            .active_usec = clock_now(clients->options.event) };
        r = pipe2(pipefds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
        client->pipefd = pipefds[1];
        if (r == 0)
                r = sd_bus_new(&client->bus);
        if (r >= 0)
                r = sd_bus_set_fd(client->bus, pipefds[0], *fd);
        if (r >= 0) {
                *fd = pipefds[0] = -1; /* the bus closes them */
                r = sd_bus_set_server(client->bus, true, clients->id);
        }
        /* the kernel has recorded who it is: the name by which it authenticates does not matter */
        if (r >= 0)
                r = sd_bus_set_anonymous(client->bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(client->bus, false);
        if (r >= 0)
                r = sd_bus_add_filter(client->bus, NULL, on_message, client);
        if (r >= 0)
                r = clients->options.register_objects(client->bus, clients->options.userdata);
        if (r >= 0)
                r = sd_bus_start(client->bus);
        if (r >= 0)
                r = sd_event_add_io(clients->options.event, &client->source, client->fd, EPOLLIN, on_client, client);
        if (r < 0) {
                (void) close_fd(pipefds[0]);
                (void) client_free(client);
                return r;
        }
        /* only bounds memory, so a failure is ignored */
        (void) setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        *ret = client;
        return 0;
}

static bool is_trusted(const Client *client) {
        return control_authorizer_is_trusted(client->who.uid);
}

/* The client that has been idle the longest: of those of @uid, or with @any_user of all. But only a trusted user can
 * displace a client of another trusted user, and only if there is no untrusted one. */
static Client *find_idle(ControlClients *clients, uid_t uid, bool any_user) {
        uint64_t now = clock_now(clients->options.event);
        Client *found = NULL;

        for (Client *client = clients->first; client; client = client->next) {
                bool eligible = client->who.uid == uid ||
                                (any_user && (!is_trusted(client) || control_authorizer_is_trusted(uid)));

                if (client->closing || !eligible || now - client->active_usec < IDLE_USEC ||
                    clients->options.is_waiting(client->bus, clients->options.userdata))
                        continue;
                if (!found || (is_trusted(found) && !is_trusted(client)) ||
                    (is_trusted(found) == is_trusted(client) && client->active_usec < found->active_usec))
                        found = client;
        }
        return found;
}

/* False if there is no room for another client of @uid. The first client of a user may take the place of another
 * user's, so that a few users cannot lock out the others. */
static bool make_room(ControlClients *clients, uid_t uid) {
        bool trusted = control_authorizer_is_trusted(uid);
        size_t own = 0, untrusted = 0;
        Client *idle;

        for (Client *client = clients->first; client; client = client->next) {
                own += client->who.uid == uid;
                untrusted += !is_trusted(client);
        }
        if (clients->n < CONTROL_CLIENTS_MAX &&
            (trusted ||
             (own < CONTROL_CLIENTS_PER_USER && untrusted < CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_RESERVED)))
                return true;
        idle = find_idle(clients, uid, trusted || own == 0);
        if (idle)
                disconnect(clients, idle);
        return idle;
}

static void set_timer(ControlClients *clients, uint64_t usec) {
        uint64_t due;

        if (!clock_timer_is_set(&clients->timer, &due) || due > usec)
                (void) clock_timer_set(&clients->timer, usec);
}

static int admit(ControlClients *clients, int *fd) {
        struct ucred who;
        socklen_t length = sizeof(who);
        Client *client;
        int r;

        if (getsockopt(*fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
                return -errno;
        if (!make_room(clients, who.uid))
                return -EUSERS;
        r = client_new(&client, clients, fd, &who);
        if (r < 0)
                return r;
        client->next = clients->first;
        clients->first = client;
        clients->n++;
        set_timer(clients, client->active_usec + FIRST_CALL_USEC);
        return 0;
}

static int on_connection(sd_event_source *source, int listenfd, uint32_t events _unused_, void *userdata) {
        ControlClients *clients = userdata;

        for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
                _cleanup_(close_fdp) int fd = accept4(listenfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                int r;

                if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
                        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF); /* else it fires all the time */
                        set_timer(clients, clock_now(clients->options.event) + ACCEPT_RETRY_USEC);
                }
                if (fd < 0)
                        return 0;
                r = admit(clients, &fd);
                if (r < 0)
                        log_debug("Failed to accept a control connection: %s", strerror(-r));
        }
        return 0;
}

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        ControlClients *clients = userdata;
        uint64_t now = clock_now(clients->options.event), next = UINT64_MAX;

        for (Client *client = clients->first, *following; client; client = following) {
                following = client->next;
                if (client->has_called)
                        continue;
                if (now - client->active_usec >= FIRST_CALL_USEC)
                        disconnect(clients, client);
                else
                        next = MIN(next, client->active_usec + FIRST_CALL_USEC);
        }
        (void) sd_event_source_set_enabled(clients->listener, SD_EVENT_ON);
        if (next < UINT64_MAX)
                set_timer(clients, next);
        return 0;
}

static int on_reap(sd_event_source *source _unused_, void *userdata) {
        ControlClients *clients = userdata;

        for (Client *client = clients->first, *following; client; client = following) {
                following = client->next;
                if (client->closing)
                        disconnect(clients, client);
        }
        return 0;
}

int control_clients_new(ControlClients **ret, const ControlClientsOptions *options) {
        ControlClients *clients = calloc(1, sizeof(*clients));
        int r;

        if (!clients)
                return -ENOMEM;
        clients->options = *options;
        clients->timer = (ClockTimer){ .event = options->event, .handler = on_timer, .userdata = clients };
        r = sd_id128_randomize(&clients->id);
        if (r >= 0)
                r = sd_event_add_io(options->event, &clients->listener, options->listenfd, EPOLLIN, on_connection,
                                    clients);
        if (r >= 0)
                r = sd_event_add_defer(options->event, &clients->reaper, on_reap, clients);
        if (r >= 0)
                r = sd_event_source_set_enabled(clients->reaper, SD_EVENT_OFF);
        if (r < 0) {
                (void) control_clients_free(clients);
                return r;
        }
        *ret = clients;
        return 0;
}

/* Sends what waits for a client that has not read yet. One that reads nothing does not hold up the others, nor the
 * end, for long. */
static void send_rest(Client *client, uint64_t until_usec) {
        while (queued(client) > 0) {
                uint64_t now = clock_usec(CLOCK_MONOTONIC);
                struct pollfd writable = { .fd = client->fd, .events = POLLOUT };

                if (now >= until_usec || poll(&writable, 1, (int) ((until_usec - now) / 1000) + 1) <= 0 ||
                    sd_bus_process(client->bus, NULL) < 0)
                        return;
        }
}

ControlClients *control_clients_free(ControlClients *clients) {
        uint64_t until = clock_usec(CLOCK_MONOTONIC) + LAST_USEC;

        if (!clients)
                return NULL;
        for (Client *client = clients->first; client; client = client->next)
                if (!client->closing)
                        send_rest(client, until);
        while (clients->first)
                disconnect(clients, clients->first);
        (void) sd_event_source_disable_unref(clients->listener);
        clock_timer_done(&clients->timer);
        (void) sd_event_source_disable_unref(clients->reaper);
        free(clients);
        return NULL;
}

const struct ucred *control_clients_find(const ControlClients *clients, sd_bus *bus) {
        for (Client *client = clients ? clients->first : NULL; client; client = client->next)
                if (client->bus == bus)
                        return &client->who;
        return NULL;
}

size_t control_clients_count(const ControlClients *clients) {
        return clients ? clients->n : 0;
}

void control_clients_emit(ControlClients *clients, void (*emit)(sd_bus *bus, void *userdata)) {
        if (!clients)
                return;
        clients->emit = emit;
        for (Client *client = clients->first; client; client = client->next) {
                if (!client->has_called || client->closing)
                        continue;
                client->behind = true;
                catch_up(client);
                update_events(client);
        }
}

void control_clients_send(ControlClients *clients, void (*send)(sd_bus *bus, const void *what), const void *what) {
        for (Client *client = clients ? clients->first : NULL; client; client = client->next) {
                if (!client->has_called || client->closing)
                        continue;
                send(client->bus, what);
                if (queued(client) > SIGNALS_WAITING_MAX)
                        disconnect_later(client);
                update_events(client);
        }
}

void control_clients_flush(ControlClients *clients) {
        for (Client *client = clients ? clients->first : NULL; client; client = client->next)
                if (!client->closing)
                        update_events(client);
}
