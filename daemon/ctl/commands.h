/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The commands of shmstagectl, in a file cmd-*.c for each group of them.
 *
 * A command is a function and a row of the table in ctl/main.c, which also says how many arguments it takes; those
 * that take none of the options in ctl.h ignore them: ctl/main.c has refused them already. A command prints its
 * result to stdout and its own failures to stderr (screen_error()), and returns the exit status. */

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
