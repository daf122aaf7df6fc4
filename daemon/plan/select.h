/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Selects what of a scanned source is wanted in RAM, beyond Include= and Exclude=: the models of Models=, by the names
 * that their clients use, and of an Ollama store only what its manifests reference. Reads the manifests of both trees.
 * Any thread.
 *
 * Names. Ollama: "llama3.1:70b", "llama3.1" (means :latest), "user/model:tag", "hf.co/user/model:tag", globs allowed
 * (a glob without a tag means every tag, "*" alone every model), letters of either case. Hugging Face: "org/name" (a
 * model), "datasets/org/name", "spaces/org/name", globs allowed. Plain: "org/name" is a directory or a file at that
 * path, a plain name is a directory or a file at any depth, globs allowed; a file with or without its extension, a
 * split model by the name before "-00001-of-". A file is selected with its whole set, a directory with everything below
 * it, and a symbolic link with what it leads to. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "layout/models.h"
#include "plan/overrides.h"
#include "tree/manifest.h"

typedef struct SelectInput {
        LayoutKind kind;
        char *const *models;      /* NULL-terminated; empty: all */
        int sourcefd, mirrorfd;   /* roots; mirrorfd -1 for none */
        const Manifest *mirror;   /* what is in the mirror; NULL for none */
        const Manifest *base;     /* what has ENTRY_SAVED but not ENTRY_RECORD stays selected: a client saved it */
        /* a client has deleted it in the mirror, and the disk has not followed yet; NULL: nothing */
        bool (*is_deleted)(const char *path, void *userdata);
        void *userdata;
        /* the models of an Ollama store are added: of the mirror, and what the source has beyond that, selected or not;
         * NULL if they are not wanted */
        Models *found;
        const Overrides *overrides; /* of operators; NULL for none */
        PathSet *released;          /* blobs that get ENTRY_DISK_ONLY because of a release are added; or NULL */
} SelectInput;

/* Works on @source in place:
 *
 * - Entries that are not selected are dropped, with directories that nothing selected is below. Of an Ollama store
 * all manifests
 *   stay, and blobs that are not selected get ENTRY_DISK_ONLY: they are links to the disk.
 * - A blob that no manifest references (Hugging Face: no link of a snapshot) gets ENTRY_ORPHAN. The manifests that
 *   count are those of the mirror, and those of the source that the mirror lacks or has broken or in an older version,
 *   unless a client has deleted them. If any manifest cannot be understood, nothing gets ENTRY_ORPHAN but what a
 *   client has deleted.
 * - What the layout calls unfinished is omitted (a scan that does not know the layout yet lists more than that).
 * - If the first name of a file is dropped, the next one becomes the file.
 * - What an operator wants is selected. What was released stays in the list, because the disk has it (see
 *   plan/release.h), and of an Ollama store the blobs that only released models reference get ENTRY_DISK_ONLY.
 *
 * Names of Models= that match nothing go to *ret_unmatched (a NULL-terminated list of new strings, never NULL). */
int select_apply(Manifest *source, const SelectInput *input, char ***ret_unmatched);
