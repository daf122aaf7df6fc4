/* SPDX-License-Identifier: GPL-2.0-or-later */

/* JSON that shmstagectl prints. See ctl/json-output.h. */

#include "ctl/json-output.h"

#include "base/text.h"

json_t *json_output_path(const char *path) {
        _cleanup_(freep) char *escaped = text_escape(path, false);

        return escaped ? json_string(escaped) : NULL;
}

json_t *json_output_text(const char *text) {
        json_t *json = json_string(text); /* NULL if it is not UTF-8 */

        return json ? json : json_output_path(text);
}

json_t *json_output_number(uint64_t number) {
        return number > INT64_MAX ? json_null() : json_integer((json_int_t) number);
}

int json_output_print(const Ctl *ctl, const json_t *value, FILE *out) {
        size_t flags = JSON_ENCODE_ANY | (ctl->json == CTL_JSON_PRETTY ? JSON_INDENT(2) : JSON_COMPACT);

        if (!value)
                return -ENOMEM;
        if (json_dumpf(value, out, flags) < 0 || fputc('\n', out) == EOF || fflush(out) != 0)
                return errno > 0 ? -errno : -EIO;
        return 0;
}
