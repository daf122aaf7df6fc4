/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Resolves the names that an operator gave to what they stand for in the scanned trees. Reads manifests; any thread. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "plan/overrides.h"
#include "tree/manifest.h"

typedef struct ResolveInput {
        LayoutKind kind;           /* never LAYOUT_AUTO */
        int sourcefd, mirrorfd;    /* roots; mirrorfd -1 for none */
        const Manifest *source;    /* all of it, before the selection */
        const Manifest *mirror;
} ResolveInput;

typedef struct ResolvedNames {
        uint64_t id;        /* of the request */
        char **unknown;     /* names that match nothing; NULL-terminated */
        /* what the names stand for, with the rest of each set and the other names of each file: files, manifests, and
         * directories with everything below */
        PathSet roots;
        /* files and links there, and the blobs that manifests and links of snapshots among them reference */
        PathSet concerned;
        char *busy;         /* one of these that a process has open for writing in the mirror; NULL if none */
} ResolvedNames;

int resolve_names(const OverrideRequest *request, const ResolveInput *input, ResolvedNames *ret);
void resolve_answer_done(ResolvedNames *answer);

/* True if one of the names of a request is the path, or a directory above it. */
bool resolve_has_path(const Overrides *overrides, const char *path);
