/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a manifest of an Ollama store names: blobs, and through a list of manifests others that are kept among the
 * blobs.
 *
 * Every "digest" in any depth of the JSON counts, as "sha256:<64 hex>" or "sha256-<64 hex>", so that lists of manifests
 * and forms to come are understood; with the "size" beside it. "" is no digest: that model runs elsewhere. Where the
 * "mediaType" beside it is that of a manifest, this is read too, one level down. */

#include "layout/pointer.h"

/* Adds the blobs to .found. 0, POINTER_BROKEN or a negative errno. The entry may be a link to a manifest among the
 * blobs: then .found has that too. */
int ollama_manifest_read(Pointer *pointer, const Entry *entry);
