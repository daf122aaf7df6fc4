/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Who may change something. See control/authorize.h. */

#include "control/authorize.h"

#include "base/text.h"
#include "os/fs.h"

#include <fcntl.h>

/* Somebody may have to type a password. */
#define POLKIT_TIMEOUT_USEC (120 * USEC_PER_SEC)

enum { QUESTIONS_MAX = 32, QUESTIONS_PER_CALLER = 4, WHO_MAX = 96 };

typedef struct Question Question;

struct Question {
        ControlAuthorize *rights;
        Question *next; /* ControlRights.first */
        sd_bus_message *call;
        sd_bus_slot *slot;
        uint32_t uid, pid; /* of the caller, when the bus has told */
};

struct ControlAuthorize {
        Question *first;
        void (*allowed)(sd_bus_message *call, const char *who, void *userdata);
        void *userdata;
};

/* The name of the program is what it gives itself, and a hidden process has none for us. */
static const char *describe(char buffer[static WHO_MAX], uint32_t uid, long pid) {
        _cleanup_(freep) char *path = NULL, *comm = NULL;
        char escaped[TEXT_PATH_MAX];

        if (asprintf(&path, "/proc/%ld/comm", pid) < 0)
                path = NULL;
        if (path && fs_read_text(AT_FDCWD, path, 64, &comm) == 0) {
                comm[strcspn(comm, "\n")] = '\0';
                (void) snprintf(buffer, WHO_MAX, "uid %u (pid %ld, %.48s)", uid, pid, text_path(escaped, comm));
        } else
                (void) snprintf(buffer, WHO_MAX, "uid %u (pid %ld)", uid, pid);
        return buffer;
}

static bool is_trusted(uint32_t uid) {
        return uid == 0 || uid == geteuid();
}

static void question_free(Question *question) {
        Question **link = &question->rights->first;

        while (*link != question)
                link = &(*link)->next;
        *link = question->next;
        (void) sd_bus_slot_unref(question->slot);
        (void) sd_bus_message_unref(question->call);
        free(question);
}

static void allow(Question *question) {
        char who[WHO_MAX];

        question->rights->allowed(question->call, describe(who, question->uid, question->pid),
                                  question->rights->userdata);
        question_free(question);
}

/* A reply that cannot be sent has nobody to go to. */
static void deny(Question *question, const char *why) {
        (void) sd_bus_reply_method_errorf(question->call, SD_BUS_ERROR_ACCESS_DENIED, "%s", why);
        question_free(question);
}

static int on_polkit(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Question *question = userdata;
        int authorized, challenge, r;

        (void) error;
        if (sd_bus_message_is_method_error(reply, SD_BUS_ERROR_SERVICE_UNKNOWN) > 0 ||
            sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NAME_HAS_NO_OWNER) > 0) {
                deny(question,
                     "Only root may do this: there is no polkit on the system bus that could allow it to others");
                return 0;
        }
        if (sd_bus_message_is_method_error(reply, NULL) > 0) {
                deny(question, "Only root may do this: polkit could not say whether others may");
                return 0;
        }
        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
        if (r < 0)
                deny(question, "Only root may do this: polkit's answer was not understood");
        else if (authorized)
                allow(question);
        else if (challenge && sd_bus_message_get_allow_interactive_authorization(question->call) <= 0)
                deny(question, "This has to be authorized by an administrator (action io.shmstaged.manage), and the "
                               "call does not allow that somebody is asked");
        else
                deny(question, "Only root may do this, or who is allowed to by polkit (action io.shmstaged.manage)");
        return 0;
}

static int ask_polkit(Question *question) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        sd_bus *bus = sd_bus_message_get_bus(question->call);
        uint32_t flags = sd_bus_message_get_allow_interactive_authorization(question->call) > 0;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, "org.freedesktop.PolicyKit1",
                                           "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(message, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(question->call), "io.shmstaged.manage", 0, flags,
                                          "");
        if (r < 0)
                return r;
        question->slot = sd_bus_slot_unref(question->slot);
        return sd_bus_call_async(bus, &question->slot, message, on_polkit, question, POLKIT_TIMEOUT_USEC);
}

