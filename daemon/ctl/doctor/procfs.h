/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The processes of a machine, as /proc shows them: what they are, and which files they have open or mapped.
 *
 * A process may end while it is looked at, and one of somebody else may not be looked into: both are outcomes, not
 * errors. */

#include "ctl/doctor/root-view.h"

typedef struct Process {
        int pid;
        uid_t uid;
        char *command;    /* the kernel's short name of it */
        char **arguments; /* NULL-terminated, never NULL; empty for a thread of the kernel */
        /* it has another root directory than we, as in a container: its paths mean nothing here. Not known of
         * processes of others: false */
        bool contained;
        /* the service or scope of systemd that it belongs to, from its control group; NULL for none */
        char *unit;
} Process;

typedef struct ProcessList {
        Process *items; /* by pid */
        size_t n;
} ProcessList;

/* Processes that end meanwhile are left out. */
int procfs_list(const RootView *machine, ProcessList *ret);
void procfs_list_done(ProcessList *list);

/* What is asked about one process. Positive outcomes. */
enum {
        PROCFS_GONE = 1, /* it has ended */
        PROCFS_DENIED,   /* it belongs to somebody else, and only root may look into it */
};

/* A file that a process holds: one call for each descriptor and each mapping, so one file may come several times. */
typedef struct ProcessFile {
        uint64_t dev, ino;  /* 0: not known (descriptors of a machine that we do not run on) */
        const char *
                path; /* as the process sees it, which in another mount namespace is not what we see; without " (deleted)" */
        bool deleted;       /* the name is gone, or another file has it now */
        bool mapped;        /* else open */
        bool writing;       /* open for writing, or mapped shared and writable */
        /* the process has a mount namespace of its own, or may have: @path is not to be relied on */
        bool elsewhere;
} ProcessFile;

/* Each call returns 0 to go on; what is not 0 ends it and is returned. Only regular files on filesystems: no pipes,
 * sockets, devices of /dev. */
int procfs_files(const RootView *machine, int pid, int (*each)(const ProcessFile *file, void *userdata),
                 void *userdata);

/* "NAME=value" strings, a new array. */
int procfs_environment(const RootView *machine, int pid, char ***ret);

/* RLIMIT_MEMLOCK, the soft one, in bytes; UINT64_MAX: unlimited. */
int procfs_memlock(const RootView *machine, int pid, uint64_t *ret);
