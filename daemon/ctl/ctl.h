/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the commands of shmstagectl share: the options of the command line, and the exit statuses. */

#include "base/base.h"

/* The exit statuses; shmstagectl(1) has them. */
typedef enum CtlExit {
        CTL_DONE = 0,
        CTL_FAILED = 1,        /* failed, refused, or impossible */
        CTL_BAD_ARGUMENTS = 2,
        CTL_NOT_RUNNING = 3,   /* of status: no daemon, or not ready */
        CTL_UNKNOWN = 4,       /* of status */
        CTL_TIMEOUT = 124,     /* of wait */
} CtlExit;

typedef enum CtlJson { CTL_JSON_OFF, CTL_JSON_SHORT, CTL_JSON_PRETTY } CtlJson;

/* Strings are borrowed from the command line; NULL if not given. */
typedef struct Ctl {
        const char *socket;    /* of the daemon */
        bool system_bus;       /* use it instead of the socket */
        CtlJson json;
        bool no_headings;
        bool bytes;            /* print exact amounts */
        const char *output;    /* the columns to print */
        const char *states;    /* list: only what is in these */
        bool models;           /* list: models instead of files */
        bool watch;            /* status: keep it up to date */
        bool all;              /* stage, accept: all that is pending */
        bool no_block;         /* do not wait for completion */
        uint64_t timeout_usec; /* UINT64_MAX: none */
        const char *config, *root; /* plan, cat-config, doctor: which configuration */
        bool effective;        /* cat-config: every setting */
} Ctl;
