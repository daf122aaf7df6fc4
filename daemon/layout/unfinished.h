/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How an unfinished file is known by its name: the patterns that clients and tools use while they write, and the
 * markers that they put beside a file. All of them are here, with the client that each belongs to; what is unfinished
 * in one layout only (whatever is no digest among Ollama's blobs) is decided in that layout's file. */

#include "base/base.h"
#include "tree/manifest.h"

/* Whose names count. What tools leave behind (rsync, NFS, editors, the daemon of another mirror) is unfinished
 * wherever it is. The names of clients do not count where others chose the names of files: "poetry.lock" in a
 * repository is no lock of the client that downloads it. */
typedef enum UnfinishedNames {
        UNFINISHED_TOOLS,
        UNFINISHED_ALL,
} UnfinishedNames;

/* True if any part of the path is the name of something unfinished, a lock or scratch. Pure. */
bool unfinished_has_name(const char *path, UnfinishedNames names);

/* True for scratch that a client makes in one place of its store only: @path is seen from the top of an Ollama store,
 * from the top of a Hugging Face cache, from "blobs/" of a repository in that. Pure. */
bool unfinished_is_in_ollama(const char *path);
bool unfinished_is_in_hub(const char *path);
bool unfinished_is_in_hub_blobs(const char *path);

/* The endings of markers, NULL-terminated: "X" is unfinished while "X.aria2" is beside it. A marker's own name is
 * unfinished too. */
extern const char *const unfinished_markers[];

/* True if a marker is beside @path in the tree. For a tree that is listed whole, like a mirror; a scan of the source
 * applies the same markers itself (ScanOptions.markers), because it leaves the markers out. */
bool unfinished_is_marked(const Manifest *tree, const char *path);
