/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One snapshot of the state -> sentences. Pure. */

#include "base/base.h"

typedef enum MirrorState {
        MIRROR_STARTING, /* source and tmpfs are being opened */
        MIRROR_SCANNING,  /* source and mirror are being read */
        MIRROR_PLANNED,  /* waiting for the word to begin */
        MIRROR_STAGING,
        MIRROR_IDLE,  /* nothing to do */
        MIRROR_SAVING,   /* what is not on disk yet, before it is taken down */
        MIRROR_REMOVING,
        MIRROR_STOPPED,     /* stopped */
        MIRROR_FAILED,   /* stopped by a failure */
} MirrorState;

/* What was staged in one way. */
typedef struct StagedBy {
        const char *method; /* as CopyMethod= has it, a literal; NULL: nothing yet */
        uint64_t files, bytes;
} StagedBy;
enum { STAGED_WAYS = 3 };

/* These only grow, for as long as the mirror is the same object: a failed one that is begun anew counts from zero. */
typedef struct MirrorCounters {
        StagedBy staged[STAGED_WAYS];
        /* bytes that were not those on record or in a name, or differed from what was read */
        uint64_t staging_mismatches;
        uint64_t saved_files, saved_bytes, save_failures; /* failures: attempts that are made again */
        uint64_t deletions;            /* names that are gone from the disk because they went from the mirror */
        uint64_t conflicts;
        uint64_t scrubbed_bytes, scrub_mismatches, scrub_repairs;
} MirrorCounters;

typedef enum SourceState {
        SOURCE_HEALTHY,
        SOURCE_LOST,       /* it is not there, or another filesystem is in its place */
        SOURCE_UNREADABLE, /* something in it cannot be read */
} SourceState;

/* Strings are borrowed from the mirror, for as long as it does not run. */
typedef struct MirrorStatus {
        const char *name;
        const char *source, *target; /* as configured */
        const char *layout;      /* of the tree, "ollama" for example; NULL before it was looked at */
        MirrorState state;
        bool ready;              /* has been complete once */
        bool failing;            /* on its way to MIRROR_FAILED */
        uint64_t files, bytes;   /* in RAM, verified */
        uint64_t todo_bytes, done_bytes; /* of the staging that runs */
        uint64_t seen;           /* entries looked at so far */
        uint64_t life;           /* changes whenever anything moves */
        const char *path;        /* begun last; NULL */
        size_t n_withheld;
        const char *withheld;    /* the sentence of one of them */
        size_t n_unreadable;     /* directories of the source: what is in them is not known */
        const char *unreadable;  /* the sentence of one of them */
        size_t n_skipped;       /* for want of room */
        size_t n_held;           /* changed in the mirror, not in the source, and not to be saved */
        /* in the mirror and not on disk yet; of these, under way; never to be saved as it is */
        size_t n_unsaved, n_saving, n_refused;
        uint64_t unsaved_bytes;
        size_t n_deletions_held; /* names of a wave of deletions that was held back */
        size_t n_conflicts;      /* files that were changed on both sides: of two versions one is kept aside */
        const char *conflict;    /* where, from the source's root; NULL */
        const char *unsaved;     /* a sentence about what is not saved, or held back; NULL */
        bool save_fails;         /* something could not be saved, and is tried again */
        uint64_t scrubbed_bytes; /* read again in the last complete pass; 0: there was none */
        size_t n_repaired, n_damaged; /* files whose bytes in RAM had changed: staged again; still there */
        const char *problem;     /* a sentence: why it is degraded or failed; NULL */
        SourceState source_state;
        size_t n_models;         /* of which everything is in RAM, verified */
        size_t n_linked;         /* files for which a link to the disk stands in the mirror */
        size_t n_released;       /* files whose RAM an operator freed */
        bool saves;              /* WriteBack=yes */
        /* nothing that was reported of the mirror, and nothing that the last look found, is missing on the disk */
        bool all_saved;
        bool watching;           /* every change of the mirror is reported */
        /* when the oldest of what is not on disk was first seen as it is; CLOCK_REALTIME; 0: nothing is */
        uint64_t unsaved_since_usec;
        uint64_t trash_bytes, trash_files; /* what clients deleted or replaced, on disk; UINT64_MAX: not counted yet */
        /* of the filesystem that the mirror is on, as it was asked last; 0: not known */
        uint64_t tmpfs_size, tmpfs_free;
        uint64_t swapped_bytes;  /* of the mirror's pages, on swap; UINT64_MAX: not known */
        uint64_t rate;           /* bytes per second of the staging that runs; 0: not known yet, or none does */
        uint64_t left_usec;      /* until it ends at that rate; 0: not known */
        uint64_t huge_bytes, measured_bytes;   /* in pages of 2 MiB, of those that were looked at */
        uint64_t copied_bytes, direct_bytes;   /* staged by this process; of these, past the source's page cache */
        MirrorCounters counters;
} MirrorStatus;

/* How fast it goes, measured by the caller. */
typedef struct StatusRate {
        uint64_t bytes_per_sec; /* 0: not known yet */
        uint64_t stalled_usec;  /* for how long nothing has moved */
} StatusRate;

/* The line for STATUS= and for the terminal, a new string or NULL on ENOMEM. */
char *mirror_status_line(const MirrorStatus *mirrors, size_t n, const StatusRate *rate);

/* "starting", "scanning", "planned", "staging", "idle", "saving", "removing", "stopped", "failed": a literal, for
 * programs. */
const char *mirror_status_state_name(MirrorState state);
enum { MIRROR_STATES = MIRROR_FAILED + 1 };

/* True if all of them are ready, and nothing is missing. */
bool mirror_status_is_complete(const MirrorStatus *mirrors, size_t n);

/* Percent of the bytes of all mirrors' running stagings. */
unsigned mirror_status_percent(const MirrorStatus *mirrors, size_t n);
