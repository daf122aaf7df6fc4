/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a pointer names: an Ollama manifest its blobs, a Hugging Face ref its snapshot, a snapshot link its blob, an
 * index of safetensors or shard 1 of a split model the other shards. Reads the pointer itself, at most 16 MiB, and
 * nothing else but what it must. Any thread. */

#include "base/base.h"
#include "config/config.h"
#include "layout/reference-list.h"
#include "tree/manifest.h"

/* @rootfd and @tree: the tree that @path is in (for a mirror, the mirror). 0 and a sorted list, which the caller
 * drops with reference_list_done(); REFERENCES_BROKEN if the content cannot be what its place says (an empty or cut
 * off manifest, a ref that is no commit), with a sentence fragment in *reterr_text, a literal ("it is empty", "it is
 * not JSON"); or a negative errno. Something that no rule knows has no references, and neither has a directory.
 * Ollama: every "sha256[:-]<64 hex>" that the JSON has as a "digest" in any depth (so that lists of manifests and
 * layouts to come are understood), with the "size" beside it; "" is no digest; descriptors whose mediaType says
 * manifest are followed one level down, in @tree. Hugging Face refs: everything below snapshots/<commit>/ in @tree;
 * REFERENCES_BROKEN "its snapshot is not there" where there is none. A pointer that is a symbolic or a hard link
 * names what it leads to as well. */
enum { REFERENCES_BROKEN = 1 };
int references_read(LayoutKind kind, int rootfd, const Manifest *tree, const char *path, References *ret,
                    const char **reterr_text);
