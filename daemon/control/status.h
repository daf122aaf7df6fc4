/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What GetStatus() answers and the properties of /io/shmstaged, from a snapshot of the mirrors. io.shmstaged(5) has
 * the keys. Pure, but for the message that is written to. */

#include "base/base.h"
#include "mirror/mirrors.h"
#include "report/mirror-status.h"

#include <systemd/sd-bus.h>

/* What only the manager knows. Strings are borrowed. */
typedef struct ControlState {
        const char *text;     /* the last STATUS=; NULL before the first */
        bool ready;           /* READY=1 has been sent */
        bool reloading, stopping;
        unsigned reloads;     /* number of reloads that are over */
        char *const *reload_errors; /* of the last one: sentences, NULL-terminated; NULL if it went well */
} ControlState;

typedef struct ControlFacts {
        const char *state;    /* a literal */
        bool ready, degraded;
        uint64_t files, bytes, unsaved, unsaved_bytes;
} ControlFacts;
ControlFacts control_status_facts(const ControlState *state, const MirrorStatus *mirrors, size_t n);

/* "a{sv}" of the daemon and of a mirror. */
int control_status_append_daemon(sd_bus_message *message, const ControlState *state, const ControlFacts *facts,
                                 uint64_t uptime_usec, unsigned n_jobs);
int control_status_append_mirror(sd_bus_message *message, const MirrorStatus *mirror);
