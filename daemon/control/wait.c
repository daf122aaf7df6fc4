/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Calls of Wait(). See control/wait.h. */

#include "control/wait.h"

#include "base/clock.h"
#include "base/strv.h"
#include "base/text.h"
#include "control/lookup.h"
#include "control/message.h"

/* How long one update may take: looking up the names of models and directories is not cheap. */
#define BUDGET_USEC (2 * USEC_PER_SEC / 1000)

enum {
        WAITS_MAX = 512,
        WAITS_PER_CALLER = 16,
        NAMES_ALL_MAX = 8 * CONTROL_LOOKUP_MAX,
};

typedef struct Wait Wait;

struct Wait {
        ControlWaits *waits;
        Wait *next; /* ControlWaits.first: the one not checked for the longest time is the first */
        sd_bus_message *call;
        char **names;
        size_t next_name;  /* to be checked */
        size_t from;       /* the names from here to .next_name were ready when they were checked */
        sd_bus_slot *slot; /* match: the caller leaves the bus */
};

struct ControlWaits {
        const Mirrors *mirrors;
        Wait *first, **last;
        size_t n, n_names;
};

static void wait_free(Wait *wait) {
        ControlWaits *waits = wait->waits;
        Wait **link = &waits->first;

        while (*link != wait)
                link = &(*link)->next;
        *link = wait->next;
        if (waits->last == &wait->next)
                waits->last = link;
        waits->n--;
        waits->n_names -= strv_length(wait->names);
        (void) sd_bus_slot_unref(wait->slot);
        (void) sd_bus_message_unref(wait->call);
        wait->names = strv_free(wait->names);
        free(wait);
}

/* The caller has left the bus; the connection to the bus stays. */
static int on_gone(sd_bus_message *message, void *userdata, sd_bus_error *error _unused_) {
        Wait *wait = userdata;
        const char *name, *before, *now;

        if (sd_bus_message_read(message, "sss", &name, &before, &now) >= 0 && now[0] == '\0')
                wait_free(wait);
        return 0;
}

/* If it failed, the wait is answered though the caller may be gone, which does no harm. */
static int on_watched(sd_bus_message *reply _unused_, void *userdata _unused_, sd_bus_error *error _unused_) {
        return 0;
}

static int watch_sender(Wait *wait) {
        const char *sender = sd_bus_message_get_sender(wait->call);
        _cleanup_(freep) char *rule = NULL;

        if (!sender)
                return 0;
        rule = text_format("type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='"
                           "NameOwnerChanged',arg0='%s'",
                           sender);
        if (!rule)
                return -ENOMEM;
        return sd_bus_add_match_async(sd_bus_message_get_bus(wait->call), &wait->slot, rule, on_gone, on_watched, wait);
}

static bool is_same_caller(sd_bus_message *a, sd_bus_message *b) {
        return sd_bus_message_get_bus(a) == sd_bus_message_get_bus(b) &&
               string_equal(sd_bus_message_get_sender(a), sd_bus_message_get_sender(b));
}

int control_waits_add(ControlWaits *waits, sd_bus_message *call, bool trusted, sd_bus_error *error) {
        _cleanup_(strv_freep) char **names = NULL;
        size_t own = 0, share = trusted ? 1 : 2; /* untrusted callers get half of the places */
        Wait *wait;
        int r = control_lookup_read(call, &names, error);

        if (r < 0)
                return r;
        for (wait = waits->first; wait; wait = wait->next)
                own += is_same_caller(wait->call, call);
        if (waits->n >= WAITS_MAX / share || own >= WAITS_PER_CALLER ||
            waits->n_names + strv_length(names) > NAMES_ALL_MAX / share)
                return sd_bus_error_setf(error, "io.shmstaged.Error.TooMany",
                                         "Too many clients are waiting already; try again later");
        wait = calloc(1, sizeof(*wait));
        if (!wait)
                return -ENOMEM;
        *wait = (Wait){ .waits = waits, .call = sd_bus_message_ref(call), .names = TAKE_PTR(names) };
        *waits->last = wait;
        waits->last = &wait->next;
        waits->n++;
        waits->n_names += strv_length(wait->names);
        r = watch_sender(wait);
        if (r < 0)
                wait_free(wait);
        return r < 0 ? r : 1;
}

