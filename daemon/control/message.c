/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Text and paths in D-Bus messages. See control/message.h. */

#include "control/message.h"

#include "base/text.h"

int control_message_append_text(sd_bus_message *message, const char *text) {
        _cleanup_(freep) char *escaped = NULL;
        int r = sd_bus_message_append_basic(message, 's', text ? text : "");

        if (r != -EINVAL)
                return r;
        escaped = text_escape(text, false);
        return escaped ? sd_bus_message_append_basic(message, 's', escaped) : -ENOMEM;
}

int control_message_append_texts(sd_bus_message *message, char *const *texts) {
        int r = sd_bus_message_open_container(message, 'a', "s");

        for (; r >= 0 && texts && *texts; texts++)
                r = control_message_append_text(message, *texts);
        return r >= 0 ? sd_bus_message_close_container(message) : r;
}

int control_message_append_path(sd_bus_message *message, const char *path) {
        return sd_bus_message_append_array(message, 'y', path, strlen(path));
}

static int append_entry(sd_bus_message *message, const char *key, const char *type, const char *value,
                        int (*append)(sd_bus_message *message, const char *value)) {
        int r = sd_bus_message_open_container(message, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append_basic(message, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', type);
        if (r >= 0)
                r = append(message, value);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r >= 0 ? sd_bus_message_close_container(message) : r;
}

int control_message_append_text_entry(sd_bus_message *message, const char *key, const char *text) {
        return append_entry(message, key, "s", text, control_message_append_text);
}

int control_message_append_path_entry(sd_bus_message *message, const char *key, const char *path) {
        return append_entry(message, key, "ay", path, control_message_append_path);
}

void control_message_reply_error(sd_bus_message *call, const char *name, const char *text) {
        _cleanup_(freep) char *escaped = NULL;

        if (sd_bus_reply_method_errorf(call, name, "%s", text) != -EINVAL)
                return;
        escaped = text_escape(text, false);
        (void) sd_bus_reply_method_errorf(call, name, "%s", escaped ? escaped : "");
}
