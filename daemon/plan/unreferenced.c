/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which shared files nothing on the disk references any more. See plan/unreferenced.h. */

#include "plan/unreferenced.h"

#include "base/strv.h"
#include "layout/layout.h"
#include "layout/references.h"
#include "tree/scan.h"

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In an Ollama store every file below a manifests directory, also where Ollama itself reads none, because a doubt must
 * keep blobs from being removed. */
static bool is_pointer(LayoutKind kind, const Entry *entry) {
        if (entry->type == ENTRY_DIRECTORY)
                return false;
        if (kind == LAYOUT_OLLAMA)
                return strncmp(entry->path, "manifest", 8) == 0 && strchr(entry->path, '/');
        return entry->type == ENTRY_SYMLINK && layout_role(kind, entry->path) == LAYOUT_LINK;
}

static int unsure(const char *path, char **reterr_path) {
        char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        *reterr_path = copy;
        return UNREFERENCED_UNSURE;
}

/* Notes what one of them references. */
static int note_references(LayoutKind kind, int rootfd, const Manifest *tree, const Entry *entry, char *const *marked,
                size_t n, bool *referenced) {
        References references;
        const char *text;
        int r = references_read(kind, rootfd, tree, entry->path, &references, &text);

        for (size_t i = 0; r == 0 && i < references.n; i++) {
                char *const *found = bsearch(&references.items[i].path, marked, n, sizeof(char *), compare_strings);

                if (found)
                        referenced[found - marked] = true;
        }
        if (r == 0)
                reference_list_done(&references);
        return r;
}

static int note_all(LayoutKind kind, int rootfd, char *const *marked, size_t n, bool *referenced, char **reterr_path) {
        ScanOptions options = { .root = "/", .mirror = true }; /* links as they are, and no name left out */
        _cleanup_(manifest_freep) Manifest *tree = NULL;
        int r = scan_tree(rootfd, &options, &tree);

        if (r < 0)
                return r;
        for (size_t i = 0; i < tree->n_omissions; i++)
                if (tree->omissions[i].reason == OMIT_UNREADABLE || tree->omissions[i].reason == OMIT_CHANGED)
                        return unsure(tree->omissions[i].path, reterr_path);
        for (size_t i = 0; i < tree->n_entries; i++) {
                if (!is_pointer(kind, &tree->entries[i]))
                        continue;
                r = note_references(kind, rootfd, tree, &tree->entries[i], marked, n, referenced);
                if (r == -ENOMEM)
                        return r;
                if (r != 0)
                        return unsure(tree->entries[i].path, reterr_path);
        }
        return 0;
}

int unreferenced_find(LayoutKind kind, int rootfd, char *const *marked, char ***ret_unreferenced, char **reterr_path) {
        size_t n = strv_length(marked);
        _cleanup_(freep) bool *referenced = calloc(n + 1, sizeof(bool));
        _cleanup_(strv_freep) char **unreferenced = NULL;
        int r = referenced ? strv_copy(NULL, &unreferenced) : -ENOMEM;

        if (r == 0 && n > 0)
                r = note_all(kind, rootfd, marked, n, referenced, reterr_path);
        if (r != 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                char *path;

                if (referenced[i] || !layout_is_shared(kind, marked[i]))
                        continue;
                path = strdup(marked[i]);
                r = path ? strv_take(&unreferenced, path) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        *ret_unreferenced = TAKE_PTR(unreferenced);
        return 0;
}
