/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Release and stage: what goes from RAM, and what comes. For control/operation.c, see control/operation.h. */

#include "control/operation-work.h"

/* Begin. 0, or -ENOMEM. */
int steerroom_release(Steer *steer, Mirror *mirror);
int steerroom_stage(Steer *steer, Mirror *mirror);
