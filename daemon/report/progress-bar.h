/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The progress bar of a daemon that is run by hand: the last line of the terminal. */

#include "base/base.h"

/* True if stderr is a terminal that can take a bar. */
bool progress_bar_is_possible(void);

/* Draws the bar with @percent and as much of @text as fits; with @bar false, the text alone. Lines of the log step
 * in front of it through progress_bar_clear(), which log_set_before_line() takes. */
void progress_bar_draw(bool bar, unsigned percent, const char *text);
void progress_bar_clear(void);
