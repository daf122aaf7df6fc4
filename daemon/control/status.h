/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A snapshot of the mirrors -> what the control interface says of them. io.shmstaged(5) has the keys. Pure, but for
 * the message that is written to. */

#include "base/base.h"
#include "mirror/mirrors.h"
#include "report/mirror-status.h"

#include <systemd/sd-bus.h>

/* What the manager knows, and a mirror does not. Strings are borrowed. */
typedef struct ControlState {
        const char *text;     /* the last STATUS=; NULL before the first */
        bool ready;           /* READY=1 has been sent */
        bool reloading, stopping;
        bool failed;          /* it ends, or is about to, because a mirror failed */
        unsigned reloads;     /* that are over */
        char *const *reload_errors; /* of the last one: sentences, NULL-terminated; NULL if it went well */
} ControlState;

typedef struct ControlFacts {
        const char *state;    /* a literal */
        bool ready, degraded;
        uint64_t files, bytes, unsaved, unsaved_bytes;
} ControlFacts;
ControlFacts control_status_facts(const ControlState *state, const MirrorStatus *mirrors, size_t n);

/* A string that came from anywhere: D-Bus takes valid UTF-8 alone, and closes the connection for anything else.
 * Bytes that are not become \xNN. NULL is "". */
int control_status_append_text(sd_bus_message *message, const char *text);
int control_status_append_texts(sd_bus_message *message, char *const *texts); /* "as"; NULL: none */
int control_status_append_entry(sd_bus_message *message, const char *key, const char *text); /* "{sv}" */
/* A path as it is, type "ay". */
int control_status_append_path(sd_bus_message *message, const char *path);

/* "a{sv}" of the daemon and of a mirror. */
int control_status_append_daemon(sd_bus_message *message, const ControlState *state, const ControlFacts *facts,
                                 uint64_t uptime_usec, unsigned n_jobs);
int control_status_append_mirror(sd_bus_message *message, const MirrorStatus *mirror);

/* Answers a call with an error, whatever the sentence has in it. A caller that has gone is not told. */
void control_status_reply_error(sd_bus_message *call, const char *name, const char *text);
