/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The clients of the private socket. See control/clients.h. */

#include "control/clients.h"

#include "base/log.h"
#include "control/framing.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <systemd/sd-id128.h>

/* Who has asked for nothing by then is let go of. */
#define SILENCE_USEC (30 * USEC_PER_SEC)
/* Who has been quiet for less is in the middle of something. */
#define QUIET_USEC (USEC_PER_SEC / 10)
/* Without descriptors for another client it is tried again after this. */
#define PAUSE_USEC USEC_PER_SEC

enum {
        ACCEPT_AT_ONCE = 8,        /* clients, then others have their turn */
        SIGNALS_WAITING_MAX = 64,
        SEND_BUFFER = 256 << 10,   /* of the kernel; sd-bus would take 8 MiB */
};

typedef struct Peer Peer;

struct Peer {
        ControlClients *peers;
        Peer *next; /* ControlPeers.first */
        sd_bus *bus;
        int fd;                    /* the client's socket; owned by the bus */
        int pipefd;                /* what sd-bus reads comes in here */
        ControlFraming wire;
        struct ucred who;
        sd_event_source *source;
        uint64_t heard_usec;       /* of its last call; of its coming, before the first */
        bool spoken;               /* it has made a call */
        bool stale;                /* it has missed something that is told when it has read what it was sent */
        bool over;                 /* to be let go of */
};

struct ControlClients {
        ControlClientsOptions options;
        void (*emit)(sd_bus *bus, void *userdata);
        Peer *first;
        size_t n;
        unsigned last_number;
        sd_id128_t id;
        sd_event_source *door, *timer, *broom;
};

static uint64_t now_of(ControlClients *peers) {
        uint64_t now = 0;

        /* fails for a loop that is gone, which calls nobody */
        (void) sd_event_now(peers->options.event, CLOCK_MONOTONIC, &now);
        return now;
}

static bool is_trusted(uid_t uid) {
        return uid == 0 || uid == geteuid();
}

static Peer *peer_free(Peer *peer) {
        if (!peer)
                return NULL;
        (void) sd_event_source_disable_unref(peer->source);
        peer->pipefd = close_fd(peer->pipefd);
        (void) sd_bus_close_unref(peer->bus); /* what could not be sent by now is not waited for */
        free(peer);
        return NULL;
}

static void let_go(ControlClients *peers, Peer *peer) {
        Peer **link = &peers->first;

        while (*link != peer)
                link = &(*link)->next;
        *link = peer->next;
        peers->n--;
        peers->options.left(peer->bus, peers->options.userdata);
        (void) peer_free(peer);
}

/* From the middle of something: it is let go of when that is over. */
static void mark_over(Peer *peer) {
        peer->over = true;
        (void) sd_event_source_set_enabled(peer->peers->broom, SD_EVENT_ONESHOT);
}

static uint64_t queued(Peer *peer) {
        uint64_t n = 0;

        return sd_bus_get_n_queued_write(peer->bus, &n) < 0 ? 0 : n;
}

/* Nothing more is taken from a client before it has read its last answer. */
static void listen_to(Peer *peer) {
        int events = sd_bus_get_events(peer->bus);
        uint32_t wanted = queued(peer) > 0 ? EPOLLOUT : EPOLLIN;

        if (events >= 0 && sd_bus_is_ready(peer->bus) <= 0 && (events & EPOLLOUT))
                wanted |= EPOLLOUT;
        if (sd_event_source_set_io_events(peer->source, wanted) < 0)
                mark_over(peer);
}

static void catch_up(Peer *peer) {
        if (!peer->stale || peer->over || queued(peer) > 0)
                return;
        peer->stale = false;
        peer->peers->emit(peer->bus, peer->peers->options.userdata);
}

/* What is in the pipe is one message at most, so this comes to an end. */
static int process(Peer *peer) {
        int r;

        do
                r = sd_bus_process(peer->bus, NULL);
        while (r > 0 && !peer->over);
        return r < 0 ? r : sd_bus_is_open(peer->bus) > 0 ? 0 : -ECONNRESET;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Peer *peer = userdata;
        int r = 0;

        (void) source;
        if (events & EPOLLOUT)
                r = process(peer);
        if (r == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && queued(peer) == 0) {
                r = control_framing_pump(&peer->wire, fd, peer->pipefd);
                if (r > 0)
                        r = process(peer);
        } else if (r == 0 && (events & (EPOLLHUP | EPOLLERR)))
                r = -ECONNRESET;
        if (r < 0 || peer->over) {
                if (r < 0 && r != -ECONNRESET && r != -EPIPE)
                        log_debug("Closing the control connection of uid %u (pid %ld): %s", (unsigned) peer->who.uid,
                                  (long) peer->who.pid, strerror(-r));
                let_go(peer->peers, peer);
                return 0;
        }
        catch_up(peer);
        listen_to(peer);
        return 0;
}

