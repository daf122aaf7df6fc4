/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Sync: what is unsaved is saved now. For control/operation.c, see control/operation.h. */

#include "control/operation-work.h"

/* Begins. 0. */
int steersync_begin(Steer *steer, Mirror *mirror);
