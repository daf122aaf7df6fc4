/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Knowledge about engines: their names, the settings that say where their models are, and the settings that make them
 * copy a model instead of mapping it. Pure; command lines and environments are those of units or of processes. */

#include "base/base.h"

typedef enum EngineKind {
        ENGINE_OTHER,
        ENGINE_OLLAMA,
        ENGINE_LLAMA_SERVER, /* llama.cpp */
        ENGINE_LLAMA_SWAP,
        ENGINE_VLLM,
        ENGINE_TGI,
        ENGINE_LOCALAI,
        ENGINE_KOBOLDCPP,
        ENGINE_LM_STUDIO,
} EngineKind;

/* By the name of a unit ("ollama.service", "llama-server@7b.service"), and by a command line ("/usr/bin/python3 -m
 * vllm.entrypoints..."). */
EngineKind engine_of_unit(const char *unit);
EngineKind engine_of_command(char *const *arguments);

/* A path that an engine is configured to use, or uses by default. */
typedef struct EngineLocation {
        char *setting; /* "OLLAMA_MODELS", "--model": what to change */
        char *path;    /* absolute */
        bool variable; /* the setting is an environment variable */
        bool automatic; /* not set: the default of this engine */
} EngineLocation;

/* All absolute paths of command line and environment, and the default location unless a setting overrides it. Those
 * that concern models are the ones in a mirror or its source, which the caller checks. @home NULL: unknown. 0 or
 * -ENOMEM; @list, which begins as zeros, has to be freed in either case. */
typedef struct EngineLocations {
        EngineLocation *items;
        size_t n;
} EngineLocations;
int engine_locations(EngineKind kind, char *const *arguments, char *const *environment, const char *home,
                     EngineLocations *list);
void engine_locations_done(EngineLocations *list);

/* The setting that makes it copy the model into its own memory, as it is written ("--no-mmap") or missing ("no
 * --usemmap"): a new string, NULL for none. 0 or -ENOMEM. */
int engine_copies(EngineKind kind, char *const *arguments, char *const *environment, char **ret);

/* The same for locking the pages of the model ("--mlock"), which count against the limit on locked memory. */
int engine_locks(char *const *arguments, char *const *environment, char **ret);

/* The value of a variable, borrowed; NULL if it is not set. */
const char *engine_variable(char *const *environment, const char *name);

/* How to make the engine read @path: "systemctl edit ollama.service: [Service]
 * Environment=OLLAMA_MODELS=/dev/shm/models" if @unit is a service, else "restart it with -m
 * /dev/shm/models/a.gguf". A new string, NULL on ENOMEM. */
char *engine_advice(const EngineLocation *location, const char *path, const char *unit);
