/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* shmstagectl status --watch: the status until it is interrupted, or q is pressed.
 *
 * On a terminal it has the screen for itself, is drawn anew when something has changed (the daemon says so, and
 * while something moves it is asked twice a second) or the window has another size, and leaves the terminal as it
 * was. Elsewhere it prints a line when something has changed, or with --json the whole status. Without a daemon it
 * waits for one. */

#include "base/base.h"
#include "base/json-input.h"
#include "ctl/ctl.h"

/* @prepare takes out of a status what was not asked for: 0, or an exit status, which ends it. Returns the exit
 * status that @judge gives the last status (NULL: there was none); an interrupt ends the process as it ends any. */
int live_status_run(const Ctl *ctl, int (*prepare)(json_t *status, void *userdata),
                    int (*judge)(const json_t *status, void *userdata), void *userdata);
