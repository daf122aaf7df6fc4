/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Accept: the deliberate way past a guard. For control/operation.c, see control/operation.h. */

#include "control/operation-work.h"

/* Begins. 0; 1 if it has ended already, because there is nothing to accept; or -ENOMEM. */
int steeraccept_begin(Steer *steer, Mirror *mirror);
