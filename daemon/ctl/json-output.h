/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What shmstagectl prints as JSON. It is valid whatever the names of files are: bytes that are not UTF-8 appear as
 * text_escape() writes them. */

#include "base/base.h"
#include "base/json-input.h"
#include "ctl/ctl.h"

/* A JSON string. Of a path all bytes can be told (a backslash is \x5c then); a text stays as it is, but for bytes
 * that are not UTF-8. NULL on ENOMEM. */
json_t *json_output_path(const char *path);
json_t *json_output_text(const char *text);

/* A JSON number; what is beyond its range is null: there it means "no limit". */
json_t *json_output_number(uint64_t number);

/* Prints a value with a newline, on one line or several as @ctl says, and flushes. NULL stands for one that could
 * not be made. 0 or a negative errno. */
int json_output_print(const Ctl *ctl, const json_t *value, FILE *out);
