/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the parts of the way back share. See save/writeback.h. */

#include "save/writeback.h"

/* Gives an item to a saver. When that is over, its outcome is taken in and the next items are started. */
void writeback_attempt(Writeback *writeback, SaveItem *item);

/* Goes on with the queue where it left off, and starts what may start. */
void writeback_start_next(Writeback *writeback);

/* Goes on with the first item of the queue the next time. */
void writeback_start_over(Writeback *writeback);

/* A file that counts as large. */
bool writeback_is_large(const SaveItem *item);
