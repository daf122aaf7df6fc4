/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* JSON that clients wrote, with a bound on the memory that reading it takes. The only user of jansson's parser. */

#include "base/base.h"

#include <jansson.h>

/* 0 and a new reference; JSON_INPUT_BROKEN: it is not JSON, or an object has a name twice, so that two readers could
 * understand it differently; JSON_INPUT_LARGE: it has too many values; or -ENOMEM. Strings may hold NUL bytes. */
enum { JSON_INPUT_BROKEN = 1, JSON_INPUT_LARGE };
int json_input_parse(const char *text, size_t length, json_t **ret);

/* The string that @value is, borrowed; NULL if it is no string, or has NUL bytes. */
const char *json_input_string(const json_t *value);
