/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The processes of a machine, from /proc: what they are, and which files they have open or mapped.
 *
 * That a process ends meanwhile, or belongs to another user and cannot be inspected, is an outcome and not an error. */

#include "ctl/doctor/root-view.h"

typedef struct Process {
        int pid;
        uid_t uid;
        char *command;    /* the kernel's short name of it */
        char **arguments; /* NULL-terminated, never NULL; empty for a thread of the kernel */
        /* it has another root directory than we, as in a container, so its paths mean nothing here; false if
         * unknown, as for processes of other users */
        bool contained;
        /* the service or scope of its control group; NULL for none */
        char *unit;
} Process;

typedef struct ProcessList {
        Process *items; /* by pid */
        size_t n;
} ProcessList;

/* Leaves out processes that end meanwhile. 0 or a negative errno. */
int procfs_list(const RootView *machine, ProcessList *ret);
void procfs_list_done(ProcessList *list);

/* Positive outcomes of the functions about one process. */
enum {
        PROCFS_GONE = 1, /* it has ended */
        PROCFS_DENIED,   /* it belongs to another user, and we are not root */
};

/* A file that a process holds. Each descriptor and each mapping is one, so the same file may come several times. */
typedef struct ProcessFile {
        uint64_t dev, ino;  /* 0: unknown (a descriptor on a machine that we do not run on) */
        const char *path;   /* as the process sees it, without " (deleted)" */
        bool deleted;       /* the file has no name any more, or another file has it */
        bool mapped;        /* else open */
        bool writing;       /* open for writing, or mapped shared and writable */
        bool elsewhere;     /* the process may have another mount namespace, where @path may mean another file */
} ProcessFile;

/* Calls @each until it returns non-zero, which is returned. Only regular files on filesystems: no pipes, sockets or
 * devices. */
int procfs_files(const RootView *machine, int pid, int (*each)(const ProcessFile *file, void *userdata),
                 void *userdata);

/* "NAME=value" strings, a new array. */
int procfs_environment(const RootView *machine, int pid, char ***ret);

/* The soft RLIMIT_MEMLOCK in bytes; UINT64_MAX: unlimited. */
int procfs_memlock(const RootView *machine, int pid, uint64_t *ret);
