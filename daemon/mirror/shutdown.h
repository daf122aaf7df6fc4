/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The end of a mirror: cancel -> last scan, and what is not on disk is saved -> wait for what runs beside -> remove what
 * the manifest lists -> detach. A mirror whose tmpfs is gone from its place goes the same way, without the removal, and
 * is attached again. Loop thread only. */

#include "mirror/state.h"

/* It ends for a reason, which is taken. NULL: memory. Only while no job of the mirror is out. */
void mirror_shutdown_fail(Mirror *m, char *text);

/* Goes on with the end, where a last scan may make sense. Only while no job of the mirror is out. */
void mirror_shutdown_last_scan(Mirror *m);

/* The last scan has come back. */
void mirror_shutdown_continue(Mirror *m);

/* Callbacks; @userdata is the mirror. Something that runs beside has come to an end; a save found something that is
 * not as the last scan saw it. */
void mirror_shutdown_on_saved(void *userdata);
void mirror_shutdown_on_scan_wanted(void *userdata);

/* See mirror_stop() and mirror_abandon(). */
void mirror_shutdown_stop(Mirror *m);
void mirror_shutdown_abandon(Mirror *m);
