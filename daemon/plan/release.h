/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What of a source that was chosen is to be without RAM, because an operator released it. Pure.
 *
 * A link to the disk stands for it where there may be one and OnNoRoom=link wants it; else it is absent from the
 * mirror, with the links and the directories that were released with it. Of Ollama's blobs and manifests
 * plan/select.h has decided. In a cache of Hugging Face a blob goes with the last link of a snapshot that leads to
 * it, and the links go with a blob. Names of one file share one fate: it stays if one of them does. */

#include "base/base.h"
#include "base/pathset.h"
#include "plan/overrides.h"
#include "tree/manifest.h"

typedef struct ReleaseInput {
        LayoutKind kind;
        const Overrides *overrides;
        const Manifest *mirror;
        bool link;              /* a link is to stand for it */
} ReleaseInput;

/* Gives ENTRY_DISK_ONLY to entries of @source that a link is to stand for, lists in @absent what is to be absent,
 * and adds to @released all files that it is about. Both are sorted afterwards. 0 or -ENOMEM. */
int release_apply(Manifest *source, const ReleaseInput *input, PathSet *absent, PathSet *released);
