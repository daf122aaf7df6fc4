/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a worker does for one item of a plan, and what came of it. Blocking; knows neither jobs nor the event loop. */

#include "base/base.h"
#include "plan/plan.h"
#include "stage/copy.h"
#include "stage/mirror-private-dir.h"

typedef enum TaskOutcome {
        TASK_AGREED,    /* the mirror now has what the source has: .entry is to be recorded */
        TASK_REMOVED,   /* removed from the mirror */
        TASK_COMPARED,  /* bytes were compared, and are not the same: .entry says what was found, for the next plan */
        TASK_CHANGED,   /* the source kept changing while it was copied */
        TASK_GONE,      /* the source was removed, or is no file any more: the next scan finds out what it is */
        TASK_CORRUPT,   /* size and mtime of the source are those on record, its bytes are not: .expected and .found */
        TASK_GARBLED,   /* what was read and what is in RAM differ, repeatedly: .expected and .found */
        TASK_MISNAMED,  /* its name states another digest: .claimed and .claim_found */
        /* the copy has other bytes than the source (when it is adopted) or than were staged (when it is released or
         * replaced by a link), at the same size and mtime: .expected and .found */
        TASK_DIFFERS,
        TASK_NO_ROOM,   /* the tmpfs had no space for it after all */
        TASK_OCCUPIED,  /* something unexpected is at the path in the mirror, and was left alone */
        TASK_BUSY,      /* a process has the file in the mirror open or mapped for writing, and it was left alone */
        TASK_FAILED,    /* .error and .what */
        TASK_CANCELLED,
} TaskOutcome;

/* What the tasks of a plan have in common. All is borrowed. */
typedef struct TaskContext {
        int sourcefd;                /* the root of the source */
        LayoutKind layout;           /* in which names may state digests; LAYOUT_AUTO: they do not */
        const char *source_path;     /* absolute */
        MirrorPrivateDir *private_dir;
        CopyMethod copy_method;      /* as configured */
        DirectioRefusals *refusals;  /* of the mirror; may be NULL */
        const Overrides *overrides;  /* checks that an operator has overridden; NULL for none */
        bool mirror_watched;         /* no write to the mirror is unreported: a ctime that moved alone means nothing */
        bool ending;                 /* all writes up to now were reported, not only those up to the scan */
        uint64_t chunk_size;         /* bytes */
        int journalfd;               /* outcomes are written there at once; -1 for none */
        RateLimit *limit;            /* of what is read from the source; may be NULL */
        const atomic_bool *cancel;
        atomic_uint_fast64_t *progress; /* bytes copied */
        atomic_uint_fast64_t *steps; /* items, and bytes that were only read: any sign of progress */
} TaskContext;

typedef struct Task {
        const TaskContext *context;
        const PlanItem *item;
        Entry current;        /* the source, read again if it has changed; strings borrowed from the plan */
        Copy *copy;           /* owned; from task_open() to task_close() */
        bool finish;          /* a directory that is complete: only its attributes are set */
        unsigned attempt;
        bool read_again;      /* see CopyOptions */
        int outgoing;         /* the file in the mirror that is to go, observed since before it was read; -1: not */

        /* results */
        TaskOutcome outcome;
        Entry entry;          /* of TASK_AGREED; strings borrowed from the plan */
        int error;            /* of TASK_FAILED, an errno value */
        const char *what;     /* the step that failed, a verb that takes the path; a literal */
        uint64_t offset;      /* where in the file */
        Digest expected, found;
        bool proven;          /* the copy was read, and has the base's bytes */
        bool own_copy;        /* TASK_AGREED: a client has put the file into the mirror, not we */
        Claim claimed, claim_found;
        uint64_t huge_bytes, measured_bytes;  /* in pages of 2 MiB, of those that were measured */
        CopyMethod method;    /* by which it was copied; COPY_METHOD_AUTO: it was not */
        uint64_t copied_bytes, direct_bytes;  /* of those, read past the source's page cache */
        bool xattrs_lost;     /* the tmpfs supports no user xattrs */
} Task;

void task_init(Task *task, const TaskContext *context, const PlanItem *item);
void task_done(Task *task);

/* Does everything for one item, on one worker. */
void task_run(Task *task);

/* The same for a large file in three steps, between which several workers can call copy_work(). task_open() returns
 * false if the task is over already; task_close() returns true if all three have to be done once more. */
bool task_is_large(const Task *task);
bool task_open(Task *task);
bool task_close(Task *task);
