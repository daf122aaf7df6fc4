/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The ollama layout: the directory OLLAMA_MODELS. See layout/kind.h.
 *
 *      blobs/sha256-<64 hex>                  content, shared by models; any other name there is unfinished
 *      manifests/HOST/NAMESPACE/MODEL/TAG     what a model is made of: see layout/ollama-manifest.h
 *      ollama-safetensors*                    scratch of "ollama create"
 *
 * Other directories whose names begin with "manifest" are taken for manifests of a future kind. All else is plain. */

#include "layout/kind.h"

#include "layout/unfinished.h"

static bool recognise(const Manifest *tree) {
        bool blobs = false, manifests = false;

        for (size_t i = 0; i < tree->n_entries; i++) {
                const Entry *e = &tree->entries[i];
                const char *blob = layout_kind_inside(e->path, "blobs"),
                           *manifest = layout_kind_inside(e->path, "manifests");

                if (e->type == ENTRY_DIRECTORY) {
                        blobs = blobs || string_equal(e->path, "blobs");
                        manifests = manifests || string_equal(e->path, "manifests");
                } else if ((blob && layout_kind_is_ollama_blob(blob, NULL)) ||
                           (manifest && layout_kind_depth(manifest) == 4))
                        return true;
        }
        return blobs && manifests;
}

const char *layout_kind_ollama_manifest(const char *path) {
        const char *slash = strchr(path, '/');

        return slash && strncmp(path, "manifest", 8) == 0 ? slash + 1 : NULL;
}

static bool has_hidden_part(const char *path) {
        return path[0] == '.' || strstr(path, "/.");
}

static LayoutRole role_of_manifest(const char *path, const char *rest) {
        size_t depth = layout_kind_depth(rest);

        if (has_hidden_part(rest) || unfinished_has_name(rest, UNFINISHED_ALL))
                return LAYOUT_UNFINISHED;
        if (!layout_kind_inside(path, "manifests"))
                return LAYOUT_POINTER;
        if (depth > 4)
                return LAYOUT_UNFINISHED;
        return depth == 4 ? LAYOUT_POINTER : LAYOUT_CONTENT; /* less deep are directories on the way to manifests */
}

static LayoutRole role(const char *path) {
        const char *blob = layout_kind_inside(path, "blobs"), *manifest = layout_kind_ollama_manifest(path);

        if (blob)
                return layout_kind_is_ollama_blob(blob, NULL) ? LAYOUT_CONTENT : LAYOUT_UNFINISHED;
        if (manifest)
                return role_of_manifest(path, manifest);
        if (unfinished_is_in_ollama(path))
                return LAYOUT_UNFINISHED;
        return layout_kind_plain.role(path);
}

static bool claim(const char *path, Claim *ret) {
        const char *blob = layout_kind_inside(path, "blobs");

        return blob && layout_kind_is_ollama_blob(blob, ret);
}

/* Ollama rewrites manifests in place: through a link it would write to the disk. */
static bool may_link(const char *path) {
        return !layout_kind_ollama_manifest(path);
}

static bool is_shared(const char *path) {
        return claim(path, &(Claim){});
}

static bool is_counted(const char *path, bool directory) {
        LayoutRole r = role(path);

        if (directory || layout_kind_inside(path, "blobs"))
                return false;
        return layout_kind_ollama_manifest(path) ? r == LAYOUT_POINTER : r != LAYOUT_UNFINISHED;
}

const LayoutType layout_kind_ollama = { .name = "ollama", .recognise = recognise, .role = role, .claim = claim,
                                        .may_link = may_link, .is_shared = is_shared, .is_counted = is_counted };
