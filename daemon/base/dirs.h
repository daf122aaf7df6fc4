/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where the daemon keeps what is its own outside sources and mirrors. Of an instance that root, or the service
 * manager, runs these are the places of the system; an ordinary user's own instance has its own. */

#include "base/base.h"

/* $STATE_DIRECTORY, or /var/lib/shmstaged, or the user's own state directory: a new string. 0 or -ENOMEM. */
int dirs_state_directory(char **ret);

/* "control" in $RUNTIME_DIRECTORY, or in /run/shmstaged, or in the user's own $XDG_RUNTIME_DIR/shmstaged: a new
 * string. 0, -ENOMEM, or -ENOENT: an ordinary user without a runtime directory. */
int dirs_control_socket(char **ret);
