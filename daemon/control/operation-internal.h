/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One operation on its way: what the files operation-*.c share, one for each kind of operation. Loop thread only. */

#include "base/base.h"
#include "control/operation.h"
#include "mirror/state.h"

typedef struct Recheck Recheck; /* see control/operation-verify.c */

typedef enum OperationPhase {
        OPERATION_ASKED,   /* the next look says what the names stand for, and how that is */
        OPERATION_GRANTED, /* the wish is in force from the next look on */
        OPERATION_PLANNED, /* a look has seen it, and its plan is carried out */
        OPERATION_OVER,
} OperationPhase;

struct Operation {
        MirrorListener listener;   /* first; in the mirror's list until it is over */
        Mirror *mirror;            /* NULL: it is over, or the mirror is gone */
        void (*hear)(Operation *operation, Mirror *mirror, MirrorEvent event); /* MIRROR_SCANNED, MIRROR_RESTED */
        OperationPhase phase;
        bool failed;
        bool stages;               /* the progress of the mirror is its own */
        bool orphan;               /* nobody waits for it: it frees itself when it is over */
        char **names;
        char *who;
        char **report;
        uint64_t done, total;
        uint64_t request;          /* of the wishes, the first; 0: none */
        size_t n_requests;         /* further ones follow it */
        PathSet roots, concerned;  /* of its answer */
        PathSet released;          /* of the roots: were released before */
        bool waiting;              /* something of it does not hold still */
        bool look_after;           /* the round at hand is one step of several */
        PathSet marked_deleted, saves;     /* accepted: deletions; what is to be saved as it is */
        bool deleted;              /* nothing of .doomed is left to be done */
        Recheck *recheck;          /* that is under way; NULL: none */
        void (*let_go)(Recheck *recheck); /* of it */
        size_t n_logged;
        unsigned n_tries;
};

/* Monotonic. */
uint64_t control_operation_now(const Mirror *mirror);

/* A sentence for the report, without a full stop. */
void control_operation_report(Operation *operation, const char *format, ...) _printf_(2, 3);
/* The same for the journal too, with who asked for it. */
void control_operation_log(Operation *operation, const char *path, const char *format, ...) _printf_(3, 4);

/* Frees one that is not in the mirror's list. */
void control_operation_drop(Operation *operation);

/* It is over; @steer may be freed by that. */
void control_operation_end(Operation *operation, bool failed);

/* The answer to its request in the look at hand, whose roots and concerned files it takes over: true; or false, and
 * if nothing is known of a name, it has ended. */
bool control_operation_take_answer(Operation *operation, Mirror *mirror, const ResolvedNames **ret);

/* Each begins one kind of operation: 0; 1 if it has ended already, because there is nothing to do; or -ENOMEM. */
int control_operation_accept(Operation *operation, Mirror *mirror);
int control_operation_release(Operation *operation, Mirror *mirror);
int control_operation_stage(Operation *operation, Mirror *mirror);
int control_operation_sync(Operation *operation, Mirror *mirror);
int control_operation_verify(Operation *operation, Mirror *mirror);
