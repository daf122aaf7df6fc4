/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The commands of shmstagectl, each in a file cmd-*.c of its name; those that start a job of the daemon are in
 * cmd-operations.c, and cat-config is in cmd-config.c.
 *
 * The table in ctl/main.c has a row for each command, with the numbers of arguments and the options that it accepts;
 * other options have been refused before it runs. A command prints its result to stdout and its failures to stderr
 * (screen_error()), and returns the exit status. */

#include "ctl/ctl.h"

typedef int Command(const Ctl *ctl, char *const *arguments);

Command commands_status, commands_list, commands_users, commands_wait, commands_metrics;
Command commands_stage, commands_release, commands_accept, commands_sync, commands_verify, commands_reload;
Command commands_plan, commands_cat_config, commands_doctor;
