/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* JSON that shmstagectl prints. It is valid whatever the names of files are: bytes that are not UTF-8 are escaped as
 * text_escape() does. */

#include "base/base.h"
#include "base/json-input.h"
#include "ctl/ctl.h"

/* A JSON string, NULL on ENOMEM. A path is escaped reversibly (a backslash is \x5c); a text only if it is not valid
 * UTF-8. */
json_t *json_output_path(const char *path);
json_t *json_output_text(const char *text);

/* A JSON number; null beyond its range, where numbers mean "no limit". */
json_t *json_output_number(uint64_t number);

/* Prints a value and a newline, on one line or on several as @ctl says, and flushes. 0 or a negative errno: -ENOMEM for
 * @value NULL. */
int json_output_print(const Ctl *ctl, const json_t *value, FILE *out);
