/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The system bus. See control/system-bus.h. */

#include "control/system-bus.h"

#include "base/clock.h"
#include "base/log.h"

#define BUS_NAME "io.shmstaged"

/* The pause after a refusal or a lost connection, doubled each time. */
#define RETRY_USEC (USEC_PER_SEC / 4)
enum { RETRIES = 10 };
/* A connection that was lost after this was not refused: the pauses begin again with the shortest. */
#define LASTED_USEC (60 * USEC_PER_SEC)

struct ControlSystemBus {
        ControlSystemBusOptions options;
        sd_bus *bus;
        ClockTimer timer;
        uint64_t connected_usec; /* 0: not connected */
        unsigned retries;
        bool named;              /* the name is ours */
};

static int connect_bus(ControlSystemBus *bus);

static void disconnect_bus(ControlSystemBus *bus) {
        if (!bus->bus)
                return;
        bus->options.disconnected(bus->bus, bus->options.userdata);
        bus->named = false;
        bus->bus = sd_bus_close_unref(bus->bus);
}

static void retry_later(ControlSystemBus *bus) {
        if (bus->connected_usec > 0 && clock_now(bus->options.event) - bus->connected_usec >= LASTED_USEC)
                bus->retries = 0;
        bus->connected_usec = 0;
        if (bus->retries >= RETRIES) {
                log_debug("Not reconnecting to the system bus until the next reload");
                return;
        }
        (void) clock_timer_set_in(&bus->timer, RETRY_USEC << bus->retries++);
}

/* Callbacks of the bus cannot close it, so this does, before it connects again. */
static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        ControlSystemBus *bus = userdata;
        int r;

        disconnect_bus(bus);
        r = connect_bus(bus);
        if (r < 0) {
                log_debug("Failed to connect to the system bus: %s", strerror(-r));
                disconnect_bus(bus);
                retry_later(bus);
        }
        return 0;
}

static int on_disconnected(sd_bus_message *message _unused_, void *userdata, sd_bus_error *error _unused_) {
        ControlSystemBus *bus = userdata;

        log_debug("Lost the connection to the system bus");
        bus->named = false;
        retry_later(bus);
        return 0;
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        ControlSystemBus *bus = userdata;
        const sd_bus_error *refusal = sd_bus_message_get_error(reply);
        uint32_t result = 0;

        /* primary owner, or already so */
        if (!refusal && sd_bus_message_read(reply, "u", &result) >= 0 && (result == 1 || result == 4)) {
                bus->named = true;
                log_debug("Acquired the name " BUS_NAME " on the system bus");
                return 0;
        }
        /* the D-Bus policy is not installed, or another daemon is running: retrying soon would not help */
        log_debug("Failed to acquire the name " BUS_NAME " on the system bus: %s",
                  refusal && refusal->message ? refusal->message : "another process owns it");
        bus->retries = RETRIES;
        retry_later(bus);
        return 0;
}

static int on_connected(sd_bus_message *message _unused_, void *userdata, sd_bus_error *error _unused_) {
        ControlSystemBus *bus = userdata;
        int r;

        bus->connected_usec = clock_now(bus->options.event);
        r = sd_bus_request_name_async(bus->bus, NULL, BUS_NAME, 0, on_name, bus);
        if (r < 0)
                retry_later(bus);
        return 0;
}

static int connect_bus(ControlSystemBus *bus) {
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
                r = bus->options.register_objects(bus->bus, bus->options.userdata);
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
        bus->timer = (ClockTimer){ .event = options->event, .handler = on_timer, .userdata = bus };
        r = clock_timer_set(&bus->timer, 0); /* immediately */
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
        clock_timer_done(&bus->timer);
        if (bus->named)
                (void) sd_bus_release_name_async(bus->bus, NULL, BUS_NAME, NULL, NULL);
        disconnect_bus(bus);
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
        retry_later(bus);
}
