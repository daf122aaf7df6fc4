/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What one layout is: a table of functions. Each of layout/plain.c, layout/ollama.c and layout/huggingface.c has one;
 * kind.c has what they share. Only layout/layout.c calls the tables; other wings include layout/layout.h. Pure: names
 * only. */

#include "base/base.h"
#include "base/claim.h"
#include "tree/manifest.h"

/* In the order in which they are saved; deletions go the other way. */
typedef enum LayoutRole {
        LAYOUT_CONTENT,
        /* leads to content: snapshots/ of Hugging Face (a regular file there is content and names nothing), trees/ */
        LAYOUT_LINK,
        LAYOUT_POINTER,    /* saved only after all that it names is clean on disk: see layout/references.h */
        LAYOUT_UNFINISHED, /* still being written, a lock or scratch, by its name: neither staged nor saved */
} LayoutRole;

/* See layout/layout.h for what they mean. */
typedef struct LayoutType {
        const char *name;
        bool (*recognise)(const Manifest *tree); /* NULL: what no other recognises */
        LayoutRole (*role)(const char *path);
        bool (*claim)(const char *path, Claim *ret);
        bool (*may_link)(const char *path);
        bool (*is_shared)(const char *path);
        bool (*is_counted)(const char *path, bool directory);
} LayoutType;

extern const LayoutType layout_kind_plain, layout_kind_ollama, layout_kind_huggingface;

/* What of @path follows @directory and its slash; NULL if @path is not inside it, or is the directory itself. */
const char *layout_kind_inside(const char *path, const char *directory);

/* How many parts a path has. */
size_t layout_kind_depth(const char *path);

/* "sha256-" and 64 hex digits of either case, and nothing else. @ret may be NULL, here and below. */
bool layout_kind_is_ollama_blob(const char *name, Claim *ret);
/* 64 hex digits (SHA-256) or 40 (git blob id), and nothing else. */
bool layout_kind_is_hub_blob(const char *name, Claim *ret);

/* What of a path in an Ollama store follows the directory of manifests at its top: "HOST/NAMESPACE/MODEL/TAG" for a
 * manifest. NULL if it is in no such directory. */
const char *layout_kind_ollama_manifest(const char *path);

/* What the directory of a repository begins with in a cache of Hugging Face ("models--ORG--NAME"), and what
 * precedes "ORG/NAME" where its name is shown or given. */
typedef struct LayoutRepository {
        const char *directory, *shown;
} LayoutRepository;

enum { LAYOUT_KIND_REPOSITORIES = 3 };
extern const LayoutRepository layout_kind_repositories[LAYOUT_KIND_REPOSITORIES];

/* Where "hf download --local-dir" notes of each file that it brought which version it is. */
#define LAYOUT_KIND_DOWNLOADS ".cache/huggingface/download/"
