/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a path means to the client that made it. Pure: names only; what has to be read from files is in
 * layout/references.h and plan/select.h.
 *
 * Three layouts: plain (any tree: llama.cpp, LM Studio, LocalAI, koboldcpp, vLLM folders), ollama (the directory
 * OLLAMA_MODELS) and huggingface (the directory HF_HUB_CACHE). One table of functions each; nobody else knows a
 * client by name. Paths are relative to the root of the tree. LAYOUT_AUTO is never passed in: layout_recognise()
 * first, but for layout_is_unfinished(). */

#include "base/base.h"
#include "base/claim.h"
#include "config/config.h"
#include "layout/kind.h"
#include "tree/manifest.h"

/* The kind of a tree: ollama if it has blobs/ and manifests/ (or one of them with a digest-named blob, or a manifest
 * four levels deep), huggingface if it has "models--*" (datasets--, spaces--) directories with blobs/, refs/ or
 * snapshots/ at the top; else plain. */
LayoutKind layout_recognise(const Manifest *tree);
const char *layout_name(LayoutKind kind);

/* What the entry at a path is, see layoutkind.h. Names do not tell files from directories: of a directory only
 * LAYOUT_UNFINISHED counts (then all below it is unfinished too), whatever else is said of it. */
LayoutRole layout_role(LayoutKind kind, const char *path);

/* True if @path, or a directory that it is in, is unfinished. With LAYOUT_AUTO, before the layout is known: in all
 * of them; what the others leave out is dropped when it is. */
bool layout_is_unfinished(const char *path, LayoutKind kind);

/* The digest that the name states of the content; false if it states none. */
bool layout_claim(LayoutKind kind, const char *path, Claim *ret);

/* True if a symbolic link to the disk original may take the place of this file in the mirror: never for what a
 * client resolves and unlinks (Hugging Face: "hf cache rm" follows the link and deletes what is on disk) or rewrites
 * in place (Ollama's manifests), always a must for Ollama's blobs. */
bool layout_may_link(LayoutKind kind, const char *path);

/* True if deleting it in the mirror says nothing about the disk: blobs that others may share, which go by mark and
 * sweep (see choice.h). */
bool layout_is_shared(LayoutKind kind, const char *path);

/* True if deletions of this path are what the brake counts: pointers where content is shared (and the directory of a
 * snapshot, for Hugging Face makes no ref for a revision that is named by its commit), every file elsewhere. */
bool layout_is_counted(LayoutKind kind, const char *path, bool directory);

/* The name of the set that a file belongs to, which is staged as a whole or not at all: the shards of a split model
 * share one ("llama-00001-of-00004.gguf" -> "llama-*-of-00004.gguf"), any other file is its own. Returns the length
 * of the common beginning within @path and, in *ret_tail, where the common end starts; a set of one has both at the
 * end. */
size_t layout_set(const char *path, const char **ret_tail);

/* True if both paths belong to the same set. */
bool layout_same_set(const char *a, const char *b);