/* It does not matter if the caller is gone. */
static void answer(Wait *wait, const char *error, const char *name, const char *reason) {
        _cleanup_(freep) char *text = NULL;
        char escaped[TEXT_PATH_MAX];

        if (!error)
                (void) sd_bus_reply_method_return(wait->call, "");
        else if (!name)
                control_message_reply_error(wait->call, error, reason);
        else {
                (void) text_append(&text, "'%s' will not become ready as things are. %s", text_path(escaped, name),
                                   reason ? reason : "");
                control_message_reply_error(wait->call, error, text ? text : "");
        }
        wait_free(wait);
}

static bool is_late(uint64_t since_usec) {
        return clock_usec(CLOCK_MONOTONIC) - since_usec > BUDGET_USEC;
}

static void check_daemon(Wait *wait, const ControlState *state, const char *failure) {
        if (state->ready)
                answer(wait, NULL, NULL, NULL);
        else if (failure)
                answer(wait, "io.shmstaged.Error.NeverReady", NULL, failure);
}

/* Checks one name after the other, up to the first that is not ready, and continues there the next time. When the last
 * name is ready those before .from are checked once more, because they may have changed meanwhile. */
static void check_names(Wait *wait, uint64_t since_usec) {
        while (!is_late(since_usec)) {
                const char *name = wait->names[wait->next_name];
                _cleanup_(freep) char *reason = NULL;
                Readiness readiness;

                if (!name && wait->from == 0) {
                        answer(wait, NULL, NULL, NULL);
                        return;
                }
                if (!name) {
                        wait->next_name = wait->from = 0;
                        continue;
                }
                readiness = control_lookup_readiness(wait->waits->mirrors, name, &reason);
                if (readiness == READINESS_READY) {
                        wait->next_name++;
                        continue;
                }
                wait->from = wait->next_name;
                if (readiness != READINESS_PENDING)
                        answer(wait, "io.shmstaged.Error.NeverReady", name, reason);
                return;
        }
}

bool control_waits_update(ControlWaits *waits, const ControlState *state, const char *failure) {
        uint64_t since_usec = clock_usec(CLOCK_MONOTONIC);

        for (size_t i = waits->n; i > 0 && waits->first; i--) {
                Wait *wait = waits->first;
                size_t before = waits->n;

                if (is_late(since_usec))
                        return true;
                if (state->stopping) {
                        answer(wait, failure ? "io.shmstaged.Error.NeverReady" : "io.shmstaged.Error.Stopping", NULL,
                               failure ? failure : "The daemon is stopping");
                        continue;
                }
                if (!wait->names || !wait->names[0])
                        check_daemon(wait, state, failure);
                else
                        check_names(wait, since_usec);
                if (waits->n < before || !wait->next)
                        continue;
                waits->first = wait->next; /* to the end of the list */
                wait->next = NULL;
                *waits->last = wait;
                waits->last = &wait->next;
        }
        return waits->n > 0 && is_late(since_usec);
}

size_t control_waits_count(const ControlWaits *waits) {
        return waits->n;
}

size_t control_waits_count_of(const ControlWaits *waits, const sd_bus *bus) {
        size_t n = 0;

        for (Wait *wait = waits->first; wait; wait = wait->next)
                n += sd_bus_message_get_bus(wait->call) == bus;
        return n;
}

void control_waits_forget(ControlWaits *waits, const sd_bus *bus) {
        for (Wait *wait = waits->first, *next; wait; wait = next) {
                next = wait->next;
                if (sd_bus_message_get_bus(wait->call) == bus)
                        wait_free(wait);
        }
}

int control_waits_new(ControlWaits **ret, const Mirrors *mirrors) {
        ControlWaits *waits = calloc(1, sizeof(*waits));

        if (!waits)
                return -ENOMEM;
        waits->mirrors = mirrors;
        waits->last = &waits->first;
        *ret = waits;
        return 0;
}

ControlWaits *control_waits_free(ControlWaits *waits) {
        if (!waits)
                return NULL;
        while (waits->first)
                wait_free(waits->first);
        free(waits);
        return NULL;
}
