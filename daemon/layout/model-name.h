/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The names of models against paths, as each client names them: what Models= takes, and what is shown. Pure. See
 * plan/select.h for the forms. */

#include "base/base.h"
#include "config/config.h"
#include "tree/manifest.h"

/* True if @model names the entry itself. In an Ollama store those are manifests, in a cache of Hugging Face the
 * directories of repositories, in a plain tree directories and files; what is below or beside them is the caller's. */
bool model_name_matches(LayoutKind kind, const char *model, const Entry *entry);

/* The name that the entry gives to a model, such that Models= would take it: that of an Ollama manifest
 * ("llama3.1:70b"), of the directory of a repository ("org/name"), and in a plain tree of a model file or shard, its
 * path without extension and number. Positive and a new string; 0 if it gives none; or -ENOMEM. */
int model_name_of(LayoutKind kind, const Entry *entry, char **ret);

/* True if in a plain tree the directory that @path is in is a model as a whole: a configuration, safetensors, or the
 * index of shards. */
bool model_name_marks(const char *path);

/* True if @model, as Models= takes it, means the one that is shown as @shown. */
bool model_name_means(LayoutKind kind, const char *model, const char *shown);
