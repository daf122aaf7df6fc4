/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Text for people: amounts, spans of time, and paths that are safe to print.
 *
 * All formatting functions write into a buffer of the caller and return it, always terminated. */

#include "base/base.h"

#include <stdarg.h>

enum { TEXT_BYTES_MAX = 16, TEXT_SPAN_MAX = 32, TEXT_PATH_MAX = 512 };

/* "41.3G", "512K", "17B": powers of 1024, as systemd and `ls -h` print them. */
char *text_bytes(char buffer[static TEXT_BYTES_MAX], uint64_t bytes);

/* "3min 20s", "1h 5min", "450ms". */
char *text_span(char buffer[static TEXT_SPAN_MAX], uint64_t usec);

/* A path for one line of a log or a status: escaped as text_escape() does it, and cut in the middle with "..." if it is
 * long. */
char *text_path(char buffer[static TEXT_PATH_MAX], const char *path);

/* Writes every control character, DEL, backslash and byte that is not part of valid UTF-8 as \xNN, with @spaces a blank
 * too. Returns a new string, NULL on ENOMEM. */
char *text_escape(const char *raw, bool spaces);

/* Undoes text_escape(). 0 and a new string in @ret, or -EINVAL for a malformed escape. */
int text_unescape(const char *escaped, char **ret);

/* Appends formatted text to a growing string, which may start as NULL. 0 or -ENOMEM. */
int text_append(char **text, const char *format, ...) _printf_(2, 3);

/* Formatted text as a new string, NULL on ENOMEM. */
char *text_format(const char *format, ...) _printf_(1, 2);
char *text_vformat(const char *format, va_list ap) _printf_(1, 0);
