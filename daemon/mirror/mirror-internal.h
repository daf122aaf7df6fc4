/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of mirror.h have for each other: lifecycle.c has the way from attaching to idle and back,
 * shutdown.c the end. Loop thread only. */

#include "mirror/mirror.h"

/* --- lifecycle.c --- */

/* It is time for a scan, the last one if it ends; nothing happens in a phase that allows none. */
void mirror_scan(void *userdata);

/* The watch on the mirror is decided: the first staging is over. */
void mirror_finish_start(Mirror *m);

/* For what goes on beside; @userdata is the mirror. */
bool mirror_may_prune(void *userdata);    /* the disk is as the mirror wants it, and no save is waiting */
bool mirror_may_scrub(void *userdata);    /* nothing else reads or changes the mirror */
bool mirror_is_watched(void *userdata);   /* every change of the mirror is reported */
void mirror_on_outdated(void *userdata);  /* something is not as the last scan saw it */

/* --- shutdown.c --- */

/* It ends for a reason, which is taken. NULL: memory. Only while no job of the mirror is out. */
void mirror_fail(Mirror *m, char *text);

/* Begins the end, with a last scan if that makes sense. Only while no job of the mirror is out. */
void mirror_last_scan(Mirror *m);

/* All that happened in the mirror before its end, or before its removal, has been reported; unless @certain, perhaps
 * not. @userdata is the mirror. */
void mirror_on_synced(bool certain, void *userdata);

/* The last scan has come back. */
void mirror_last_scan_done(Mirror *m);

/* Something that goes on beside has come to an end; @userdata is the mirror. */
void mirror_on_ended(void *userdata);
