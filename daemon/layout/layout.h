/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a path means to the client that made it. Pure: names only; what has to be read from files is in
 * layout/references.h and plan/select.h.
 *
 * Three layouts: plain (any tree: llama.cpp, LM Studio, LocalAI, koboldcpp, vLLM folders), ollama (the directory
 * OLLAMA_MODELS) and huggingface (the directory HF_HUB_CACHE). Each is a table of functions in a file of its own; no
 * other wing knows a client by name. Paths are relative to the root of the tree. LAYOUT_AUTO may only be passed to
 * layout_is_unfinished(): call layout_recognise() before the others. */

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

/* What the entry at a path is, see layout/kind.h. A name does not say whether it is a file or a directory: of a
 * directory only LAYOUT_UNFINISHED means something (then all below it is unfinished too). */
LayoutRole layout_role(LayoutKind kind, const char *path);

/* True if @path, or a directory that it is in, is unfinished. With LAYOUT_AUTO, before the layout is known: only if it
 * is in every layout; what the recognised one leaves out beyond that is dropped later, see plan/select.h. */
bool layout_is_unfinished(const char *path, LayoutKind kind);

/* The digest that the name states of the content; false if it states none. */
bool layout_claim(LayoutKind kind, const char *path, Claim *ret);

/* True if a symbolic link to the disk original may take the place of this file in the mirror. Never for what a client
 * resolves and unlinks (Hugging Face: "hf cache rm" follows the link and deletes what is on disk) or rewrites in place
 * (Ollama's manifests). */
bool layout_may_link(LayoutKind kind, const char *path);

/* True if deleting it in the mirror says nothing about the disk: a blob that several models may share, which leaves the
 * disk when no model names it any more (see plan/unreferenced.h). */
bool layout_is_shared(LayoutKind kind, const char *path);

/* True if the mass-deletion guard counts a deletion of this path: pointers where content is shared (and the directory
 * of a snapshot, because Hugging Face makes no ref for a revision named by its commit), every file elsewhere. */
bool layout_is_counted(LayoutKind kind, const char *path, bool directory);

/* The set that a file belongs to, which is staged as a whole or not at all: the shards of a split model are one
 * ("llama-00001-of-00004.gguf" -> "llama-*-of-00004.gguf"), any other file is a set of its own. Returns the length of
 * the beginning of @path that all have and, in *ret_tail, where the end that all have starts; for a set of one, both
 * are the end of @path. */
size_t layout_set(const char *path, const char **ret_tail);

/* True if both paths belong to the same set. */
bool layout_same_set(const char *a, const char *b);
