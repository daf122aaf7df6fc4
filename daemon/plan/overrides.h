/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What an operator wants of one mirror, beyond its configuration, for as long as the daemon runs: what was released from RAM, what is wanted there though nobody chose it,
 * what was accepted past a guard. The loop changes it; a look and the round that follows it go by a copy that does not change. Pure. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "tree/manifest.h"

typedef enum Wish {
        WISH_NONE,     /* as the configuration says */
        WISH_RELEASED,
        WISH_WANTED,
} Wish;

typedef enum AcceptKind {
        ACCEPT_BYTES, /* the record of its digest is wrong, the disk's bytes are right */
        ACCEPT_NAME,  /* the digest that its name states is wrong */
} AcceptKind;

/* A file of the source, as it was when it was accepted. */
typedef struct Acceptance {
        AcceptKind kind;
        char *path;
        uint64_t size, ino;
        int64_t mtime_nsec, ctime_nsec;
} Acceptance;

/* Names to be looked up by the next look: see choice.h. */
typedef struct WishRequest {
        uint64_t id;
        char **names; /* NULL-terminated */
} WishRequest;

typedef struct Wishes {
        PathSet released, wanted; /* files, directories with all below, manifests of Ollama with their blobs; no path is in both */
        Acceptance *acceptances;
        size_t n_acceptances;
        Manifest *doomed;         /* of the source, as they were: deletions that were held back and are wanted all the same; NULL for none */
        WishRequest *requests;
        size_t n_requests;
        uint64_t last_id;
        PathSet in_effect;        /* files, as the last look found them: released, and in RAM no more than until the round is over */
} Wishes;

void wishes_done(Wishes *wishes);

/* A deep copy, without .in_effect, over an empty one. 0 or -ENOMEM: then it is still empty. */
int wishes_copy(const Wishes *from, Wishes *to);

/* The nearest of what was said of the path and of the directories above it. */
Wish wishes_of(const Wishes *wishes, const char *path);

/* Something below the directory is wanted. */
bool wishes_want_below(const Wishes *wishes, const char *directory);

/* What is below @path is meant too: what was said of that before is forgotten. 0 or -ENOMEM. */
int wishes_release(Wishes *wishes, const char *path);
int wishes_want(Wishes *wishes, const char *path);
/* What was said of the path and what is below it is forgotten. */
void wishes_forget(Wishes *wishes, const char *path);

/* Takes over what @source (or what was noted of it) has at the moment. Replaces one of the same path and kind. 0 or -ENOMEM. */
int wishes_accept(Wishes *wishes, AcceptKind kind, const Acceptance *file);
bool wishes_accepts(const Wishes *wishes, AcceptKind kind, const Entry *source);
void wishes_end_acceptance(Wishes *wishes, const char *path);

/* Asks the next look. Returns the number by which the answer is found, 0 without memory. */
uint64_t wishes_request(Wishes *wishes, char *const *names);
void wishes_end_request(Wishes *wishes, uint64_t id);

/* Deletions that were held back are to be carried out after all, if the source still has @source as it is. */
int wishes_doom(Wishes *wishes, const Entry *source);
/* After the last one. */
void wishes_sort(Wishes *wishes);

/* The disk is to lose it after all, and still has what it had. */
bool wishes_is_doomed(const Wishes *wishes, const Entry *source);

/* For who tells of the mirror: the RAM of this file was freed by an operator, and how many such there are. */
bool wishes_is_released(const Wishes *wishes, const char *path);
size_t wishes_n_released(const Wishes *wishes);
