/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Two ends of one connection, without a bus in between: what one calls the other answers. To be included after ground.h. */

#include <sys/socket.h>
#include <systemd/sd-bus.h>

typedef struct BusPair {
        sd_bus *server, *client;
} BusPair;

/* Handles all that can be handled without waiting. */
static inline void bus_pair_process(BusPair *pair) {
        int r;

        do {
                r = sd_bus_process(pair->server, NULL);
                assert_true(r >= 0);
                r += sd_bus_process(pair->client, NULL);
        } while (r > 0);
}

static inline void bus_pair_init(BusPair *pair) {
        int fds[2];
        sd_id128_t id = {};

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        assert_true(sd_bus_new(&pair->server) >= 0 && sd_bus_new(&pair->client) >= 0);
        assert_true(sd_bus_set_fd(pair->server, fds[0], fds[0]) >= 0 && sd_bus_set_fd(pair->client, fds[1], fds[1]) >= 0);
        assert_true(sd_bus_set_server(pair->server, true, id) >= 0);
        assert_true(sd_bus_set_anonymous(pair->server, true) >= 0 && sd_bus_set_anonymous(pair->client, true) >= 0);
        assert_true(sd_bus_start(pair->server) >= 0 && sd_bus_start(pair->client) >= 0);
        bus_pair_process(pair);
}

static inline void bus_pair_done(BusPair *pair) {
        pair->client = sd_bus_close_unref(pair->client);
        pair->server = sd_bus_close_unref(pair->server);
}

/* For sd_bus_call_async(), with a sd_bus_message *, which the caller frees, as userdata. */
static inline int bus_pair_keep_reply(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        (void) error;
        *(sd_bus_message **) userdata = sd_bus_message_ref(message);
        return 0;
}
