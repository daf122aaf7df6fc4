/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The system bus. See control/system-bus.h. */

#include "control/system-bus.h"

#include "base/log.h"

#define BUS_NAME "io.shmstaged"

/* After a refusal, or when the bus has gone: each time twice as long. */
#define RETRY_USEC (USEC_PER_SEC / 4)
enum { RETRIES = 10 };
/* A connection that lasted for so long was no refusal. */
#define LASTED_USEC (60 * USEC_PER_SEC)

struct ControlSystemBus {
        ControlSystemBusOptions options;
        sd_bus *bus;
        sd_event_source *timer;
        uint64_t joined_usec;
        unsigned retries;
        bool named; /* the name is ours */
};

static int join(ControlSystemBus *bus);

static void leave(ControlSystemBus *bus) {
        if (!bus->bus)
                return;
        bus->options.left(bus->bus, bus->options.userdata);
        bus->named = false;
        bus->bus = sd_bus_close_unref(bus->bus);
}

static void try_later(ControlSystemBus *bus) {
        uint64_t now;

        if (sd_event_now(bus->options.event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (bus->joined_usec > 0 && now - bus->joined_usec >= LASTED_USEC)
                bus->retries = 0;
        bus->joined_usec = 0;
        if (bus->retries >= RETRIES) {
                log_debug("The system bus is not tried again before the next reload");
                return;
        }
        (void) sd_event_source_set_time(bus->timer, now + (RETRY_USEC << bus->retries++));
        (void) sd_event_source_set_enabled(bus->timer, SD_EVENT_ONESHOT);
}

/* Also from within the bus's own callbacks: it is left from the timer. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        ControlSystemBus *bus = userdata;
        int r;

        (void) source;
        (void) usec;
        leave(bus);
        r = join(bus);
        if (r < 0) {
                log_debug("Failed to join the system bus: %s", strerror(-r));
                leave(bus);
                try_later(bus);
        }
        return 0;
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        ControlSystemBus *bus = userdata;

        (void) message;
        (void) error;
        log_debug("The system bus has gone");
        bus->named = false;
        try_later(bus);
        return 0;
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        ControlSystemBus *bus = userdata;
        const sd_bus_error *refusal = sd_bus_message_get_error(reply);
        uint32_t result = 0;

        (void) error;
        /* primary owner, or already so */
        if (!refusal && sd_bus_message_read(reply, "u", &result) >= 0 && (result == 1 || result == 4)) {
                bus->named = true;
                log_debug("On the system bus as " BUS_NAME);
                return 0;
        }
        /* without its D-Bus policy, or beside another daemon: nobody would find us here */
        log_debug("The name " BUS_NAME " is not to be had on the system bus: %s",
                  refusal && refusal->message ? refusal->message : "somebody has it");
        bus->retries = RETRIES;
        try_later(bus);
        return 0;
}

static int on_connected(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        ControlSystemBus *bus = userdata;
        int r;

        (void) message;
        (void) error;
        (void) sd_event_now(bus->options.event, CLOCK_MONOTONIC, &bus->joined_usec);
        r = sd_bus_request_name_async(bus->bus, NULL, BUS_NAME, 0, on_name, bus);
        if (r < 0)
                try_later(bus);
        return 0;
}

static int join(ControlSystemBus *bus) {
        const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
        int r = sd_bus_new(&bus->bus);

        if (r >= 0)
                r = sd_bus_set_description(bus->bus, "system");
        if (r >= 0)
                r = sd_bus_set_address(bus->bus, address ? address : "unix:path=/run/dbus/system_bus_socket");
        if (r >= 0)
                r = sd_bus_set_bus_client(bus->bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus->bus, false);
        if (r >= 0)
                r = sd_bus_set_watch_bind(bus->bus, true);
        if (r >= 0)
                r = sd_bus_set_connected_signal(bus->bus, true);
        if (r >= 0)
                r = bus->options.dress(bus->bus, bus->options.userdata);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Connected", on_connected, NULL, bus);
        if (r >= 0)
                r = sd_bus_match_signal_async(bus->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                              "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL,
                                              bus);
        if (r >= 0)
                r = sd_bus_attach_event(bus->bus, bus->options.event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_start(bus->bus);
        return r;
}

int control_system_bus_new(ControlSystemBus **ret, const ControlSystemBusOptions *options) {
        ControlSystemBus *bus = calloc(1, sizeof(*bus));
        int r;

        if (!bus)
                return -ENOMEM;
        bus->options = *options;
        r = sd_event_add_time(options->event, &bus->timer, CLOCK_MONOTONIC, 0, 0, on_timer, bus); /* at once */
        if (r < 0) {
                (void) control_system_bus_free(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

ControlSystemBus *control_system_bus_free(ControlSystemBus *bus) {
        if (!bus)
                return NULL;
        (void) sd_event_source_disable_unref(bus->timer);
        if (bus->named)
                (void) sd_bus_release_name_async(bus->bus, NULL, BUS_NAME, NULL, NULL);
        leave(bus);
        free(bus);
        return NULL;
}

sd_bus *control_system_bus_get(const ControlSystemBus *bus) {
        return bus && bus->named ? bus->bus : NULL;
}

void control_system_bus_retry(ControlSystemBus *bus) {
        if (!bus || bus->named || bus->retries < RETRIES)
                return;
        bus->retries = 0;
        try_later(bus);
}
