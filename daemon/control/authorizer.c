/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Decides who may change something. See control/authorizer.h. */

#include "control/authorizer.h"

#include "base/text.h"
#include "os/fs.h"

#include <fcntl.h>

/* A user may have to enter a password. */
#define POLKIT_TIMEOUT_USEC (120 * USEC_PER_SEC)

enum { PENDING_MAX = 32, PENDING_PER_CALLER = 4, WHO_MAX = 96 };

/* A call of the system bus that is not decided yet. */
typedef struct Pending Pending;

struct Pending {
        ControlAuthorizer *authorizer;
        Pending *next; /* ControlAuthorizer.first */
        sd_bus_message *call;
        sd_bus_slot *slot;
        uint32_t uid, pid; /* of the caller, once the bus has answered */
};

struct ControlAuthorizer {
        Pending *first;
        void (*allowed)(sd_bus_message *call, const char *who, void *userdata);
        void *userdata;
};

/* A process chooses its name itself, and with hidepid= it may not be readable. */
static const char *describe(char buffer[static WHO_MAX], uint32_t uid, long pid) {
        _cleanup_(freep) char *path = text_format("/proc/%ld/comm", pid), *comm = NULL;
        char escaped[TEXT_PATH_MAX];

        if (path && fs_read_text(AT_FDCWD, path, 64, &comm) == 0) {
                comm[strcspn(comm, "\n")] = '\0';
                (void) snprintf(buffer, WHO_MAX, "uid %u (pid %ld, %.48s)", uid, pid, text_path(escaped, comm));
        } else
                (void) snprintf(buffer, WHO_MAX, "uid %u (pid %ld)", uid, pid);
        return buffer;
}

bool control_authorizer_is_trusted(uid_t uid) {
        return uid == 0 || uid == geteuid();
}

static void pending_free(Pending *pending) {
        Pending **link = &pending->authorizer->first;

        while (*link != pending)
                link = &(*link)->next;
        *link = pending->next;
        (void) sd_bus_slot_unref(pending->slot);
        (void) sd_bus_message_unref(pending->call);
        free(pending);
}

static void allow(Pending *pending) {
        char who[WHO_MAX];

        pending->authorizer->allowed(pending->call, describe(who, pending->uid, pending->pid),
                                     pending->authorizer->userdata);
        pending_free(pending);
}

/* It does not matter if the caller is gone. */
static void deny(Pending *pending, const char *why) {
        (void) sd_bus_reply_method_errorf(pending->call, SD_BUS_ERROR_ACCESS_DENIED, "%s", why);
        pending_free(pending);
}

static int on_polkit(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        Pending *pending = userdata;
        int authorized, challenge, r;

        if (sd_bus_message_is_method_error(reply, SD_BUS_ERROR_SERVICE_UNKNOWN) > 0 ||
            sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NAME_HAS_NO_OWNER) > 0) {
                deny(pending,
                     "Only root may do this: polkit is not on the system bus, so it cannot authorize other users");
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL) > 0) {
                deny(pending, "Only root may do this: polkit failed to check the authorization of other users");
                return 0;
        }
        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r < 0)
                deny(pending, "Only root may do this: the reply of polkit is malformed");
        else if (authorized)
                allow(pending);
        else if (challenge && sd_bus_message_get_allow_interactive_authorization(pending->call) <= 0)
                deny(pending,
                     "An administrator has to authorize this (action io.shmstaged.manage), and the call does not "
                     "allow interactive authorization");
        else
                deny(pending, "Only root and users that polkit authorizes for the action io.shmstaged.manage may do "
                              "this");
        return 0;
}

static int ask_polkit(Pending *pending) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        sd_bus *bus = sd_bus_message_get_bus(pending->call);
        uint32_t flags = sd_bus_message_get_allow_interactive_authorization(pending->call) > 0;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, "org.freedesktop.PolicyKit1",
                                           "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(message, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(pending->call), "io.shmstaged.manage", 0, flags,
                                          "");
        if (r < 0)
                return r;
        pending->slot = sd_bus_slot_unref(pending->slot);
        return sd_bus_call_async(bus, &pending->slot, message, on_polkit, pending, POLKIT_TIMEOUT_USEC);
}

