/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Verify: the copies in RAM are read again. For control/operation.c, see control/operation.h. */

#include "control/operation-work.h"

/* Begins. 0 or -ENOMEM. */
int steerverify_begin(Steer *steer, Mirror *mirror);
