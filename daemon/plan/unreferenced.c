/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which of the files that clients have done with nothing on the disk names any more. See plan/unreferenced.h. */

#include "plan/unreferenced.h"

#include "base/strv.h"
#include "layout/layout.h"
#include "layout/references.h"
#include "tree/scan.h"

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* In an Ollama store every file below manifests, also where Ollama would not look: what is not understood protects. */
static bool is_witness(LayoutKind kind, const Entry *entry) {
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

/* Marks what one of them names. */
static int hear(LayoutKind kind, int rootfd, const Manifest *tree, const Entry *entry, char *const *condemned,
                size_t n, bool *named) {
        References references;
        const char *text;
        int r = references_read(kind, rootfd, tree, entry->path, &references, &text);

        for (size_t i = 0; r == 0 && i < references.n; i++) {
                char *const *found = bsearch(&references.items[i].path, condemned, n, sizeof(char *), compare_strings);

                if (found)
                        named[found - condemned] = true;
        }
        if (r == 0)
                reference_list_done(&references);
        return r;
}

static int hear_all(LayoutKind kind, int rootfd, char *const *condemned, size_t n, bool *named, char **reterr_path) {
        ScanOptions options = { .root = "/", .mirror = true }; /* links as they stand, and no name left out */
        _cleanup_(manifest_freep) Manifest *tree = NULL;
        int r = scan_tree(rootfd, &options, &tree);

        if (r < 0)
                return r;
        for (size_t i = 0; i < tree->n_omissions; i++)
                if (tree->omissions[i].reason == OMIT_UNREADABLE || tree->omissions[i].reason == OMIT_CHANGED)
                        return unsure(tree->omissions[i].path, reterr_path);
        for (size_t i = 0; i < tree->n_entries; i++) {
                if (!is_witness(kind, &tree->entries[i]))
                        continue;
                r = hear(kind, rootfd, tree, &tree->entries[i], condemned, n, named);
                if (r == -ENOMEM)
                        return r;
                if (r != 0)
                        return unsure(tree->entries[i].path, reterr_path);
        }
        return 0;
}

int unreferenced_find(LayoutKind kind, int rootfd, char *const *condemned, char ***ret_unneeded, char **reterr_path) {
        size_t n = strv_length(condemned);
        _cleanup_(freep) bool *named = calloc(n + 1, sizeof(bool));
        _cleanup_(strv_freep) char **unneeded = NULL;
        int r = named ? strv_copy(NULL, &unneeded) : -ENOMEM;

        if (r == 0 && n > 0)
                r = hear_all(kind, rootfd, condemned, n, named, reterr_path);
        if (r != 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                char *path;

                if (named[i] || !layout_is_shared(kind, condemned[i]))
                        continue;
                path = strdup(condemned[i]);
                r = path ? strv_take(&unneeded, path) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        *ret_unneeded = TAKE_PTR(unneeded);
        return 0;
}
