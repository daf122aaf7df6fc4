/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the place that we print to can show: colours, letters, its width; and text that is safe there. */

#include "base/base.h"

typedef enum ScreenColour {
        SCREEN_PLAIN,
        SCREEN_GREEN,  /* as it should be */
        SCREEN_YELLOW, /* on its way, or something is missing that may be */
        SCREEN_RED,    /* somebody should look */
        SCREEN_GREY,   /* of no concern */
        SCREEN_BOLD,
} ScreenColour;

typedef struct Screen {
        bool terminal;
        bool colours;          /* SYSTEMD_COLORS= decides, else NO_COLOR=, else a terminal has them */
        bool unicode;          /* by the locale: main() calls setlocale() */
        unsigned columns, rows; /* of the terminal; 80 x 24 where it does not say */
} Screen;

Screen screen_of(int fd);

/* The sequence that begins a colour, and the one that ends it: "" without colours. Literals. */
const char *screen_colour(const Screen *screen, ScreenColour colour);
const char *screen_end(const Screen *screen);

/* @text so that it can be printed: what is no character of the locale, what moves the cursor, or turns the direction
 * of writing, appears as \xNN. A new string, NULL on ENOMEM. Backslashes stay, see text_escape() for bytes that have
 * to be told apart. */
char *screen_text(const char *text);

/* The same of the bytes of a path: reversible, see text_escape(). */
char *screen_path(const char *path);

/* How many columns of the screen a text of screen_text() takes. */
size_t screen_width(const char *text);

/* As much of @text as fits into @width columns, with dots at the end if that is not all. A new string, NULL on ENOMEM. */
char *screen_cut(const Screen *screen, const char *text, size_t width);

/* A bar of so many columns, into which @percent (at most 100) is drawn. A new string, NULL on ENOMEM. */
char *screen_bar(const Screen *screen, size_t width, unsigned percent);

/* "Error: " and a sentence, on stderr, with what cannot be printed there escaped. */
void screen_error(const char *format, ...) _printf_(1, 2);
