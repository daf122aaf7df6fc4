/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The life of a mirror: attach -> watch -> look -> plan -> fit -> stage -> save the manifest -> watch the mirror ->
 * settled, and again when something has changed. The way back to the disk goes on beside it. For mirror/mirror.c. */

#include "mirror/state.h"

void mirror_lifecycle_begin(Mirror *m);
/* It is time to look; @userdata is the mirror. */
void mirror_lifecycle_scan(void *userdata);
/* The disk is as the mirror wants it, and nothing is on its way. */
bool mirror_lifecycle_may_prune(void *userdata);
/* For scrub.h: the mirror is at rest; every change of it is reported; something is to be looked at. */
bool mirror_lifecycle_may_scrub(void *userdata);
bool mirror_lifecycle_is_watched(void *userdata);
void mirror_lifecycle_on_unknown_file(void *userdata);
/* The mirror is watched now. */
void mirror_lifecycle_finish_start(Mirror *m);
/* See mirror.h. */
bool mirror_lifecycle_fits(Mirror *m);
void mirror_lifecycle_proceed(Mirror *m);
