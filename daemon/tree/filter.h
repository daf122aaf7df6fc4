/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which paths of a source are chosen, and in what order: Include=, Exclude= and Priority=. Pure.
 *
 * A pattern without a slash matches the name of a file or directory at any depth, and a directory that matches
 * selects all below it. A pattern with a slash is matched against the path from the source's root, or any leading
 * directories of it; "*" does not cross a slash. */

#include "base/base.h"

/* True if @pattern selects @path. */
bool filter_matches(const char *pattern, const char *path);

/* True if @path is chosen: nothing of @exclude matches, and @include is empty or something of it matches. Lists end
 * with NULL. */
bool filter_includes(char *const *include, char *const *exclude, const char *path);

/* The index of the first pattern of @priority that matches, or the length of the list: lower is earlier. */
unsigned filter_rank(char *const *priority, const char *path);
