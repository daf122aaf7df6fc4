/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The engines of a machine: the units that the configuration or a known name points to, and running processes. Reads
 * unit files and /proc; changes nothing. What cannot be found out stays zero, NULL or false; nothing is guessed. */

#include "base/base.h"
#include "config/config.h"
#include "ctl/doctor/engine.h"
#include "ctl/doctor/root-view.h"
#include "ctl/doctor/unit-view.h"

/* One way in which an engine is started, or runs. */
typedef struct EngineRun {
        int pid;                        /* 0: not a process, but what the unit would start */
        EngineKind kind;
        char **arguments, **environment; /* never NULL */
        EngineLocations locations;
        bool hidden;                    /* the environment of the process cannot be read */
        uint64_t memlock;               /* bytes; UINT64_MAX: unlimited or unknown */
        bool memlock_known;
} EngineRun;

typedef struct EngineFacts {
        char *name;                     /* of the unit; "PID 123 (ollama)" for a process without one */
        EngineKind kind;
        bool configured;                /* in Engines= of a mirror */
        UnitView *unit;                 /* NULL: there is none */
        char *unread;                   /* a file of the unit that cannot be read; NULL */
        RootViewUser user;              /* whom it runs as; name NULL: unknown */
        EngineRun *runs;
        size_t n_runs;
        char *version;                  /* NULL: unknown */
} EngineFacts;

typedef struct EngineFactsList {
        EngineFacts *items;
        size_t n;
} EngineFactsList;

/* @config may be NULL. 0 or a negative errno; @list, which begins as zeros, has to be freed in either case. */
int engine_facts_read(const RootView *machine, const Config *config, EngineFactsList *list);
void engine_facts_done(EngineFactsList *list);

/* Makes the paths of locations those without links. 0 or -ENOMEM. */
int engine_facts_resolve(const RootView *machine, EngineLocations *locations);

/* The first location of a run that is at or below @directory, NULL for none; and whether any run has one. */
const EngineLocation *engine_facts_location(const EngineRun *run, const char *directory);
bool engine_facts_reads(const EngineFacts *engine, const char *directory);
