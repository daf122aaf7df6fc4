/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a ref of a Hugging Face cache says. See layout/huggingface-ref.h. */

#include "layout/huggingface-ref.h"

#include "base/claim.h"
#include "base/text.h"
#include "layout/layout.h"

#include <ctype.h>

static int add_snapshot(Pointer *pointer, const char *prefix) {
        size_t n = strlen(prefix);
        int r = 0;

        for (size_t i = manifest_seek(pointer->tree, prefix); r == 0 && i < pointer->tree->n_entries; i++) {
                const Entry *e = &pointer->tree->entries[i];

                if (strncmp(e->path, prefix, n) != 0)
                        break;
                if (e->type != ENTRY_DIRECTORY && layout_role(LAYOUT_HUGGINGFACE, e->path) != LAYOUT_UNFINISHED)
                        r = reference_list_add(&pointer->found, strdup(e->path), UINT64_MAX, false);
        }
        if (r == 0 && pointer->found.n == 0)
                return pointer_broken(pointer, "its snapshot is missing");
        return r;
}

int huggingface_ref_read(Pointer *pointer, const char *path) {
        _cleanup_(freep) char *commit = NULL, *prefix = NULL, *list = NULL;
        size_t length;
        int r = pointer_read(pointer, path, &commit, &length), repository = (int) (strchr(path, '/') - path);
        Claim claim;

        if (r != 0)
                return r;
        while (length > 0 && isspace((unsigned char) commit[length - 1]))
                commit[--length] = '\0';
        if (claim_from_hex(CLAIM_GIT_BLOB, commit, length, &claim) < 0)
                return pointer_broken(pointer, "it is not a commit");
        prefix = text_format("%.*s/snapshots/%s/", repository, path, commit);
        list = text_format("%.*s/trees/%s.json", repository, path, commit);
        if (!prefix || !list)
                return -ENOMEM;
        r = add_snapshot(pointer, prefix);
        if (r != 0 || !manifest_find(pointer->tree, list))
                return r;
        return reference_list_add(&pointer->found, TAKE_PTR(list), UINT64_MAX, false);
}
