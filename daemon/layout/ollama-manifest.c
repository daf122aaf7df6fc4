/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a manifest of an Ollama store names. See layout/ollama-manifest.h. */

#include "layout/ollama-manifest.h"

#include "base/claim.h"
#include "base/text.h"

enum { DEPTH_MAX = 32 };

static int walk(Pointer *pointer, const json_t *json, unsigned depth, bool nested);

/* Reads a manifest that a list of manifests names: it is kept among the blobs. */
static int follow_manifest(Pointer *pointer, const char *path) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r = pointer_read_json(pointer, path, &json);

        if (r == -ENOENT)
                return pointer_broken(pointer, "a manifest that it names is missing");
        if (r == 0)
                r = walk(pointer, json, 0, true);
        return r == POINTER_BROKEN ? pointer_broken(pointer, "a manifest that it names is broken") : r;
}

static bool is_manifest_type(const json_t *type) {
        const char *text = json_input_string(type);

        return text && (strstr(text, "manifest") || strstr(text, "image.index"));
}

static int blob_path(const char *digest, char **ret) {
        Claim claim;

        if (!digest || strncmp(digest, "sha256", 6) != 0 || (digest[6] != ':' && digest[6] != '-') ||
            claim_from_hex(CLAIM_SHA256, digest + 7, strlen(digest + 7), &claim) < 0)
                return -EINVAL;
        *ret = text_format("blobs/sha256-%s", digest + 7);
        return *ret ? 0 : -ENOMEM;
}

static int add_descriptor(Pointer *pointer, const json_t *descriptor, const json_t *digest, bool nested) {
        const json_t *size = json_object_get(descriptor, "size");
        bool manifest = is_manifest_type(json_object_get(descriptor, "mediaType"));
        _cleanup_(freep) char *path = NULL;
        int r;

        if (json_is_null(digest) || (json_is_string(digest) && json_string_length(digest) == 0))
                return 0;
        r = blob_path(json_input_string(digest), &path);
        if (r == -EINVAL)
                return pointer_broken(pointer, "it has an invalid digest");
        if (r < 0)
                return r;
        if (json_is_integer(size) && json_integer_value(size) < 0)
                return pointer_broken(pointer, "it has a negative size");
        if (manifest && nested)
                return pointer_broken(pointer, "its manifests are nested too deeply");
        if (manifest) {
                r = follow_manifest(pointer, path);
                if (r != 0)
                        return r;
        }
        return reference_list_add(&pointer->found, TAKE_PTR(path),
                                  json_is_integer(size) ? (uint64_t) json_integer_value(size) : UINT64_MAX, manifest);
}

static int walk_object(Pointer *pointer, json_t *json, unsigned depth, bool nested) {
        const json_t *digest = json_object_get(json, "digest");
        const char *key;
        json_t *value;
        int r = digest ? add_descriptor(pointer, json, digest, nested) : 0;

        json_object_foreach(json, key, value) {
                if (r != 0)
                        return r;
                r = walk(pointer, value, depth + 1, nested);
        }
        return r;
}

static int walk(Pointer *pointer, const json_t *json, unsigned depth, bool nested) {
        int r = 0;

        if (depth > DEPTH_MAX)
                return pointer_broken(pointer, "it is nested too deeply");
        if (json_is_object(json))
                return walk_object(pointer, (json_t *) json, depth, nested);
        for (size_t i = 0; r == 0 && i < json_array_size(json); i++)
                r = walk(pointer, json_array_get(json, i), depth + 1, nested);
        return r;
}

static int read_manifest(Pointer *pointer, const char *path) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        int r = pointer_read_json(pointer, path, &json);

        if (r != 0)
                return r;
        r = walk(pointer, json, 0, false);
        if (r != 0)
                return r;
        if (!json_object_get(json, "config") && !json_object_get(json, "layers") && pointer->found.n == 0)
                return pointer_broken(pointer, "it is not a manifest");
        return 0;
}

static int read_link(Pointer *pointer, const Entry *entry) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (entry->type == ENTRY_HARDLINK)
                path = strdup(entry->target);
        else {
                r = pointer_resolve(pointer, entry, &path);
                if (r != 0)
                        return r;
        }
        if (!path)
                return -ENOMEM;
        r = read_manifest(pointer, path);
        if (r == -ENOENT)
                return pointer_broken(pointer, "its target is missing");
        return r != 0 ? r : reference_list_add(&pointer->found, TAKE_PTR(path), UINT64_MAX, true);
}

int ollama_manifest_read(Pointer *pointer, const Entry *entry) {
        return entry->type == ENTRY_FILE ? read_manifest(pointer, entry->path) : read_link(pointer, entry);
}
