/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the commands of shmstagectl have in common: what the command line said, and how a command ends. */

#include "base/base.h"

/* The exit statuses; shmstagectl(1) has them. */
typedef enum CtlExit {
        CTL_DONE = 0,
        CTL_FAILED = 1,        /* failed, refused, or never will be */
        CTL_BAD_ARGUMENTS = 2,
        CTL_NOT_RUNNING = 3,   /* of status: nobody is there, or not ready yet */
        CTL_UNKNOWN = 4,       /* of status: it cannot be told */
        CTL_TIMEOUT = 124,     /* of wait */
} CtlExit;

typedef enum CtlJson { CTL_JSON_OFF, CTL_JSON_SHORT, CTL_JSON_PRETTY } CtlJson;

/* Strings are borrowed from the command line; NULL where nothing was said. */
typedef struct Ctl {
        const char *socket;    /* where to look for the daemon */
        bool system_bus;       /* there alone */
        CtlJson json;
        bool no_headings;
        bool bytes;            /* amounts exactly, not rounded */
        const char *output;    /* the columns that are wanted */
        const char *states;    /* list: only files in these */
        bool models;           /* list: a row for each model */
        bool watch;            /* status: until it is interrupted */
        bool all;              /* stage, accept: all that there is to it */
        bool no_block;         /* do not wait for what was asked for */
        uint64_t timeout_usec; /* UINT64_MAX: none */
        const char *config, *root; /* plan, cat-config, doctor: which configuration */
        bool effective;        /* cat-config: what it amounts to */
} Ctl;
