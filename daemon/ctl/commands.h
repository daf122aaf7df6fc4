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

Command commands_status;
Command commands_list;
Command commands_plan;
Command commands_verify;
Command commands_sync;
Command commands_wait;
Command commands_stage;
Command commands_release;
Command commands_accept;
Command commands_metrics;
Command commands_reload;
Command commands_cat_config;
Command commands_doctor;
Command commands_users;
