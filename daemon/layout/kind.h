/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What one layout is: a table of functions, one in each of layout/plain.c, layout/ollama.c and layout/huggingface.c,
 * and what they share. Only layout/layout.c calls them; everybody else includes layout/layout.h. Pure: names only. */

#include "base/base.h"
#include "base/claim.h"
#include "tree/manifest.h"

/* In the order in which they are saved; deletions go the other way. */
typedef enum LayoutRole {
        LAYOUT_CONTENT,
        /* leads to content: snapshots/ of Hugging Face (a regular file there is content and names nothing), trees/ */
        LAYOUT_LINK,
        LAYOUT_POINTER,    /* saved only after all that it names is clean on disk: see references.h */
        /* its name says that it is still being written, or is a lock or scratch: neither staged nor saved */
        LAYOUT_UNFINISHED,
} LayoutRole;

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

/* What follows "DIRECTORY/" in a path, or NULL if it is not below that. */
const char *layout_kind_below(const char *path, const char *directory);

/* How many parts a path has. */
size_t layout_kind_depth(const char *path);

/* "sha256-" and 64 hex digits of either case, and nothing else. */
bool layout_kind_is_ollama_blob(const char *name, Claim *ret);
/* 64 hex digits (SHA-256) or 40 (git blob id), and nothing else. */
bool layout_kind_is_hub_blob(const char *name, Claim *ret);
