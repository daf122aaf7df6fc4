/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Who uses what: the processes that have a mirror's file open or mapped, and those that read the disk although the
 * copy in RAM is there. Blocks on the disk of a source only for a process that sees it under another path (a
 * container).
 *
 * An ordinary user is shown his own processes only. The daemon itself is no user. */

#include "base/base.h"
#include "ctl/doctor/root-view.h"

typedef struct UsersMirror {
        const char *name, *source, *target; /* paths may have links in them */
} UsersMirror;

typedef enum UseKind {
        USE_COPY,   /* the file in the mirror */
        /* one that was in the mirror: replaced or removed, and its memory is not free before the process lets go of it */
        USE_OLD,
        USE_SOURCE, /* the file on disk, of which there is a copy in RAM */
        /* an engine that is told to read the disk, by its command line or environment; right now it has no file open
         * there */
        USE_NAMED,
} UseKind;

const char *users_kind_name(UseKind kind);

typedef struct Use {
        UseKind kind;
        const char *mirror; /* name, borrowed from UsersMirror */
        char *path;         /* relative to the root of mirror and source; "." for the whole of it */
        int pid;
        uid_t uid;
        char *command;
        char *unit;         /* NULL: none */
        bool open, mapped, writing;
        char *fix;          /* of USE_SOURCE and USE_NAMED: what to do, with the path in the mirror; else NULL */
} Use;

typedef struct Users {
        Use *uses;          /* by pid, and for each in the order in which they were found */
        size_t n;
        size_t n_denied;    /* processes of others that could not be looked into */
} Users;

int users_find(const RootView *machine, const UsersMirror *mirrors, size_t n, Users *ret);
void users_done(Users *users);

/* Who has this file of a mirror open or mapped, for a cell of a table: "llama-server(123), ollama(55)". A new
 * string, "" if nobody. NULL on ENOMEM. */
char *users_of(const Users *users, const char *mirror, const char *path);
