/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a path means to the client that made it. Pure: names only.
 *
 * This is the plain layout: the conventions that hold in any tree. The names are those that the clients' sources use while
 * they write: Hugging Face hub (.incomplete, .sync.part, .locks), llama.cpp (.downloadInProgress), LM Studio (downloading_*,
 * .part), LocalAI (.partial), aria2 (.aria2), browsers (.crdownload), rsync (.NAME.XXXXXX), NFS (.nfs*), editors. */

#include "base.h"

/* True if the name says that the file is still being written, or is a lock: it is never staged. */
bool layout_is_in_progress(const char *path);

/* The name of the set that a file belongs to, which is staged as a whole or not at all: the shards of a split model share
 * one ("llama-00001-of-00004.gguf" -> "llama-*-of-00004.gguf"), any other file is its own. Returns the length of the
 * common beginning within @path and, in *ret_tail, where the common end starts; a set of one has both at the end. */
size_t layout_set(const char *path, const char **ret_tail);

/* True if both paths belong to the same set. */
bool layout_same_set(const char *a, const char *b);
