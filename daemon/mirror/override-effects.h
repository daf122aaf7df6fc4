/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What operators ask for beyond the configuration, held against what a scan found. Loop thread only. */

#include "mirror/state.h"

/* A scan is there: notes which releases are in effect, and drops overrides that are over: a release of what a client
 * has put into the mirror again, and marks for deletion of what is deleted, was changed or is needed. */
void override_effects_note(Mirror *m);
