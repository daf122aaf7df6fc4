/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Replies of the daemon as JSON. See ctl/reply.h. */

#include "ctl/reply.h"

int ctl_reply_path(sd_bus_message *message, char **ret) {
        const void *bytes;
        size_t length;
        char *path;
        int r = sd_bus_message_read_array(message, 'y', &bytes, &length);

        if (r < 0)
                return r;
        if (length > 0 && memchr(bytes, '\0', length))
                return -EBADMSG;
        path = strndup(length > 0 ? bytes : "", length);
        if (!path)
                return -ENOMEM;
        *ret = path;
        return 0;
}

static int read_bytes(sd_bus_message *message, json_t **ret) {
        _cleanup_(freep) char *path = NULL;
        int r = ctl_reply_path(message, &path);

        if (r == 0)
                *ret = json_output_path(path);
        return r;
}

static int read_object(sd_bus_message *message, const char *contents, json_t **ret) {
        _cleanup_(freep) char *inner = strndup(contents + 1, strlen(contents) - 2); /* without the braces */
        _cleanup_(json_decrefp) json_t *object = json_object();
        int r = object && inner ? sd_bus_message_enter_container(message, 'a', contents) : -ENOMEM;

        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', inner)) > 0) {
                json_t *value = NULL;
                const char *key;

                r = sd_bus_message_read(message, "s", &key);
                if (r >= 0)
                        r = ctl_reply_json(message, &value);
                if (r >= 0)
                        r = json_object_set_new(object, key, value) < 0 ? -ENOMEM
                                                                        : sd_bus_message_exit_container(message);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r >= 0)
                *ret = TAKE_PTR(object);
        return r;
}

static int read_list(sd_bus_message *message, char type, const char *contents, json_t **ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r = list ? sd_bus_message_enter_container(message, type, contents) : -ENOMEM;

        while (r >= 0 && (r = sd_bus_message_at_end(message, false)) == 0) {
                json_t *value = NULL;

                r = ctl_reply_json(message, &value);
                if (r >= 0 && json_array_append_new(list, value) < 0)
                        r = -ENOMEM;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        if (r >= 0)
                *ret = TAKE_PTR(list);
        return r;
}

typedef union Basic {
        const char *s;
        uint8_t y;
        int b;
        int16_t n;
        uint16_t q;
        int32_t i;
        uint32_t u;
        int64_t x;
        uint64_t t;
        double d;
} Basic;

static json_t *basic_json(char type, const Basic *value) {
        switch (type) {
        case 'b':
                return json_boolean(value->b);
        case 'y':
                return json_integer(value->y);
        case 'n':
                return json_integer(value->n);
        case 'q':
                return json_integer(value->q);
        case 'i':
                return json_integer(value->i);
        case 'u':
                return json_integer(value->u);
        case 'x':
                return json_integer(value->x);
        case 't':
                return json_output_number(value->t);
        case 'd':
                return json_real(value->d);
        }
        return json_output_text(value->s);
}

static int read_basic(sd_bus_message *message, char type, json_t **ret) {
        Basic value = {};
        int r = strchr("sogbynqiuxtd", type) ? sd_bus_message_read_basic(message, type, &value) : -EBADMSG;

        if (r >= 0)
                *ret = basic_json(type, &value);
        return r;
}

int ctl_reply_json(sd_bus_message *message, json_t **ret) {
        const char *contents;
        char type;
        int r = sd_bus_message_peek_type(message, &type, &contents);

        if (r <= 0)
                return r < 0 ? r : -EBADMSG;
        *ret = NULL;
        if (type == 'v') {
                r = sd_bus_message_enter_container(message, 'v', contents);
                if (r >= 0)
                        r = ctl_reply_json(message, ret);
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        } else if (type == 'a' && strcmp(contents, "y") == 0)
                r = read_bytes(message, ret);
        else if (type == 'a' && contents[0] == '{')
                r = read_object(message, contents, ret);
        else if (type == 'a' || type == 'r')
                r = read_list(message, type, contents, ret);
        else
                r = read_basic(message, type, ret);
        return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

uint64_t ctl_reply_number(const json_t *object, const char *key) {
        json_int_t value = json_integer_value(json_object_get(object, key));

        return value > 0 ? (uint64_t) value : 0;
}

const char *ctl_reply_text(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text && *text ? text : NULL;
}

bool ctl_reply_flag(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}
