/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The huggingface layout: the directory HF_HUB_CACHE, also as llama.cpp keeps it. See layout/kind.h.
 *
 *      models--ORG--NAME/blobs/<etag>               content: 64 hex digits are its SHA-256, 40 its git blob id; other
 *                                                   names state nothing
 *                        snapshots/<commit>/FILE    links to blobs, under the names of the repository
 *                        trees/<commit>.json        the list of files of a commit
 *                        refs/<revision>            the commit: see layout/huggingface-ref.h
 *      .locks/, tmp.../                             locks and scratch
 *
 * "datasets--" and "spaces--" are built in the same way. */

#include "layout/kind.h"

#include "layout/unfinished.h"

/* "models--" is last: its names are shown without a prefix, so every name begins with that. */
const LayoutRepository layout_kind_repositories[LAYOUT_KIND_REPOSITORIES] = {
        { .directory = "datasets--", .shown = "datasets/" },
        { .directory = "spaces--", .shown = "spaces/" },
        { .directory = "models--", .shown = "" },
};

/* What follows the directory of a repository: "" for the directory itself, NULL if the path is not in one. */
static const char *below_repository(const char *path) {
        for (size_t i = 0; i < LAYOUT_KIND_REPOSITORIES; i++) {
                const char *kind = layout_kind_repositories[i].directory;
                size_t n = strlen(kind);

                if (strncmp(path, kind, n) == 0 && path[n] != '/' && path[n] != '\0') {
                        const char *slash = strchrnul(path, '/');

                        return *slash ? slash + 1 : slash;
                }
        }
        return NULL;
}

static bool recognise(const Manifest *tree) {
        static const char *const parts[] = { "blobs", "refs", "snapshots" };

        for (size_t i = 0; i < tree->n_entries; i++) {
                const char *rest = below_repository(tree->entries[i].path);

                for (size_t k = 0; rest && k < ELEMENTSOF(parts); k++)
                        if (layout_kind_inside(rest, parts[k]) ||
                            (string_equal(rest, parts[k]) && tree->entries[i].type == ENTRY_DIRECTORY))
                                return true;
        }
        return false;
}

static LayoutRole role_in_repository(const char *rest) {
        const char *blob = layout_kind_inside(rest, "blobs"), *snapshot = layout_kind_inside(rest, "snapshots");

        if (blob && layout_kind_is_hub_blob(blob, NULL))
                return LAYOUT_CONTENT;
        if (snapshot && strchr(snapshot, '/')) /* the owner of the repository chose these names */
                return unfinished_has_name(strchr(snapshot, '/') + 1, UNFINISHED_TOOLS) ? LAYOUT_UNFINISHED
                                                                                        : LAYOUT_LINK;
        if (unfinished_has_name(rest, UNFINISHED_ALL) || (blob && unfinished_is_in_hub_blobs(blob)))
                return LAYOUT_UNFINISHED;
        if (layout_kind_inside(rest, "refs"))
                return LAYOUT_POINTER;
        return layout_kind_inside(rest, "trees") ? LAYOUT_LINK : LAYOUT_CONTENT;
}

static LayoutRole role(const char *path) {
        const char *rest = below_repository(path);

        if (rest)
                return *rest ? role_in_repository(rest) : LAYOUT_CONTENT;
        if (unfinished_is_in_hub(path))
                return LAYOUT_UNFINISHED;
        return layout_kind_plain.role(path);
}

static bool claim(const char *path, Claim *ret) {
        const char *rest = below_repository(path), *blob = rest ? layout_kind_inside(rest, "blobs") : NULL;

        return blob && layout_kind_is_hub_blob(blob, ret);
}

/* "hf cache rm" follows the links of a snapshot to the end and removes what is there: that would be the original. */
static bool may_link(const char *path) {
        return !below_repository(path);
}

/* Revisions of a repository share blobs, and the mirror may have some of the revisions only. */
static bool is_shared(const char *path) {
        const char *rest = below_repository(path);

        return rest && layout_kind_inside(rest, "blobs") && role(path) == LAYOUT_CONTENT;
}

/* A revision counts once, however many files it has: by its ref, and by the directory of its snapshot, because a
 * revision that is named by its commit has no ref. */
static bool is_counted(const char *path, bool directory) {
        const char *rest = below_repository(path), *snapshot = rest ? layout_kind_inside(rest, "snapshots") : NULL;

        if (!rest)
                return !directory && role(path) != LAYOUT_UNFINISHED;
        return directory ? snapshot && !strchr(snapshot, '/') : role(path) == LAYOUT_POINTER;
}

const LayoutType layout_kind_huggingface = { .name = "huggingface", .recognise = recognise, .role = role,
                                             .claim = claim, .may_link = may_link, .is_shared = is_shared,
                                             .is_counted = is_counted };