/* sd-bus has no such thing for a server; clients that take the other end for a bus begin with it. */
static int on_hello(sd_bus_message *message, Peer *peer) {
        char name[32];

        (void) snprintf(name, sizeof(name), ":1.%u", ++peer->peers->last_number);
        return sd_bus_reply_method_return(message, "s", name);
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        Peer *peer = userdata;

        (void) error;
        peer->heard_usec = now_of(peer->peers);
        if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus", "Hello") > 0)
                return on_hello(message, peer) < 0 ? -EIO : 1;
        if (sd_bus_message_is_method_call(message, NULL, NULL) > 0)
                peer->spoken = true;
        return 0;
}

static int peer_new(Peer **ret, ControlClients *peers, int *fd, const struct ucred *who) {
        Peer *peer = calloc(1, sizeof(*peer));
        int pipefds[2] = { -1, -1 }, size = SEND_BUFFER, r;

        if (!peer)
                return -ENOMEM;
        *peer = (Peer){ .peers = peers, .fd = *fd, .who = *who, .heard_usec = now_of(peers) };
        r = pipe2(pipefds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
        peer->pipefd = pipefds[1];
        if (r == 0)
                r = sd_bus_new(&peer->bus);
        if (r >= 0)
                r = sd_bus_set_fd(peer->bus, pipefds[0], *fd);
        if (r >= 0) {
                *fd = pipefds[0] = -1; /* the bus closes them */
                r = sd_bus_set_server(peer->bus, true, peers->id);
        }
        /* who it is the kernel has told: whatever name it gives itself is taken */
        if (r >= 0)
                r = sd_bus_set_anonymous(peer->bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(peer->bus, false);
        if (r >= 0)
                r = sd_bus_add_filter(peer->bus, NULL, on_message, peer);
        if (r >= 0)
                r = peers->options.dress(peer->bus, peers->options.userdata);
        if (r >= 0)
                r = sd_bus_start(peer->bus);
        if (r >= 0)
                r = sd_event_add_io(peers->options.event, &peer->source, peer->fd, EPOLLIN, on_client, peer);
        if (r < 0) {
                (void) close_fd(pipefds[0]);
                (void) peer_free(peer);
                return r;
        }
        /* bounds memory; without it there is more of it */
        (void) setsockopt(peer->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        *ret = peer;
        return 0;
}

/* The one that has been quiet the longest: of @uid's own, or of anybody's, but of the trusted ones only for their
 * like, and others before them. */
static Peer *find_quiet(ControlClients *peers, uid_t uid, bool anybody) {
        uint64_t now = now_of(peers);
        Peer *found = NULL;

        for (Peer *peer = peers->first; peer; peer = peer->next) {
                if (peer->over ||
                    (peer->who.uid != uid && (!anybody || (is_trusted(peer->who.uid) && !is_trusted(uid)))) ||
                    now - peer->heard_usec < QUIET_USEC || peers->options.waits(peer->bus, peers->options.userdata))
                        continue;
                if (!found || (is_trusted(found->who.uid) && !is_trusted(peer->who.uid)) ||
                    (is_trusted(found->who.uid) == is_trusted(peer->who.uid) && peer->heard_usec < found->heard_usec))
                        found = peer;
        }
        return found;
}

/* False if there is no room for another one of @uid. Who has none yet takes the place of a stranger, so a few users
 * cannot keep out the rest. */
static bool make_room(ControlClients *peers, uid_t uid) {
        bool trusted = is_trusted(uid);
        size_t own = 0, strangers = 0;
        Peer *quiet;

        for (Peer *peer = peers->first; peer; peer = peer->next) {
                own += peer->who.uid == uid;
                strangers += !is_trusted(peer->who.uid);
        }
        if (peers->n < CONTROL_CLIENTS_MAX &&
            (trusted ||
             (own < CONTROL_CLIENTS_PER_USER && strangers < CONTROL_CLIENTS_MAX - CONTROL_CLIENTS_RESERVED)))
                return true;
        quiet = find_quiet(peers, uid, trusted || own == 0);
        if (quiet)
                let_go(peers, quiet);
        return quiet;
}

static void set_timer(ControlClients *peers, uint64_t usec) {
        uint64_t due;

        if (sd_event_source_get_time(peers->timer, &due) >= 0 &&
            sd_event_source_get_enabled(peers->timer, NULL) > 0 && due <= usec)
                return;
        (void) sd_event_source_set_time(peers->timer, usec);
        (void) sd_event_source_set_enabled(peers->timer, SD_EVENT_ONESHOT);
}

static int admit(ControlClients *peers, int *fd) {
        struct ucred who;
        socklen_t length = sizeof(who);
        Peer *peer;
        int r;

        if (getsockopt(*fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0)
                return -errno;
        if (!make_room(peers, who.uid))
                return -EUSERS;
        r = peer_new(&peer, peers, fd, &who);
        if (r < 0)
                return r;
        peer->next = peers->first;
        peers->first = peer;
        peers->n++;
        set_timer(peers, peer->heard_usec + SILENCE_USEC);
        return 0;
}

static int on_door(sd_event_source *source, int listenfd, uint32_t events, void *userdata) {
        ControlClients *peers = userdata;

        (void) events;
        for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
                _cleanup_(close_fdp) int fd = accept4(listenfd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                int r;

                if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
                        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF); /* it would be told again and again */
                        set_timer(peers, now_of(peers) + PAUSE_USEC);
                }
                if (fd < 0)
                        return 0;
                r = admit(peers, &fd);
                if (r < 0)
                        log_debug("A control connection was not taken: %s", strerror(-r));
        }
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        ControlClients *peers = userdata;
        uint64_t now = now_of(peers), next = UINT64_MAX;

        (void) source;
        (void) usec;
        for (Peer *peer = peers->first, *following; peer; peer = following) {
                following = peer->next;
                if (peer->spoken)
                        continue;
                if (now - peer->heard_usec >= SILENCE_USEC)
                        let_go(peers, peer);
                else
                        next = MIN(next, peer->heard_usec + SILENCE_USEC);
        }
        (void) sd_event_source_set_enabled(peers->door, SD_EVENT_ON);
        if (next < UINT64_MAX)
                set_timer(peers, next);
        return 0;
}

static int on_broom(sd_event_source *source, void *userdata) {
        ControlClients *peers = userdata;

        (void) source;
        for (Peer *peer = peers->first, *following; peer; peer = following) {
                following = peer->next;
                if (peer->over)
                        let_go(peers, peer);
        }
        return 0;
}

int control_clients_new(ControlClients **ret, const ControlClientsOptions *options) {
        ControlClients *peers = calloc(1, sizeof(*peers));
        int r;

        if (!peers)
                return -ENOMEM;
        peers->options = *options;
        r = sd_id128_randomize(&peers->id);
        if (r >= 0)
                r = sd_event_add_io(options->event, &peers->door, options->listenfd, EPOLLIN, on_door, peers);
        if (r >= 0)
                r = sd_event_add_time(options->event, &peers->timer, CLOCK_MONOTONIC, 0, 0, on_timer, peers);
        if (r >= 0)
                r = sd_event_source_set_enabled(peers->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(options->event, &peers->broom, on_broom, peers);
        if (r >= 0)
                r = sd_event_source_set_enabled(peers->broom, SD_EVENT_OFF);
        if (r < 0) {
                (void) control_clients_free(peers);
                return r;
        }
        *ret = peers;
        return 0;
}

ControlClients *control_clients_free(ControlClients *peers) {
        if (!peers)
                return NULL;
        while (peers->first)
                let_go(peers, peers->first);
        (void) sd_event_source_disable_unref(peers->door);
        (void) sd_event_source_disable_unref(peers->timer);
        (void) sd_event_source_disable_unref(peers->broom);
        free(peers);
        return NULL;
}

const struct ucred *control_clients_find(const ControlClients *peers, sd_bus *bus) {
        for (Peer *peer = peers ? peers->first : NULL; peer; peer = peer->next)
                if (peer->bus == bus)
                        return &peer->who;
        return NULL;
}

bool control_clients_is_trusted(const struct ucred *who) {
        return is_trusted(who->uid);
}

size_t control_clients_count(const ControlClients *peers) {
        return peers ? peers->n : 0;
}

void control_clients_emit(ControlClients *peers, void (*emit)(sd_bus *bus, void *userdata)) {
        if (!peers)
                return;
        peers->emit = emit;
        for (Peer *peer = peers->first; peer; peer = peer->next) {
                if (!peer->spoken || peer->over)
                        continue;
                peer->stale = true;
                catch_up(peer);
                listen_to(peer);
        }
}

void control_clients_send(ControlClients *peers, void (*send)(sd_bus *bus, const void *what), const void *what) {
        for (Peer *peer = peers ? peers->first : NULL; peer; peer = peer->next) {
                if (!peer->spoken || peer->over)
                        continue;
                send(peer->bus, what);
                if (queued(peer) > SIGNALS_WAITING_MAX)
                        mark_over(peer);
                listen_to(peer);
        }
}

void control_clients_serve(ControlClients *peers) {
        for (Peer *peer = peers ? peers->first : NULL; peer; peer = peer->next)
                if (!peer->over)
                        listen_to(peer);
}
