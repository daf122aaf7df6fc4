/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The end of a mirror: cancel -> the farewell (a last look, and what is not on disk is saved) -> remove what the
 * manifest lists -> detach. A mirror that was lost goes the same way, without the removal, and begins anew. For
 * mirror/mirror.c and mirror/lifecycle.c. */

#include "mirror/state.h"

/* It ends for a reason, which it takes. NULL: memory. */
void mirror_shutdown_fail(Mirror *m, char *text);

/* When no job of ours is out: with the farewell or without. */
void mirror_shutdown_last_scan(Mirror *m);
void mirror_shutdown_drain(Mirror *m);

/* The look of the farewell has come back. */
void mirror_shutdown_continue(Mirror *m);

/* Of the writeback. */
void mirror_shutdown_on_saved(void *userdata);
void mirror_shutdown_on_scan_wanted(void *userdata);

/* See mirror.h. */
void mirror_shutdown_stop(Mirror *m);
void mirror_shutdown_abandon(Mirror *m);
