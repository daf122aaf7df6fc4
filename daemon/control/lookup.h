/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Reads the names in a call, and looks up what the mirrors know by them, without reading a disk.
 * control/parse-name.h says what a name may be. Loop thread only. */

#include "base/base.h"
#include "control/parse-name.h"
#include "mirror/inventory.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

enum { CONTROL_LOOKUP_MAX = 1000 };

/* Reads "aay". 0 and an array of strings (see base/strv.h); or negative, with *error set if there are too many names,
 * or one is empty, too long or has a zero byte. */
int control_lookup_read(sd_bus_message *message, char ***ret, sd_bus_error *error);

/* parse_name() with the mirrors there are: 0, or PARSE_NAME_UNKNOWN with a sentence. */
int control_lookup_parse(const Mirrors *mirrors, const char *raw, ParsedName *ret, char **ret_refusal);

/* The same, but a name that neither source nor mirror has is PARSE_NAME_UNKNOWN too. */
int control_lookup_find(const Mirrors *mirrors, const char *raw, ParsedName *ret, char **ret_refusal);

/* Whether what the name stands for is ready, with a sentence why not (a new string, NULL if there is none). As long
 * as a mirror has not been scanned once, a name that is not known yet is PENDING, not UNKNOWN. */
Readiness control_lookup_readiness(const Mirrors *mirrors, const char *raw, char **ret_reason);
