/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The life of a mirror: attach -> watch the source -> scan -> plan -> fit -> stage -> save the manifest -> watch the
 * mirror -> idle, and again when something has changed. Saves go on beside it. Loop thread only. */

#include "mirror/state.h"

/* Submits the job that attaches it. */
void mirror_lifecycle_begin(Mirror *m);

/* The watch on the mirror is decided: the first staging is over. */
void mirror_lifecycle_finish_start(Mirror *m);

/* See mirror_fits() and mirror_proceed(). */
bool mirror_lifecycle_fits(Mirror *m);
void mirror_lifecycle_proceed(Mirror *m);

/* Callbacks of what goes on beside; @userdata is the mirror. */
void mirror_lifecycle_scan(void *userdata);            /* it is time for a scan */
void mirror_lifecycle_want_scan(void *userdata);       /* something is not as the last scan saw it */
bool mirror_lifecycle_may_prune(void *userdata);       /* the disk is as the mirror wants it, and no save is waiting */
bool mirror_lifecycle_may_scrub(void *userdata);       /* nothing else reads or changes the mirror */
bool mirror_lifecycle_is_watched(void *userdata);      /* every change of the mirror is reported */
