/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The huggingface layout: the directory HF_HUB_CACHE, also as llama.cpp keeps it. See layout/kind.h.
 *
 *      models--ORG--NAME/blobs/<etag>               content: 64 hex digits SHA-256, 40 a git blob id, else unknown
 *                        snapshots/<commit>/FILE    links to blobs, under the names of the repository
 *                        trees/<commit>.json        what a commit has
 *                        refs/<revision>            the commit
 *      .locks/, tmp.../                             scratch
 *
 * "datasets--" and "spaces--" are the same. */

#include "layout/kind.h"

#include "layout/unfinished.h"

/* What follows the directory of a repository: "" for the directory itself, NULL if the path is not in one. */
static const char *below_repository(const char *path) {
        static const char *const kinds[] = { "models--", "datasets--", "spaces--" };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t n = strlen(kinds[i]);

                if (strncmp(path, kinds[i], n) == 0 && path[n] != '/' && path[n] != '\0') {
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
                        if (layout_kind_below(rest, parts[k]) ||
                            (string_equal(rest, parts[k]) && tree->entries[i].type == ENTRY_DIRECTORY))
                                return true;
        }
        return false;
}

static LayoutRole role_in_repository(const char *rest) {
        const char *blob = layout_kind_below(rest, "blobs"), *snapshot = layout_kind_below(rest, "snapshots");

        if (blob && layout_kind_is_hub_blob(blob, NULL))
                return LAYOUT_CONTENT;
        if (snapshot && strchr(snapshot, '/')) /* names that the repository's owner chose */
                return unfinished_has_name(strchr(snapshot, '/') + 1, UNFINISHED_TOOLS) ? LAYOUT_UNFINISHED : LAYOUT_LINK;
        if (unfinished_has_name(rest, UNFINISHED_ALL) || (blob && unfinished_is_in_hub_blobs(blob)))
                return LAYOUT_UNFINISHED;
        if (layout_kind_below(rest, "refs"))
                return LAYOUT_POINTER;
        return layout_kind_below(rest, "trees") ? LAYOUT_LINK : LAYOUT_CONTENT;
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
        const char *rest = below_repository(path), *blob = rest ? layout_kind_below(rest, "blobs") : NULL;

        return blob && layout_kind_is_hub_blob(blob, ret);
}

/* "hf cache rm" resolves what it removes, from the snapshot on: it would unlink the original. */
static bool may_link(const char *path) {
        return !below_repository(path);
}

/* Revisions of a repository share blobs, and the mirror need not have all of them. */
static bool is_shared(const char *path) {
        const char *rest = below_repository(path);

        return rest && layout_kind_below(rest, "blobs") && role(path) == LAYOUT_CONTENT;
}

/* A revision is one name, however many files it has: its ref, and the directory of its snapshot, for there may be no
 * ref. */
static bool is_counted(const char *path, bool directory) {
        const char *rest = below_repository(path), *snapshot = rest ? layout_kind_below(rest, "snapshots") : NULL;

        if (!rest)
                return !directory && role(path) != LAYOUT_UNFINISHED;
        return directory ? snapshot && !strchr(snapshot, '/') : role(path) == LAYOUT_POINTER;
}

const LayoutType layout_kind_huggingface = {
        .name = "huggingface",
        .recognise = recognise,
        .role = role,
        .claim = claim,
        .may_link = may_link,
        .is_shared = is_shared,
        .is_counted = is_counted,
};
