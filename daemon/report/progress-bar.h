/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The progress bar of a daemon that is run by hand: the last line of the terminal. Loop thread, except for
 * progress_bar_clear(). */

#include "base/base.h"

/* True if stderr is a terminal that can redraw a line. */
bool progress_bar_is_possible(void);

/* Draws a bar of @percent, unless @bar is false, and as much of @text as fits beside it. */
void progress_bar_draw(bool bar, unsigned percent, const char *text);
/* Clears that line, if there is one, so that something else can be printed: for log_set_before_line(). Any thread. */
void progress_bar_clear(void);
