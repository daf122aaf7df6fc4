/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Replies of the daemon as JSON: whatever it says is kept, also what this version does not know. */

#include "base/base.h"
#include "ctl/json-output.h"

#include <systemd/sd-bus.h>

/* The next value of the message, of any type, as a new reference: dictionaries are objects, "ay" is a path
 * (json_output_path()), variants are what is in them. 0 or a negative errno. */
int ctl_reply_json(sd_bus_message *message, json_t **ret);

/* Members of such an object; what is not there is 0, NULL, false. */
uint64_t ctl_reply_number(const json_t *object, const char *key);
const char *ctl_reply_text(const json_t *object, const char *key);
bool ctl_reply_flag(const json_t *object, const char *key);

/* Reads an "ay" as a new string. 0 or a negative errno: -EBADMSG for what holds a NUL. */
int ctl_reply_path(sd_bus_message *message, char **ret);
