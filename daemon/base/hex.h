/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Bytes as hexadecimal digits, and back. */

#include "base/base.h"

/* Writes two lower-case digits for each of @n bytes and a terminator, and returns @hex. */
char *hex_encode(const uint8_t *bytes, size_t n, char *hex);

/* Reads @n bytes from the 2 * @n digits at @hex, of lower case unless @any_case; what follows them is not read. False
 * if one is no digit: then part of @ret may be written. */
bool hex_decode(const char *hex, size_t n, bool any_case, uint8_t *ret);
