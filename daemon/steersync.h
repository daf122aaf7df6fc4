/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Sync: what is unsaved is saved now. For steer.c, see steer.h. */

#include "steerwork.h"

/* Begins. 0. */
int steersync_begin(Steer *steer, Mirror *mirror);
