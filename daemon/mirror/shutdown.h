/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The end of a mirror: cancel -> the farewell (a last look, and what is not on disk is saved) -> remove what the manifest lists -> detach. A mirror that was lost goes the same
 * way, without the removal, and begins anew. For mirror/mirror.c and mirror/cycle.c. */

#include "mirror/state.h"

/* It ends for a reason, which it takes. NULL: memory. */
void mirrorend_fail(Mirror *m, char *text);

/* When no job of ours is out: with the farewell or without. */
void mirrorend_say_farewell(Mirror *m);
void mirrorend_wind_down(Mirror *m);

/* The look of the farewell has come back. */
void mirrorend_go_on(Mirror *m);

/* Of the writeback. */
void mirrorend_on_saved(void *userdata);
void mirrorend_on_look_wanted(void *userdata);

/* See mirror.h. */
void mirrorend_stop(Mirror *m);
void mirrorend_abandon(Mirror *m);
