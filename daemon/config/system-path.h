/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Directories that belong to the system, so that no tmpfs may be mounted there: what they have would be hidden. By name
 * only, because the generator runs when the filesystems are not mounted yet. Pure. */

#include "base/base.h"

/* True for such a directory itself, and for what is below those that only the system has files in. @path is absolute,
 * without "..", a trailing slash or double slashes. */
bool system_path_is_reserved(const char *path);
