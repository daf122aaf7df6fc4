/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a worker does for one item of a plan, step by step, and what came of it. Blocking; knows no jobs and no loop. */

#include "base/base.h"
#include "plan/plan.h"
#include "stage/copy.h"
#include "stage/mirror-private-dir.h"

typedef enum TaskOutcome {
        TASK_AGREED,     /* the mirror now has what the source has: .entry is to be recorded */
        TASK_REMOVED,    /* gone from the mirror */
        TASK_CHANGED,    /* the source kept changing while it was copied */
        TASK_GONE,       /* the source was removed or is no file any more: the next look will say what is wanted */
        TASK_CORRUPT,    /* the source's size and mtime are as on record, its bytes are not: .expected and .found */
        TASK_GARBLED,    /* what was read and what is in RAM differ, time and again: .expected and .found */
        TASK_MISNAMED,   /* its name states another digest of it: .claimed and .claim_found */
        /* same size and mtime on both sides, other bytes in the mirror: .expected and .found. Adoption; and what was
         * to be released, or to give way to a link */
        TASK_DIFFERS,
        TASK_NO_ROOM,    /* the tmpfs had no room for it after all */
        TASK_OCCUPIED,   /* something unexpected stands at the path in the mirror; it was left alone */
        TASK_FAILED,     /* .error and .what */
        TASK_CANCELLED,
} TaskOutcome;

typedef struct TaskContext {
        int sourcefd;            /* root of the source */
        LayoutKind layout;       /* whose names state digests; LAYOUT_AUTO: none do */
        const char *source_path; /* absolute */
        MirrorPrivateDir *private_dir;
        CopyMethod copy_method;
        DirectioRefusals *refusals; /* of the mirror's sources; may be NULL */
        const Overrides *overrides;    /* what of the source was accepted past a guard; NULL for nothing */
        uint64_t chunk_size;
        int journalfd;           /* what is agreed is written there at once; -1 for none */
        RateLimit *limit;        /* of what is read from the source; borrowed, may be NULL */
        const atomic_bool *cancel;
        atomic_uint_fast64_t *progress; /* bytes */
        atomic_uint_fast64_t *steps;    /* items and bytes looked at: anything that shows life */
} TaskContext;

typedef struct Task {
        const TaskContext *context;
        const PlanItem *item;
        Entry current;        /* the source's entry; looked at anew after a change. Strings borrowed */
        Copy *copy;
        bool finish;          /* a directory that is complete: only its attributes are set */
        unsigned attempt;
        bool read_again;
        /* results */
        TaskOutcome outcome;
        Entry entry;          /* if agreed; strings borrowed from the plan's manifests */
        int error;            /* errno, positive */
        const char *what;     /* the step that failed, a literal */
        uint64_t offset;      /* where in the file */
        Digest expected, found;
        Claim claimed, claim_found;
        uint64_t huge_bytes, measured_bytes; /* in pages of 2 MiB, of those that were looked at */
        CopyMethod method;    /* how it was copied; COPY_METHOD_AUTO: it was not */
        uint64_t copied_bytes, direct_bytes;  /* of those, past the source's page cache */
        bool xattrs_lost;
        /* the mirror's bytes are somebody's work, behind a size and time that are unchanged: .item->mirror */
        bool altered;
} Task;

void task_init(Task *task, const TaskContext *context, const PlanItem *item);
void task_done(Task *task);

/* Everything for one item, on one worker. */
void task_run(Task *task);

/* The same for a large file, in three steps, so that several workers can share the second. task_open() returns false
 * if the task is over (look at .outcome). task_close() returns true if all must be done once more. */
bool task_is_large(const Task *task);
bool task_open(Task *task);
bool task_close(Task *task);
