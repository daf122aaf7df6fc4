/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where the daemon keeps its own files outside sources and mirrors: the directories that the service manager names in
 * the environment, else those of the system for root, else those of the user who runs it. */

#include "base/base.h"

/* $STATE_DIRECTORY, or /var/lib/shmstaged, or the user's own state directory: a new string. 0 or -ENOMEM. */
int dirs_state_directory(char **ret);

/* "control" in $RUNTIME_DIRECTORY, or in /run/shmstaged, or in the user's own $XDG_RUNTIME_DIR/shmstaged: a new
 * string. 0, -ENOMEM, or -ENOENT: an ordinary user without a runtime directory. */
int dirs_control_socket(char **ret);
