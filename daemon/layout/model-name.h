/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The names of models, as each client names them, compared with paths: what Models= takes, and what is shown. Pure;
 * the forms are in layout/models.h. */

#include "base/base.h"
#include "config/config.h"
#include "tree/manifest.h"

/* True if @model names the entry itself: in an Ollama store a manifest, in a cache of Hugging Face the directory of a
 * repository, in a plain tree a directory or a file. The caller adds what is below or beside it. */
bool model_name_matches(LayoutKind kind, const char *model, const Entry *entry);

/* The name of the model that the entry is part of, in the form that Models= takes: from an Ollama manifest
 * ("llama3.1:70b"), from the directory of a repository ("org/name"), and in a plain tree from a model file or shard,
 * its path without extension and number. Positive and a new string; 0 if the entry gives no name; or -ENOMEM. */
int model_name_of(LayoutKind kind, const Entry *entry, char **ret);

/* True if a file of this name makes the directory that it is in one model, in a plain tree: a configuration,
 * safetensors, or the index of shards. */
bool model_name_marks(const char *path);

/* True if @model, as Models= takes it, means the model that is shown as @shown. */
bool model_name_means(LayoutKind kind, const char *model, const char *shown);
