/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which of a scanned source is wanted in RAM, beyond Include= and Exclude=: the models of Models=, by the names
 * their client uses, and of an Ollama store only what its manifests reach. Reads the manifests of both trees. Any
 * thread.
 *
 * Names. Ollama: "llama3.1:70b", "llama3.1" (means :latest), "user/model:tag", "hf.co/user/model:tag", globs allowed
 * (a glob without a tag means every tag, "*" alone every model), letters of either case. Hugging Face: "org/name" (a
 * model), "datasets/org/name", "spaces/org/name", globs allowed. Plain: "org/name" is a directory or a file at that
 * path, a plain name is a directory or a file at any depth, globs allowed; a file with or without its extension, a
 * split model by the name before "-00001-of-". The set of a chosen file comes whole, a chosen directory with all
 * that is below it, and a chosen symbolic link with what it leads to. */

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
        /* entries with ENTRY_SAVED (and not ENTRY_RECORD) stay chosen: a client brought them in this boot */
        const Manifest *base;
        /* a client has deleted it in the mirror, which the disk is yet to follow; NULL: nothing */
        bool (*is_deleted)(const char *path, void *userdata);
        void *userdata;
        /* the models of an Ollama store are added, of the mirror and of what the source has beyond that, chosen or
         * not; NULL: nobody asks */
        Models *found;
        const Overrides *overrides;     /* of operators; NULL for none */
        /* out: blobs of Ollama that are ENTRY_DISK_ONLY because they were released; NULL if nobody wants to know */
        PathSet *released;
} SelectInput;

/* Works on @source in place. What is not chosen is dropped from it, with directories that nothing chosen is below;
 * but of an Ollama store all manifests stay, and blobs that are not chosen get ENTRY_DISK_ONLY: a link to the disk
 * stands for them. A blob that no manifest needs (Hugging Face: no link of a snapshot) gets ENTRY_ORPHAN. Needed is
 * what a manifest of the mirror names, or one of the source that the mirror does not have yet, or has broken, or has
 * in an older version, and no client has deleted. If any manifest cannot be understood, nothing is an orphan but
 * what a client has deleted. What the layout calls unfinished is omitted (a scan that does not know the layout yet
 * lists more than that). Of a file whose first name is dropped the next one becomes the file. What an operator wants
 * is chosen; what was released stays in the list, because the disk has it (see releasing.h), and of an Ollama store
 * the blobs that only released models need get ENTRY_DISK_ONLY. A name of Models= that chose nothing is listed in
 * *ret_unmatched (NULL-terminated list of new strings, never NULL; may be empty). */
int select_apply(Manifest *source, const SelectInput *input, char ***ret_unmatched);
