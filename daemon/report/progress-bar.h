/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The progress bar of a daemon that is run by hand: the last line of the terminal. */

#include "base/base.h"

/* True if stderr is a terminal that can take a bar. */
bool terminal_is_there(void);

/* Draws the bar with @percent and as much of @text as fits; with @bar false, the text alone. Lines of the log step in front of it
 * through terminal_clear(), which log_set_before_line() takes. */
void terminal_draw(bool bar, unsigned percent, const char *text);
void terminal_clear(void);
