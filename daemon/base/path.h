/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Arithmetic with paths: which is below which, and where a link leads. Pure: nothing is looked up, so symbolic links
 * on the way count as directories. */

#include "base/base.h"

/* True if @path is @directory or below it. Both absolute, or both relative to the same directory; "/" holds every
 * absolute path, "" holds none. */
bool path_is_below(const char *path, const char *directory);

/* What of @path follows @directory and its slash, within @path: "" for the directory itself, NULL if the path is not
 * below it. */
const char *path_below(const char *path, const char *directory);

/* Where the link at @path leads, seen from the top of the tree at @root: 0 and a path without "." and ".." in @ret,
 * or -EXDEV if it leads out. */
int path_resolve_link(const char *root, const char *path, const char *target, char **ret);

/* An absolute link into the tree, as a link relative to the directory that holds it: on the other side it must lead
 * to that side. @inside is what path_resolve_link() gave for it. */
int path_make_relative(const char *path, const char *inside, char **ret);
