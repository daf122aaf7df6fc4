/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Replies of the daemon as JSON, complete: also members that this version does not know. */

#include "base/base.h"
#include "ctl/json-output.h"

#include <systemd/sd-bus.h>

/* The next value of the message, of any type, as a new reference: dictionaries are objects, "ay" is a path
 * (json_output_path()), a variant is its content. 0 or a negative errno. */
int ctl_reply_json(sd_bus_message *message, json_t **ret);

/* Members of such an object; 0, NULL or false if they are missing. */
uint64_t ctl_reply_number(const json_t *object, const char *key);
const char *ctl_reply_text(const json_t *object, const char *key);
bool ctl_reply_flag(const json_t *object, const char *key);

/* Reads an "ay" as a new string. 0 or a negative errno: -EBADMSG if it contains a NUL. */
int ctl_reply_path(sd_bus_message *message, char **ret);
