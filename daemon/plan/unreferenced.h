/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which of the files that clients have done with nothing on the disk names any more. Any thread. */

#include "base/base.h"
#include "config/config.h"

/* Mark and sweep: of @condemned (paths of shared files, sorted, NULL-terminated) those that no manifest of the whole
 * tree at @rootfd names (Ollama), or no link of a snapshot leads to (Hugging Face); what is not shared in the layout
 * is never among them. Positive UNREFERENCED_UNSURE, and none, if any manifest there cannot be understood (its path
 * in *reterr_path, a new string). */
enum { UNREFERENCED_UNSURE = 1 };
int unreferenced_find(LayoutKind kind, int rootfd, char *const *condemned, char ***ret_unneeded, char **reterr_path);
