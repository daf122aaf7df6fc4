/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A line of words as systemd splits it (systemd.syntax(7), "Quoting"): blanks separate, '...' and "..." keep them
 * together, also in the middle of a word, and a backslash starts a C-style escape, inside quotes and out.
 *
 * There is one addition: a backslash before a character that starts no escape stays in the word together with it, so
 * that a glob can have \* for a star. systemd refuses these. */

#include "base/base.h"

/* 0 and the words of @text as an array that the caller owns (strv.h), never NULL; WORDS_BAD for an open quote, an
 * incomplete or unknown escape (\ and a letter or digit), an empty word, or a NUL byte; or -ENOMEM. */
enum { WORDS_BAD = 1 };
int words_split(const char *text, char ***ret);

/* Writes one word so that words_split() reads it back, in quotes if it needs them, never ending in a backslash. */
void words_print(const char *word, FILE *out);
