/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which files form which model, by the names that their clients use and Models= takes:
 *
 *      Ollama          "llama3.1:70b", "user/model:latest", "hf.co/user/model:Q4": a manifest and its blobs
 *      Hugging Face    "org/name", "datasets/org/name": the directory of a repository
 *      plain           the path of a directory that holds a configuration, safetensors or their index: all below it;
 *                      elsewhere the path of a model file (.gguf, .safetensors, .bin, .onnx, ...) without its
 *                      extension, or of the shards of a split one without their numbers too
 *
 * A list of names with paths. A path that is a directory stands for all below it. Begins empty; not locked: it
 * belongs to one thread at a time. */

#include "base/base.h"
#include "config/config.h"
#include "tree/manifest.h"

typedef struct Models Models;

int models_new(Models **ret, LayoutKind kind);
Models *models_free(Models *models);
DEFINE_CLEANUP(Models, models_free)

/* Strings are copied. Takes effect after models_sort(). 0 or -ENOMEM. */
int models_add(Models *models, const char *name, const char *path);

/* Adds the models that are known by the names of paths alone: all but those of an Ollama store, which are in its
 * manifests. Leaves out entries of the mirror for which models_is_leaving() is true. @base and @mirror may be NULL
 * for none. */
int models_add_trees(Models *models, const Manifest *source, const Manifest *mirror, const Manifest *base);

/* True if the entry is in the mirror as it is in the base, but not in the source any more: the plan will remove it. */
bool models_is_leaving(const Manifest *base, const Manifest *source, const Entry *mirror);

/* Sorts by name and path, and keeps each pair once. 0 or -ENOMEM. */
int models_sort(Models *models);

size_t models_count(const Models *models);
const char *models_name(const Models *models, size_t index);
size_t models_n_paths(const Models *models, size_t index);
const char *models_path(const Models *models, size_t index, size_t k);

/* The paths of what @name means: of the model that has exactly this name, else of all that it would choose in Models=
 * ("llama3.1" for "llama3.1:latest", globs, letters of either case in an Ollama store). Positive and a NULL-terminated
 * list of new strings, sorted and each once; 0 if there is no such model; or -ENOMEM. */
int models_find(const Models *models, const char *name, char ***ret_paths);
