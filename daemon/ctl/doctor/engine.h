/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is known of the engines: by which names they go, where they are told to find their models, what makes them
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

/* By the name of a unit ("ollama.service", "llama-server@7b.service"), and by what is run ("/usr/bin/python3 -m
 * vllm.entrypoints..."). */
EngineKind engine_of_unit(const char *unit);
EngineKind engine_of_command(char *const *arguments);

/* A place where an engine is told to look, or looks by itself. */
typedef struct EngineLocation {
        char *setting; /* "OLLAMA_MODELS", "--model"; what somebody has to change */
        char *path;    /* absolute */
        bool variable; /* the setting is an environment variable */
        bool automatic; /* nobody has set it: it is where this engine looks by itself */
} EngineLocation;

/* All absolute paths of command line and environment (which of them are about models the caller can tell: they are
 * in a mirror or its source), and the place where the engine looks by itself if it was told none. @home NULL: not
 * known. A new array. */
int engine_locations(EngineKind kind, char *const *arguments, char *const *environment, const char *home,
                     EngineLocation **ret, size_t *ret_n);
void engine_locations_free(EngineLocation *locations, size_t n);

/* What makes it copy the model into memory of its own, as it is written ("--no-mmap", or "no --usemmap"); NULL if
 * nothing does that can be seen here. A new string in @ret. */
int engine_copies(EngineKind kind, char *const *arguments, char *const *environment, char **ret);

/* The same for locking the model's pages ("--mlock"), which a mapped model counts against the limit on locked memory. */
int engine_locks(char *const *arguments, char *const *environment, char **ret);

/* The value of a variable, borrowed; NULL if it is not set. */
const char *engine_variable(char *const *environment, const char *name);

/* What somebody has to do so that the engine reads @path there: "systemctl edit ollama.service: [Service]
 * Environment=OLLAMA_MODELS=/dev/shm/models" for a @unit that is a service, "restart it with -m
 * /dev/shm/models/a.gguf" else. A new string, NULL on ENOMEM. */
char *engine_advice(const EngineLocation *location, const char *path, const char *unit);
