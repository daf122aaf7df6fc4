/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a pointer names: an Ollama manifest its blobs (layout/ollama-manifest.h), a Hugging Face ref its snapshot
 * (layout/huggingface-ref.h), a snapshot link its blob, an index of safetensors or shard 1 of a split model the other
 * shards (layout/plain-pointer.h). Reads the pointer, at most 16 MiB, and only manifests that it lists beside. Any
 * thread; blocking. */

#include "base/base.h"
#include "config/config.h"
#include "layout/reference-list.h"
#include "tree/manifest.h"

/* @rootfd and @tree: the tree that @path is in. 0 and a sorted list, which the caller drops with
 * reference_list_done(); REFERENCES_BROKEN if the content cannot be that of such a file (a manifest that is empty or
 * cut off, a ref that is no commit), with a sentence fragment in *reterr_text, a literal ("it is empty"); or a
 * negative errno: -ENOENT if @path is not in the tree. Directories and files that are no pointers have no references.
 * A pointer that is a symbolic or a hard link names what it leads to as well. */
enum { REFERENCES_BROKEN = 1 };
int references_read(LayoutKind kind, int rootfd, const Manifest *tree, const char *path, References *ret,
                    const char **reterr_text);
