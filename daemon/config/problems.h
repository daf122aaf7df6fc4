/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The errors and warnings of a configuration, for the log. */

#include "base/base.h"
#include "config/config.h"

/* One note as a line that begins with file and line number: a new string, NULL on ENOMEM. */
char *config_problems_text(const ConfigNote *note);

/* Logs all errors and warnings. True if the configuration can be used. */
bool config_problems_log(const Config *config);

/* config_load() that logs what went wrong. 0, or a negative errno: -EINVAL if the files have errors. */
int config_problems_load(const char *file, const char *root, Config **ret);
