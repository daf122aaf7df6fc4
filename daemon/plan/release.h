/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What of the selected source is to be without RAM because an operator released it. Pure.
 *
 * In the mirror it becomes a link to the disk where that is possible and OnNoRoom=link; else it is absent, with the
 * links and directories that were released with it. Ollama's blobs and manifests are left to plan/select.h. In a cache
 * of Hugging Face a blob is released with the last link of a snapshot that leads to it, and links with their blob. A
 * file with several names is released only if all of them are. */

#include "base/base.h"
#include "base/pathset.h"
#include "plan/overrides.h"
#include "tree/manifest.h"

typedef struct ReleaseInput {
        LayoutKind kind;
        const Overrides *overrides;
        const Manifest *mirror;
        bool link;              /* a link to the disk takes its place */
} ReleaseInput;

/* Gives ENTRY_DISK_ONLY to entries of @source that become links, adds to @absent what is to be absent, and to @released
 * all files that are affected. Both are sorted afterwards. 0 or -ENOMEM. */
int release_apply(Manifest *source, const ReleaseInput *input, PathSet *absent, PathSet *released);
