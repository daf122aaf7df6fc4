/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The life of a mirror: attach -> watch -> look -> plan -> fit -> stage -> save the manifest -> watch the mirror ->
 * settled, and again when something has changed. The way back to the disk goes on beside it. For mirror/mirror.c. */

#include "mirror/state.h"

void mirror_cycle_begin(Mirror *m);
/* It is time to look; @userdata is the mirror. */
void mirror_cycle_scan(void *userdata);
/* The disk is as the mirror wants it, and nothing is on its way. */
bool mirror_cycle_may_sweep(void *userdata);
/* For scrub.h: the mirror is at rest; every change of it is reported; something is to be looked at. */
bool mirror_cycle_may_scrub(void *userdata);
bool mirror_cycle_is_watched(void *userdata);
void mirror_cycle_on_unknown_file(void *userdata);
/* The mirror is watched now. */
void mirror_cycle_finish_start(Mirror *m);
/* See mirror.h. */
bool mirror_cycle_fits(Mirror *m);
void mirror_cycle_proceed(Mirror *m);
