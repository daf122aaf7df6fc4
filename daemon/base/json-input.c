/* SPDX-License-Identifier: GPL-2.0-or-later */

/* JSON that clients wrote. See base/json-input.h. */

#include "base/json-input.h"

/* A value of 2 bytes of text takes up to 150 bytes of memory. */
enum { VALUES_MAX = 2000000 };

static size_t count_values(const char *text, size_t length) {
        size_t n = 1;

        for (size_t i = 0; i < length; i++)
                n += text[i] == ',' || text[i] == '[' || text[i] == '{';
        return n;
}

int json_input_parse(const char *text, size_t length, json_t **ret) {
        json_error_t error;
        json_t *json;

        if (count_values(text, length) > VALUES_MAX)
                return JSON_INPUT_LARGE;
        json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (!json)
                return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : JSON_INPUT_BROKEN;
        *ret = json;
        return 0;
}

const char *json_input_string(const json_t *value) {
        const char *text = json_string_value(value);

        return text && strlen(text) == json_string_length(value) ? text : NULL;
}
