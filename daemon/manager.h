/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Owns the loop, the workers, the watch and the mirrors: signals, notification, the order of starting and stopping. */

#include "base/base.h"
#include "config/config.h"

typedef struct Manager Manager;

typedef struct ManagerOptions {
        const char *config_file; /* NULL: the standard places */
        const char *root;        /* below which those are looked up */
} ManagerOptions;

/* To be called before other threads exist, and before many descriptors are open. Takes the configuration, also on
 * failure. *reterr_what names the step that failed. */
int manager_new(Manager **ret, const ManagerOptions *options, Config *config, const char **reterr_what);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)

/* Runs until it is told to stop or cannot go on. Returns the exit status: 0, or 1 for a failure that was told. With
 * *ret_stuck a worker did not come back: the manager cannot be freed, only the process can end. */
int manager_run(Manager *manager, bool *ret_stuck);
