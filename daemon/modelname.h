/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The names of Models= against paths, as each client names its models. Pure. See choice.h for the forms. */

#include "base.h"
#include "config.h"
#include "manifest.h"

/* True if @model names the entry itself. In an Ollama store those are manifests, in a cache of Hugging Face the directories of repositories, in a plain tree
 * directories and files; what is below or beside them is the caller's. */
bool modelname_matches(LayoutKind kind, const char *model, const Entry *entry);
