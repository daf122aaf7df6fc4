/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of a mirror at one moment (MirrorStatus, with the states that it can be in), and the one line about all
 * mirrors that `systemctl status` shows. D-Bus, metrics and that line are made from the same snapshot. Pure. */

#include "base/base.h"

typedef enum MirrorState {
        MIRROR_STARTING, /* source and tmpfs are being opened */
        MIRROR_SCANNING, /* source and mirror are being read */
        MIRROR_PLANNED,  /* waits until it may begin, because what fits is decided for all mirrors at once */
        MIRROR_STAGING,  /* the plan is being carried out */
        MIRROR_IDLE,     /* nothing to do */
        MIRROR_SAVING,   /* a stop saves what is not on disk yet */
        MIRROR_REMOVING, /* a stop removes the mirror */
        MIRROR_STOPPED,
        MIRROR_FAILED,   /* stopped by a failure */
} MirrorState;
enum { MIRROR_STATES = MIRROR_FAILED + 1 };

/* "starting", "scanning", "planned", "staging", "idle", "saving", "removing", "stopped", "failed": a literal, as it is
 * on D-Bus and in the metrics. */
const char *mirror_status_state_name(MirrorState state);

typedef enum SourceState {
        SOURCE_HEALTHY,
        SOURCE_LOST,       /* it is gone, or another filesystem is in its place */
        SOURCE_UNREADABLE, /* something in it cannot be read */
} SourceState;

/* Files that one of the copy methods staged. */
typedef struct StagedBy {
        const char *method; /* copy_method_name(), a literal; NULL: slot not in use */
        uint64_t files, bytes;
} StagedBy;
enum { STAGED_WAYS = 3 };

/* These only grow for as long as the mirror is the same object; one that is started again after a failure begins at
 * zero. */
typedef struct MirrorCounters {
        StagedBy staged[STAGED_WAYS];
        /* files whose bytes were not those on record or in their name, or not those that had been read */
        uint64_t staging_mismatches;
        uint64_t saved_files, saved_bytes;
        uint64_t save_failures; /* attempts; each is repeated */
        uint64_t deletions;     /* names removed from the disk because they were deleted in the mirror */
        uint64_t conflicts;     /* versions put into conflicts/ */
        uint64_t scrubbed_bytes, scrub_mismatches, scrub_repairs;
} MirrorCounters;

/* Sentences are those of report/explain.h and are about the first of several. Strings are borrowed from the mirror,
 * until it runs next. */
typedef struct MirrorStatus {
        const char *name;
        const char *source, *target; /* as configured */
        const char *layout;          /* of the tree, "ollama" for example; NULL before the first scan */
        MirrorState state;
        bool ready;                  /* has been complete once */
        bool failing;                /* on its way to MIRROR_FAILED */
        const char *problem;         /* a sentence: why it is degraded or failed; NULL */
        SourceState source_state;
        bool watching;               /* every change in the mirror is reported by the kernel */

        /* progress */
        uint64_t todo_bytes, done_bytes; /* of the plan that is being staged */
        uint64_t rate;               /* bytes per second of it; 0: not known yet, or nothing is staged */
        uint64_t left_usec;          /* until it ends at that rate; 0: not known */
        uint64_t seen;               /* entries scanned so far */
        uint64_t life;               /* changes whenever anything makes progress */
        const char *path;            /* begun last; NULL */

        /* in RAM */
        uint64_t files, bytes;       /* verified */
        size_t n_models;             /* of which everything is */
        size_t n_linked;             /* files that are links to the disk in the mirror */
        size_t n_released;           /* files whose RAM an operator freed */
        size_t n_skipped;            /* files for which there is no space, linked or left out */
        size_t n_withheld;           /* files that could not be verified */
        const char *withheld;        /* a sentence; NULL */
        size_t n_unreadable;         /* directories and files of the source that cannot be read */
        const char *unreadable;      /* a sentence; NULL */
        uint64_t tmpfs_size, tmpfs_free; /* of the filesystem that the mirror is on, bytes; 0: not known */
        uint64_t swapped_bytes;      /* of the mirror's pages, on swap; UINT64_MAX: not known */
        uint64_t huge_bytes, measured_bytes; /* in pages of 2 MiB, of those that were measured */
        uint64_t copied_bytes, direct_bytes; /* staged by this process; of these, past the source's page cache */
        uint64_t scrubbed_bytes;     /* read again in the last complete pass; 0: there was none */
        size_t n_repaired, n_damaged; /* files whose bytes in RAM had changed: staged again; not yet */

        /* to the disk */
        bool saves;                  /* WriteBack=yes */
        bool all_saved;              /* no change in the mirror that is known is missing on the disk */
        size_t n_held;               /* changed in the mirror only, and not to be saved (WriteBack=no) */
        size_t n_unsaved, n_saving;  /* changes that are not on disk yet; of these, being written */
        uint64_t unsaved_bytes;
        uint64_t unsaved_since_usec; /* when the oldest of them was first seen; CLOCK_REALTIME; 0: there is none */
        size_t n_refused;            /* rejected: in the mirror, and never saved as it is */
        bool save_fails;             /* something could not be saved, and is tried again */
        const char *unsaved;         /* a sentence about what is not saved, or held back; NULL */
        size_t n_deletions_held;     /* names that the mass-deletion guard has held back */
        size_t n_conflicts;          /* versions kept aside in conflicts/ that no operator has acknowledged */
        const char *conflict;        /* the last of them, from the source's root; NULL */
        uint64_t trash_bytes, trash_files; /* deleted or replaced by clients, on disk; UINT64_MAX: not counted yet */

        MirrorCounters counters;
} MirrorStatus;

/* Measured by the caller, from one snapshot to the next. */
typedef struct StatusRate {
        uint64_t bytes_per_sec; /* 0: not known yet */
        uint64_t stalled_usec;  /* since the last progress */
} StatusRate;

/* The line for STATUS= and for the terminal: a new string, NULL on ENOMEM. */
char *mirror_status_line(const MirrorStatus *mirrors, size_t n, const StatusRate *rate);

/* True if all of them are ready, and nothing is missing or failing. */
bool mirror_status_is_complete(const MirrorStatus *mirrors, size_t n);

/* How much of what all mirrors stage now is staged, 0 to 100. */
unsigned mirror_status_percent(const MirrorStatus *mirrors, size_t n);
