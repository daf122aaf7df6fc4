/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A text in systemd's INI syntax (systemd.syntax(7)), one item at a time, with line numbers.
 *
 * "[Section]" and "Key=value", with blanks around both trimmed; lines that start with # or ; are comments, also between
 * the parts of a continued line; a backslash at the very end of a line continues it, and becomes a blank. There are
 * no comments behind a value. Any other line is reported with its number; the reader guesses nothing, and knows no
 * key and no value. */

#include "base/base.h"

typedef struct IniReader {
        char *next, *end;   /* what is left of the text, which is edited in place */
        unsigned line;      /* number of the line that was read last */
        bool in_section;
} IniReader;

enum { INI_END, INI_SECTION, INI_ASSIGNMENT, INI_WRONG };

/* Strings point into the text, and stay valid as long as it does. */
typedef struct IniItem {
        unsigned line;     /* where it starts */
        char *name;        /* of the section or the key */
        char *value;       /* of the key, never NULL for INI_ASSIGNMENT */
        const char *wrong; /* for INI_WRONG: the error, as the end of a sentence "This line ..." */
        bool section;      /* for INI_WRONG: the line was meant to start a section */
} IniItem;

/* Borrows @text, which must have room for a terminator at text[length] and is changed by reading. */
void ini_init(IniReader *reader, char *text, size_t length);

/* Reads the next item and returns which of the four it is. After a line with a NUL byte, which no text has, only
 * INI_END follows. */
int ini_next(IniReader *reader, IniItem *ret);
