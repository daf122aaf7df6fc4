/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What an operator wants of one mirror, beyond its configuration, for as long as the daemon runs: what was released
 * from RAM, what is wanted there though nobody chose it, what was accepted past a guard. The loop changes it; a look
 * and the round that follows it go by a copy that does not change. Pure. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "tree/manifest.h"

typedef enum Override {
        OVERRIDE_NONE,     /* as the configuration says */
        OVERRIDE_RELEASED,
        OVERRIDE_STAGED,
} Override;

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
typedef struct OverrideRequest {
        uint64_t id;
        char **names; /* NULL-terminated */
} OverrideRequest;

typedef struct Overrides {
        /* files, directories with all below, manifests of Ollama with their blobs; no path is in both */
        PathSet released, wanted;
        Acceptance *acceptances;
        size_t n_acceptances;
        /* of the source, as they were: deletions that were held back and are wanted all the same; NULL for none */
        Manifest *marked_deleted;
        OverrideRequest *requests;
        size_t n_requests;
        uint64_t last_id;
        /* files, as the last look found them: released, and in RAM no more than until the round is over */
        PathSet in_effect;
} Overrides;

void overrides_done(Overrides *overrides);

/* A deep copy, without .in_effect, over an empty one. 0 or -ENOMEM: then it is still empty. */
int overrides_copy(const Overrides *from, Overrides *to);

/* The nearest of what was said of the path and of the directories above it. */
Override overrides_get(const Overrides *overrides, const char *path);

/* Something below the directory is wanted. */
bool overrides_stages_below(const Overrides *overrides, const char *directory);

/* What is below @path is meant too: what was said of that before is forgotten. 0 or -ENOMEM. */
int overrides_release(Overrides *overrides, const char *path);
int overrides_stage(Overrides *overrides, const char *path);
/* What was said of the path and what is below it is forgotten. */
void overrides_forget(Overrides *overrides, const char *path);

/* Takes over what @source (or what was noted of it) has at the moment. Replaces one of the same path and kind. 0 or
 * -ENOMEM. */
int overrides_accept(Overrides *overrides, AcceptKind kind, const Acceptance *file);
bool overrides_accepts(const Overrides *overrides, AcceptKind kind, const Entry *source);
void overrides_end_acceptance(Overrides *overrides, const char *path);

/* Asks the next look. Returns the number by which the answer is found, 0 without memory. */
uint64_t overrides_request(Overrides *overrides, char *const *names);
void overrides_end_request(Overrides *overrides, uint64_t id);

/* Deletions that were held back are to be carried out after all, if the source still has @source as it is. */
int overrides_mark_deleted(Overrides *overrides, const Entry *source);
/* After the last one. */
void overrides_sort(Overrides *overrides);

/* The disk is to lose it after all, and still has what it had. */
bool overrides_is_marked_deleted(const Overrides *overrides, const Entry *source);

/* For who tells of the mirror: the RAM of this file was freed by an operator, and how many such there are. */
bool overrides_is_released(const Overrides *overrides, const char *path);
size_t overrides_count_released(const Overrides *overrides);
