/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The object /io/shmstaged: what its calls share, its properties, and the calls that only read (control/begin-job.h has
 * those that change something). Loop thread only. */

#include "base/base.h"
#include "control/authorizer.h"
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
        ControlState (*state)(void *userdata);  /* now; its strings are borrowed until the loop goes on */
        /* requests a reload; returns the number of reloads that are over when this one is */
        unsigned (*reload)(void *userdata);
        void *userdata;
} ControlOptions;

/* Owned by control.c. */
typedef struct ControlObject {
        ControlOptions options;
        ControlJobs *jobs;
        ControlWaits *waits;
        ControlAuthorizer *authorizer;
        ControlClients *clients;      /* NULL without a private socket */
        uint64_t begun_usec;          /* CLOCK_MONOTONIC */
        void (*schedule_update)(struct ControlObject *object); /* a job or wait was begun: see control_update() */
} ControlObject;

/* Adds the object and those of the jobs to a connection. */
int control_object_register(ControlObject *object, sd_bus *bus);

/* The present values of the properties. 0 or -ENOMEM. */
int control_object_facts(const ControlObject *object, ControlFacts *ret);
