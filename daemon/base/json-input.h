/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* JSON that clients wrote, bounded in what reading it costs. The only door to jansson's parser. */

#include "base/base.h"

#include <jansson.h>

/* 0 and a new reference; JSON_INPUT_BROKEN: it is no JSON, or a name in it stands twice and two readers could see
 * two things; JSON_INPUT_LARGE: it has more values than we want to have in memory; or -ENOMEM. Strings may hold NUL
 * bytes. */
enum { JSON_INPUT_BROKEN = 1, JSON_INPUT_LARGE };
int json_input_parse(const char *text, size_t length, json_t **ret);

/* The string of a value without NUL bytes in it, borrowed; NULL if it is none. */
const char *json_input_string(const json_t *value);
