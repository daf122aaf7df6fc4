/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The processes that use the mirrors: those that have a file of a mirror open or mapped, and those that read the disk
 * although a copy is in RAM. Blocks on the disk of a source only for a process that sees it under another path (a
 * container).
 *
 * An ordinary user sees the files of their own processes only. The daemon itself is left out. */

#include "base/base.h"
#include "ctl/doctor/root-view.h"

typedef struct UsersMirror {
        const char *name, *source, *target; /* paths may have links in them */
} UsersMirror;

typedef enum UseKind {
        USE_COPY,       /* the file in the mirror */
        USE_OLD,        /* one that was replaced in the mirror or removed; the process keeps its memory occupied */
        USE_SOURCE,     /* the file on disk, although a copy is in RAM */
        USE_CONFIGURED, /* none, but command line or environment of this engine lead to the disk */
} UseKind;

const char *users_kind_name(UseKind kind);

typedef struct Use {
        UseKind kind;
        const char *mirror; /* name, borrowed from UsersMirror */
        char *path;         /* relative to the roots of mirror and source; "." for the root */
        int pid;
        uid_t uid;
        char *command;
        char *unit;         /* NULL: none */
        bool open, mapped, writing;
        char *fix;          /* of USE_SOURCE and USE_CONFIGURED: what to do, with the path in the mirror; else NULL */
} Use;

typedef struct Users {
        Use *uses;          /* by pid */
        size_t n;
        size_t n_denied;    /* processes of other users that could not be inspected */
} Users;

/* 0 or a negative errno. */
int users_find(const RootView *machine, const UsersMirror *mirrors, size_t n, Users *ret);
void users_done(Users *users);

/* The processes that have this file of a mirror open or mapped, for a cell of a table: "llama-server(123), ollama(55)".
 * A new string, "" for none. NULL on ENOMEM. */
char *users_of(const Users *users, const char *mirror, const char *path);
