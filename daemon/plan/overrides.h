/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What an operator asked for beyond the configuration of a mirror, for as long as the daemon runs: files that were
 * released from RAM, files that are wanted there although they are not selected, safety checks that were overridden.
 * The loop changes it; a scan and the plan run that follows use a copy that does not change. Pure. */

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
        ACCEPT_BYTES, /* the disk's bytes are right, and the digest on record is wrong */
        ACCEPT_NAME,  /* the bytes are right, and the digest that its name states is wrong */
} AcceptKind;

/* A file of the source, as it was when it was accepted. */
typedef struct Acceptance {
        AcceptKind kind;
        char *path;
        uint64_t size, ino;
        int64_t mtime_nsec, ctime_nsec;
} Acceptance;

/* Names that the next scan resolves: see plan/resolve.h. */
typedef struct OverrideRequest {
        uint64_t id;
        char **names; /* NULL-terminated */
} OverrideRequest;

typedef struct Overrides {
        /* files, directories with all below, manifests of Ollama with their blobs; no path is in both */
        PathSet released, wanted;
        Acceptance *acceptances;
        size_t n_acceptances;
        /* of the source, as they were: deletions that were held back and then accepted; NULL for none */
        Manifest *marked_deleted;
        OverrideRequest *requests;
        size_t n_requests;
        uint64_t last_id;
        /* files that the last scan found released; they are in RAM no longer than until its plan run is over */
        PathSet in_effect;
} Overrides;

void overrides_done(Overrides *overrides);

/* A deep copy, without .in_effect, over an empty one. 0 or -ENOMEM: then it is still empty. */
int overrides_copy(const Overrides *from, Overrides *to);

/* The override of the path, or else of the nearest directory above it that has one. */
Override overrides_get(const Overrides *overrides, const char *path);

/* True if something below the directory is wanted. */
bool overrides_stages_below(const Overrides *overrides, const char *directory);

/* Override @path and everything below it; earlier overrides below it are dropped. 0 or -ENOMEM. */
int overrides_release(Overrides *overrides, const char *path);
int overrides_stage(Overrides *overrides, const char *path);
/* Drops the overrides of the path and of everything below it. */
void overrides_forget(Overrides *overrides, const char *path);

/* Accepts a file as it is described by @file. Replaces an acceptance of the same path and kind. 0 or -ENOMEM. */
int overrides_accept(Overrides *overrides, AcceptKind kind, const Acceptance *file);
bool overrides_accepts(const Overrides *overrides, AcceptKind kind, const Entry *source);
void overrides_end_acceptance(Overrides *overrides, const char *path);

/* Has the next scan resolve @names. Returns the number of the request, 0 without memory. */
uint64_t overrides_request(Overrides *overrides, char *const *names);
void overrides_end_request(Overrides *overrides, uint64_t id);

/* A deletion that was held back is to be carried out after all, if @source does not change meanwhile. */
int overrides_mark_deleted(Overrides *overrides, const Entry *source);
/* To be called after the last one. */
void overrides_sort(Overrides *overrides);

/* True if it is marked for deletion on the disk, and has not changed since. */
bool overrides_is_marked_deleted(const Overrides *overrides, const Entry *source);

/* For the status: whether this file is released, and how many are. */
bool overrides_is_released(const Overrides *overrides, const char *path);
size_t overrides_count_released(const Overrides *overrides);
