/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a manifest of an Ollama store names: blobs, and through a list of manifests further ones that are kept among
 * the blobs. */

#include "layout/pointer.h"

/* Adds to .found. 0, POINTER_BROKEN or a negative errno. The entry may be a link to a manifest among the blobs,
 * which is needed as much as what that names. */
int ollama_manifest_read(Pointer *pointer, const Entry *entry);
