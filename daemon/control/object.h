/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The object /io/shmstaged: what its calls share, its properties, and the calls that only read. Loop thread only. */

#include "base/base.h"
#include "control/authorize.h"
#include "control/clients.h"
#include "control/jobs.h"
#include "control/status.h"
#include "control/wait.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define CONTROL_PATH "/io/shmstaged"
#define CONTROL_INTERFACE "io.shmstaged.Manager1"

typedef struct ControlOptions {
        sd_event *event;
        const Mirrors *mirrors;
        ControlState (*state)(void *userdata);  /* as it is now; strings are borrowed until the loop goes on */
        /* asks for a reload; returns the number of reloads that are over when this one is */
        unsigned (*reload)(void *userdata);
        void *userdata;
} ControlOptions;

/* Owned by control.c. */
typedef struct ControlObject {
        ControlOptions options;
        ControlJobs *jobs;
        ControlWaits *waits;
        ControlAuthorize *rights;
        ControlClients *peers;      /* NULL without a private socket */
        uint64_t begun_usec;      /* CLOCK_MONOTONIC */
        void (*again)(struct ControlObject *object); /* something was begun: it is to be looked at soon */
} ControlObject;

/* Gives a connection the object. */
int control_object_add(ControlObject *object, sd_bus *bus);

/* The facts as they are. -ENOMEM. */
int control_object_facts(const ControlObject *object, ControlFacts *ret);

/* Why it will not get ready, or has failed: the sentence of a mirror, borrowed; NULL if nothing has failed. */
const char *control_object_failure(const ControlObject *object);
