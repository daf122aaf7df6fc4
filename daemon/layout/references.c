/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a pointer names: asks the file of its kind. See layout/references.h. */

#include "layout/references.h"

#include "layout/huggingface-ref.h"
#include "layout/layout.h"
#include "layout/ollama-manifest.h"
#include "layout/plain-pointer.h"
#include "layout/pointer.h"

static int read_link(Pointer *pointer, const Entry *link) {
        char *path;
        int r = pointer_resolve(pointer, link, &path);

        return r != 0 ? r : reference_list_add(&pointer->found, path, UINT64_MAX, false);
}

static int read_pointer(LayoutKind kind, Pointer *pointer, const Entry *entry) {
        LayoutRole role = layout_role(kind, entry->path);
        bool in_repository = kind == LAYOUT_HUGGINGFACE && !layout_may_link(kind, entry->path);

        if (kind == LAYOUT_OLLAMA && layout_kind_ollama_manifest(entry->path))
                return ollama_manifest_read(pointer, entry);
        if (role != LAYOUT_POINTER && role != LAYOUT_LINK)
                return 0;
        if (entry->type == ENTRY_SYMLINK)
                return read_link(pointer, entry);
        if (in_repository)
                return role == LAYOUT_POINTER ? huggingface_ref_read(pointer, entry->path) : 0;
        return plain_pointer_read(pointer, entry->path);
}

int references_read(LayoutKind kind, int rootfd, const Manifest *tree, const char *path, References *ret,
                    const char **reterr_text) {
        Pointer pointer = { .rootfd = rootfd, .tree = tree };
        const Entry *entry = manifest_find(tree, path);
        int r;

        if (!entry)
                return -ENOENT;
        r = entry->type == ENTRY_DIRECTORY ? 0 : read_pointer(kind, &pointer, entry);
        if (r == 0 && reference_list_sort(&pointer.found) != 0)
                r = pointer_broken(&pointer, "it gives two sizes for one file");
        if (r != 0) {
                reference_list_done(&pointer.found);
                if (r != POINTER_BROKEN)
                        return r;
                *reterr_text = pointer.text;
                return REFERENCES_BROKEN;
        }
        *ret = pointer.found;
        return 0;
}