static int read_credentials(sd_bus_message *reply, Question *question) {
        int r = sd_bus_message_enter_container(reply, 'a', "{sv}");

        question->uid = UINT32_MAX;
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(reply, "s", &key);
                if (r >= 0 && string_equal(key, "UnixUserID"))
                        r = sd_bus_message_read(reply, "v", "u", &question->uid);
                else if (r >= 0 && string_equal(key, "ProcessID"))
                        r = sd_bus_message_read(reply, "v", "u", &question->pid);
                else if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return r < 0 ? r : question->uid == UINT32_MAX ? -ENODATA : 0;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Question *question = userdata;

        (void) error;
        if (sd_bus_message_is_method_error(reply, NULL) > 0 || read_credentials(reply, question) < 0)
                deny(question, "The bus could not say who asks");
        else if (is_trusted(question->uid))
                allow(question);
        else if (ask_polkit(question) < 0)
                deny(question, "Only root may do this: polkit could not be asked whether others may");
        return 0;
}

static int ask_bus(ControlAuthorize *rights, sd_bus_message *call) {
        const char *sender = sd_bus_message_get_sender(call);
        size_t n = 0, own = 0;
        Question *question;
        int r;

        if (!sender)
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_ACCESS_DENIED, "The bus could not say who asks");
        for (question = rights->first; question; question = question->next) {
                n++;
                own += string_equal(sd_bus_message_get_sender(question->call), sender);
        }
        if (n >= QUESTIONS_MAX || own >= QUESTIONS_PER_CALLER)
                return sd_bus_reply_method_errorf(call, "io.shmstaged.Error.TooMany",
                                                  "Too many calls wait for an authorization already");
        question = calloc(1, sizeof(*question));
        if (!question)
                return -ENOMEM;
        *question = (Question){ .rights = rights, .next = rights->first, .call = sd_bus_message_ref(call) };
        rights->first = question;
        r = sd_bus_call_method_async(sd_bus_message_get_bus(call), &question->slot, "org.freedesktop.DBus",
                                     "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionCredentials",
                                     on_credentials, question, "s", sender);
        if (r < 0)
                question_free(question);
        return r;
}

int control_authorize_request(ControlAuthorize *rights, sd_bus_message *call, const struct ucred *peer) {
        char who[WHO_MAX];

        if (!peer)
                return ask_bus(rights, call);
        if (!is_trusted(peer->uid))
                return sd_bus_reply_method_errorf(
                        call, SD_BUS_ERROR_ACCESS_DENIED,
                        geteuid() == 0
                                ? "Only root may do this here, not uid %u. On the system bus polkit may allow it"
                                : "Only root and the daemon's own user may do this, not uid %u",
                        (unsigned) peer->uid);
        rights->allowed(call, describe(who, peer->uid, peer->pid), rights->userdata);
        return 1;
}

void control_authorize_forget(ControlAuthorize *rights, sd_bus *bus) {
        for (Question *question = rights->first, *next; question; question = next) {
                next = question->next;
                if (sd_bus_message_get_bus(question->call) == bus)
                        question_free(question);
        }
}

int control_authorize_new(ControlAuthorize **ret,
                          void (*allowed)(sd_bus_message *call, const char *who, void *userdata), void *userdata) {
        ControlAuthorize *rights = calloc(1, sizeof(*rights));

        if (!rights)
                return -ENOMEM;
        *rights = (ControlAuthorize){ .allowed = allowed, .userdata = userdata };
        *ret = rights;
        return 0;
}

ControlAuthorize *control_authorize_free(ControlAuthorize *rights) {
        if (!rights)
                return NULL;
        while (rights->first)
                question_free(rights->first);
        free(rights);
        return NULL;
}
