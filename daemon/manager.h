/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Owns the event loop, the workers, the watch and the mirrors: signals, notification of systemd, and the order of
 * starting and stopping. */

#include "base/base.h"
#include "config/config.h"

typedef struct Manager Manager;

typedef struct ManagerOptions {
        const char *config_file; /* NULL: the standard places */
        const char *root;        /* the directory below which those are searched for; NULL: / */
} ManagerOptions;

/* Must be called before other threads exist, and before many descriptors are open. Takes the configuration, also on
 * failure. *reterr_what names the step that failed. */
int manager_new(Manager **ret, const ManagerOptions *options, Config *config, const char **reterr_what);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)

/* Runs until a signal stops it, or it cannot go on. Returns the exit status: 0, or 1 for a failure that was logged.
 * With *ret_stuck a worker did not come back: the manager must not be freed, only the process can end. */
int manager_run(Manager *manager, bool *ret_stuck);
