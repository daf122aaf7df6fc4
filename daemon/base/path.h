/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Arithmetic with paths: which is below which, and where a link leads. Nothing is read from a filesystem, so symbolic
 * links on the way count as directories. */

#include "base/base.h"

/* True if @path is @directory or below it. Both absolute, or both relative to the same directory; "/" holds every
 * absolute path, "" holds none. */
bool path_is_below(const char *path, const char *directory);

/* The part of @path that follows @directory and its slash, borrowed from @path: "" for the directory itself, NULL if
 * path_is_below() is false. */
const char *path_below(const char *path, const char *directory);

/* For a search in path order, both relative to the same directory: negative if @path comes before what is in
 * @directory, 0 if it is in it, positive if it comes after. */
int path_compare_inside(const char *path, const char *directory);

/* Where the link at @path, with the text @target, leads in the tree at @root: 0 and a path relative to @root without
 * "." and ".." in @ret, or -EXDEV if it leads out. @path is relative to @root. */
int path_resolve_link(const char *root, const char *path, const char *target, char **ret);

/* The text of a relative link at @path that leads to @inside, a result of path_resolve_link(). A copy of the tree needs
 * it in place of an absolute link, which would lead back into the original. 0 or -ENOMEM. */
int path_make_relative(const char *path, const char *inside, char **ret);
