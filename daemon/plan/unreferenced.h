/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which shared files that are marked for deletion nothing on the disk references any more. Any thread. */

#include "base/base.h"
#include "config/config.h"

/* Mark and sweep: those of @marked (paths of shared files, sorted, NULL-terminated) that no manifest of the whole
 * tree at @rootfd references (Ollama), or no link of a snapshot leads to (Hugging Face). Files that the layout does
 * not share are never among them. Positive UNREFERENCED_UNSURE, and none, if any manifest there cannot be
 * understood: its path is in *reterr_path, a new string. */
enum { UNREFERENCED_UNSURE = 1 };
int unreferenced_find(LayoutKind kind, int rootfd, char *const *marked, char ***ret_unreferenced, char **reterr_path);
