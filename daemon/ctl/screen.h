/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the output can show: colours, the character set, its width; and text that is safe to print there. */

#include "base/base.h"

typedef enum ScreenColour {
        SCREEN_PLAIN,
        SCREEN_GREEN,  /* as it should be */
        SCREEN_YELLOW, /* in progress, or not as good as it could be */
        SCREEN_RED,    /* needs attention */
        SCREEN_GREY,   /* secondary */
        SCREEN_BOLD,
} ScreenColour;

typedef struct Screen {
        bool terminal;
        bool colours;          /* as SYSTEMD_COLORS says, else NO_COLOR, else on a terminal */
        bool unicode;          /* by the locale, after main() has called setlocale() */
        unsigned columns, rows; /* of the terminal; 80 x 24 if unknown */
} Screen;

Screen screen_of(int fd);

/* The sequence that begins a colour, and the one that ends it: "" without colours. Literals. */
const char *screen_colour(const Screen *screen, ScreenColour colour);
const char *screen_end(const Screen *screen);

/* @text made safe to print: bytes that are no character of the locale, control characters, and marks that turn the
 * direction of writing appear as \xNN. Backslashes stay, so it is not reversible. A new string, NULL on ENOMEM. */
char *screen_text(const char *text);

/* The same for a path, and reversible: see text_escape(). */
char *screen_path(const char *path);

/* The columns that a text of screen_text() takes. */
size_t screen_width(const char *text);

/* @text cut to @width columns, with dots at the end if something is missing. A new string, NULL on ENOMEM. */
char *screen_cut(const Screen *screen, const char *text, size_t width);

/* A bar of @width columns that is filled by @percent (at most 100). A new string, NULL on ENOMEM. */
char *screen_bar(const Screen *screen, size_t width, unsigned percent);

/* Prints "Error: " and a sentence, made safe, to stderr. */
void screen_error(const char *format, ...) _printf_(1, 2);

/* The same, and returns @status. */
int screen_fail(int status, const char *format, ...) _printf_(2, 3);
