/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What there is to say about a configuration, to the log. */

#include "base/base.h"
#include "config/config.h"

/* One of them as a line, with its file: a new string, NULL on ENOMEM. */
char *config_notes_text(const ConfigNote *note);

/* All errors and warnings. Returns true if the configuration can be used. */
bool config_notes_log(const Config *config);

/* Loads as config_load() does and tells what went wrong. 0, or a negative errno: -EINVAL if what the files say
 * cannot be used. */
int config_notes_load(const char *file, const char *root, Config **ret);
