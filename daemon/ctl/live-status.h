/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* shmstagectl status --watch: keeps the status up to date until it is interrupted, or q is pressed.
 *
 * On a terminal it takes the whole screen, redraws it after a change or when the window is resized, and restores the
 * terminal at the end. Elsewhere it prints each change as a line, or with --json as a whole status. The daemon
 * announces changes; while something is in progress, the status is also read twice a second. Without a daemon it
 * waits for one. */

#include "base/base.h"
#include "base/json-input.h"
#include "ctl/ctl.h"

/* @prepare removes from a status what the user did not ask for, and returns 0, or an exit status to end with. Returns
 * the exit status that @judge gives to the latest status (NULL: there is none). A signal ends the process. */
int live_status_run(const Ctl *ctl, int (*prepare)(json_t *status, void *userdata),
                    int (*judge)(const json_t *status, void *userdata), void *userdata);
