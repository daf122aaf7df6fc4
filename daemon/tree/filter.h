/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which paths of a source are selected, and in what order: Include=, Exclude= and Priority=. Pure.
 *
 * A pattern without a slash matches the name of a file or directory at any depth; a directory that matches selects all
 * below it. A pattern with a slash is matched with the path from the source's root, or with any leading directories of
 * it; "*" does not match a slash there. */

#include "base/base.h"

/* True if @path is selected: no pattern of @exclude matches, and @include is empty or one of its patterns does. Lists
 * end with NULL. */
bool filter_includes(char *const *include, char *const *exclude, const char *path);

/* The index of the first pattern of @priority that matches, or the length of the list. Lower is staged earlier. */
unsigned filter_rank(char *const *priority, const char *path);
