/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A text in systemd's INI syntax (systemd.syntax(7)), one item at a time, with line numbers.
 *
 * "[Section]" and "Key=value", blanks around both trimmed; lines that start with # or ; are comments, also between
 * the parts of a continued line; a backslash at the very end of a line continues it, and becomes a blank. There are
 * no comments behind a value. Strict: whatever is none of these is reported, with its line, and nothing is guessed.
 * It knows no key and no value. */

#include "base/base.h"

typedef struct IniReader {
        char *next;         /* of the text, which is edited in place */
        char *end;
        unsigned line;      /* number of the line that was read last */
        bool in_section;
} IniReader;

enum { INI_END, INI_SECTION, INI_ASSIGNMENT, INI_WRONG };

/* Strings point into the text, and stay valid as long as it does. */
typedef struct IniItem {
        unsigned line;     /* where it starts */
        char *name;        /* of the section or the key */
        char *value;       /* of the key, never NULL for an assignment */
        const char *wrong; /* of INI_WRONG: what about the line, as the end of a sentence "This line ..." */
        bool section;      /* of INI_WRONG: it was meant to start a section */
} IniItem;

/* Borrows @text, which must have room for a terminator at text[length] and is changed by reading. */
void ini_init(IniReader *reader, char *text, size_t length);

/* The next item, and which of the four it is. After a line with a NUL byte only INI_END follows: that is no text. */
int ini_next(IniReader *reader, IniItem *ret);
