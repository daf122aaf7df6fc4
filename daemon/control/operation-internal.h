/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* An operation under way: what control/operation.c (its life, whatever its kind) and the files operation-KIND.c (what
 * it does) share. Loop thread only. */

#include "base/base.h"
#include "control/operation.h"
#include "mirror/state.h"

typedef struct Recheck Recheck; /* see control/operation-verify.c */

typedef enum OperationPhase {
        OPERATION_REQUESTED, /* the next scan resolves the names */
        OPERATION_APPLIED,   /* the overrides are changed; the next scan plans with them */
        OPERATION_PLANNED,   /* the plan is being carried out */
        OPERATION_DUE,       /* it begins when what was done before has been reported */
        OPERATION_ENDED,
} OperationPhase;

struct Operation {
        MirrorListener listener;   /* first; in the mirror's list until the operation ends */
        Mirror *mirror;            /* NULL once the operation has ended */
        void (*on_event)(Operation *operation, Mirror *mirror, MirrorEvent event); /* not MIRROR_BLIND, _ENDS, _FREED */
        OperationPhase phase;
        bool failed;
        bool shows_staging;        /* its progress is that of the mirror's staging */
        bool detached;             /* its owner has freed it: it frees itself when it ends */
        char **names;
        char *who;
        char **report;             /* ends with NULL */
        size_t n_report;
        uint64_t done, total;
        uint64_t request;          /* ID of its first request for names; 0: none */
        size_t n_requests;         /* the IDs of further ones follow it */
        PathSet roots, concerned;  /* what the names stand for: see ResolvedNames */
        size_t n_logged;
        unsigned n_tries;
        bool waiting;              /* stage, accept: the plan waits for a file to settle; another scan follows */
        /* stage: those of .roots that were released before */
        PathSet were_released;
        /* accept: deletions that are to be carried out; accept, sync: files that are to be saved */
        PathSet deletions, saves;
        bool needs_scan;           /* accept: the deletions are made in several steps, with a scan after each */
        bool deletions_done;       /* accept */
        Recheck *recheck;          /* verify: the job that reads; NULL: none */
};

/* Adds a sentence, without a full stop, to the report. */
void control_operation_report(Operation *operation, const char *format, ...) _printf_(2, 3);
/* The same, and logs it with the caller who requested the operation. */
void control_operation_log(Operation *operation, const char *path, const char *format, ...) _printf_(3, 4);

/* Ends the operation, which may be freed by that. */
void control_operation_end(Operation *operation, bool failed);
/* The same as a failure, with a last sentence for the report. */
void control_operation_fail(Operation *operation, const char *format, ...) _printf_(2, 3);

/* Requests that the next scan resolves all names together. 0 or -ENOMEM. */
int control_operation_request(Operation *operation, Mirror *mirror);

/* The answer of the last scan to a request; NULL if the scan had begun before the request was made. */
const ResolvedNames *control_operation_answer(const Mirror *mirror, uint64_t request);

/* Reports that nothing is known by a name. */
void control_operation_report_unknown(Operation *operation, const Mirror *mirror, const char *name);

/* Takes over roots and concerned files from the answer to control_operation_request(). NULL: there is no answer yet,
 * or the operation has ended because a name is unknown. */
const ResolvedNames *control_operation_take_answer(Operation *operation, Mirror *mirror);

/* A regular file, by whichever of its names. */
static inline bool control_operation_is_data(const Entry *entry) {
        return entry->type == ENTRY_FILE || entry->type == ENTRY_HARDLINK;
}

/* What of @paths is in RAM, verified: bytes and number of files. */
uint64_t control_operation_sum_in_ram(const Mirror *mirror, const PathSet *paths, size_t *ret_n);
/* The entry of the base, NULL if the mirror does not have the file's bytes. */
const Entry *control_operation_find_in_ram(const Mirror *mirror, const char *path);

/* "'a', 'b' and 3 more"; NULL without names or memory. */
char *control_operation_list_names(const Operation *operation);

/* Each begins one kind of operation: 0; 1 if it failed to begin, with a sentence in the report; or -ENOMEM. */
int control_operation_accept(Operation *operation, Mirror *mirror);
int control_operation_release(Operation *operation, Mirror *mirror);
int control_operation_stage(Operation *operation, Mirror *mirror);
int control_operation_sync(Operation *operation, Mirror *mirror);
int control_operation_verify(Operation *operation, Mirror *mirror);

/* The recheck stops early and reports to no operation any more. */
void control_operation_detach_recheck(Recheck *recheck);
