/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the pointers of a plain tree name (which files are pointers is in layout/plain.c):
 *
 *      *.safetensors.index.json, *.bin.index.json    the shards, as the values of "weight_map"
 *      *-00001-of-NNNNN.gguf                         the other shards, by their names
 *      *.yaml, *.yml at the top (LocalAI)            what follows "model:", "mmproj:", "filename:" and is in the tree
 *      D/.cache/huggingface/download/F.metadata      D/F, the file that "hf download --local-dir" noted */

#include "layout/pointer.h"

/* Adds to .found what the pointer at @path names. 0, POINTER_BROKEN or a negative errno. */
int plain_pointer_read(Pointer *pointer, const char *path);
