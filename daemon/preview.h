/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* `shmstaged --plan`: what would be staged and whether it fits, by the same arithmetic as the daemon's, without touching anything. */

#include "base.h"
#include "config.h"

/* Prints to @out. Returns the exit status: 0 it fits, 1 it does not or cannot be told. */
int preview_print(const Config *config, const char *state_directory, FILE *out);