static int read_credentials(sd_bus_message *reply, Pending *pending) {
        int r = sd_bus_message_enter_container(reply, 'a', "{sv}");

        pending->uid = UINT32_MAX;
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(reply, "s", &key);
                if (r >= 0 && string_equal(key, "UnixUserID"))
                        r = sd_bus_message_read(reply, "v", "u", &pending->uid);
                else if (r >= 0 && string_equal(key, "ProcessID"))
                        r = sd_bus_message_read(reply, "v", "u", &pending->pid);
                else if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return r < 0 ? r : pending->uid == UINT32_MAX ? -ENODATA : 0;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        Pending *pending = userdata;

        if (sd_bus_message_is_method_error(reply, NULL) > 0 || read_credentials(reply, pending) < 0)
                deny(pending, "The bus failed to identify the caller");
        else if (control_authorizer_is_trusted(pending->uid))
                allow(pending);
        else if (ask_polkit(pending) < 0)
                deny(pending, "Only root may do this: failed to ask polkit for authorization");
        return 0;
}

static int ask_bus(ControlAuthorizer *authorizer, sd_bus_message *call) {
        const char *sender = sd_bus_message_get_sender(call);
        size_t n = 0, own = 0;
        Pending *pending;
        int r;

        if (!sender)
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_ACCESS_DENIED,
                                                  "The bus failed to identify the caller");
        for (pending = authorizer->first; pending; pending = pending->next) {
                n++;
                own += string_equal(sd_bus_message_get_sender(pending->call), sender);
        }
        if (n >= PENDING_MAX || own >= PENDING_PER_CALLER)
                return sd_bus_reply_method_errorf(call, "io.shmstaged.Error.TooMany",
                                                  "Too many calls are waiting for authorization; try again later");
        pending = calloc(1, sizeof(*pending));
        if (!pending)
                return -ENOMEM;
        *pending = (Pending){ .authorizer = authorizer, .next = authorizer->first, .call = sd_bus_message_ref(call) };
        authorizer->first = pending;
        r = sd_bus_call_method_async(sd_bus_message_get_bus(call), &pending->slot, "org.freedesktop.DBus",
                                     "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionCredentials",
                                     on_credentials, pending, "s", sender);
        if (r < 0)
                pending_free(pending);
        return r;
}

int control_authorizer_check(ControlAuthorizer *authorizer, sd_bus_message *call, const struct ucred *peer) {
        char who[WHO_MAX];

        if (!peer)
                return ask_bus(authorizer, call);
        if (!control_authorizer_is_trusted(peer->uid))
                return sd_bus_reply_method_errorf(
                        call, SD_BUS_ERROR_ACCESS_DENIED,
                        geteuid() == 0 ? "Only root may do this on the control socket, not uid %u; use the system "
                                         "bus, where polkit may allow it"
                                       : "Only root and the daemon's own user may do this, not uid %u",
                        (unsigned) peer->uid);
        authorizer->allowed(call, describe(who, peer->uid, peer->pid), authorizer->userdata);
        return 1;
}

void control_authorizer_forget(ControlAuthorizer *authorizer, sd_bus *bus) {
        for (Pending *pending = authorizer->first, *next; pending; pending = next) {
                next = pending->next;
                if (sd_bus_message_get_bus(pending->call) == bus)
                        pending_free(pending);
        }
}

int control_authorizer_new(ControlAuthorizer **ret,
                           void (*allowed)(sd_bus_message *call, const char *who, void *userdata), void *userdata) {
        ControlAuthorizer *authorizer = calloc(1, sizeof(*authorizer));

        if (!authorizer)
                return -ENOMEM;
        *authorizer = (ControlAuthorizer){ .allowed = allowed, .userdata = userdata };
        *ret = authorizer;
        return 0;
}

ControlAuthorizer *control_authorizer_free(ControlAuthorizer *authorizer) {
        if (!authorizer)
                return NULL;
        while (authorizer->first)
                pending_free(authorizer->first);
        free(authorizer);
        return NULL;
}
