/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One wish of an operator on its way: what the parts of steer share. For steer*.c only. Loop thread only. */

#include "base/base.h"
#include "mirror/state.h"

typedef struct Steer Steer;
typedef struct Recheck Recheck; /* see steerverify.c */

typedef enum SteerPhase {
        STEER_ASKED,   /* the next look says what the names stand for, and how that is */
        STEER_GRANTED, /* the wish is in force from the next look on */
        STEER_PLANNED, /* a look has seen it, and its plan is carried out */
        STEER_OVER,
} SteerPhase;

struct Steer {
        MirrorListener listener;   /* first; in the mirror's list until it is over */
        Mirror *mirror;            /* NULL: it is over, or the mirror is gone */
        void (*hear)(Steer *steer, Mirror *mirror, MirrorEvent event); /* MIRROR_LOOKED, MIRROR_RESTED */
        SteerPhase phase;
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
        PathSet doomed, saves;     /* accepted: deletions; what is to be saved as it is */
        bool deleted;              /* nothing of .doomed is left to be done */
        Recheck *recheck;          /* that is under way; NULL: none */
        void (*let_go)(Recheck *recheck); /* of it */
        size_t n_told;
        unsigned n_tries;
};

/* Monotonic. */
uint64_t steer_now(const Mirror *mirror);

/* A sentence for the report, without a full stop. */
void steer_say(Steer *steer, const char *format, ...) _printf_(2, 3);
/* The same for the journal too, with who asked for it. */
void steer_log(Steer *steer, const char *path, const char *format, ...) _printf_(3, 4);

/* Frees one that is not in the mirror's list. */
void steer_drop(Steer *steer);

/* It is over; @steer may be freed by that. */
void steer_end(Steer *steer, bool failed);

/* The answer to its request in the look at hand, whose roots and concerned files it takes over: true; or false, and if nothing is known of a name, it has ended. */
bool steer_take_answer(Steer *steer, Mirror *mirror, const Answer **ret);
