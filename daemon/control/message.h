/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Text and paths in D-Bus messages. D-Bus takes valid UTF-8 only, and closes the connection for anything else; a
 * path can be any bytes. So a path is sent as it is (type "ay"), or as part of a sentence, where bytes that are not
 * UTF-8 become \xNN. All return 0 or more, or a negative errno. */

#include "base/base.h"

#include <systemd/sd-bus.h>

/* "s"; NULL is "". */
int control_message_append_text(sd_bus_message *message, const char *text);
/* "as", of a NULL-terminated array; NULL: none. */
int control_message_append_texts(sd_bus_message *message, char *const *texts);
/* "ay". */
int control_message_append_path(sd_bus_message *message, const char *path);
/* "{sv}" with a text or a path. */
int control_message_append_text_entry(sd_bus_message *message, const char *key, const char *text);
int control_message_append_path_entry(sd_bus_message *message, const char *key, const char *path);

/* Answers a call with an error. It does not matter if the caller is gone. */
void control_message_reply_error(sd_bus_message *call, const char *name, const char *text);
