/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The names in a call, and what the mirrors know by them. Loop thread only; no disk. */

#include "base/base.h"
#include "control/name.h"
#include "mirror/inventory.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

enum { CONTROL_LOOKUP_MAX = 1000 };

/* Reads "aay". 0 and an array of strings (see strv.h); negative with *error set: too many, too long, empty, or with
 * a zero byte inside. */
int control_lookup_read(sd_bus_message *message, char ***ret, sd_bus_error *error);

/* Like control_name_resolve(), among the mirrors that there are: CONTROL_NAME_UNKNOWN with a sentence, or 0 and a
 * name whose place is an index of the roster. */
int control_lookup_resolve(const Mirrors *mirrors, const char *raw, ControlName *ret, char **ret_refusal);

/* The same, but what neither source nor mirror has is CONTROL_NAME_UNKNOWN too. */
int control_lookup_find(const Mirrors *mirrors, const char *raw, ControlName *ret, char **ret_refusal);

/* Whether it is ready, with a sentence about why not (a new string, NULL if there is none). Before the first look at
 * every mirror is over nobody can know that a name is UNKNOWN: it is PENDING. */
Readiness control_lookup_readiness(const Mirrors *mirrors, const char *raw, char **ret_reason);
