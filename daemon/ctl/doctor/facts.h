/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What is known of a machine, its mirrors and its engines, gathered once for the checks of ctl/doctor/doctor.h.
 * Changes nothing. Blocks on the disks: a source that does not answer keeps it waiting. What cannot be found out
 * stays as it is initialised; nothing is guessed. */

#include "base/base.h"
#include "config/config.h"
#include "ctl/doctor/engine.h"
#include "ctl/doctor/procfs.h"
#include "ctl/doctor/root-view.h"
#include "ctl/doctor/unit-view.h"
#include "os/memory.h"

/* The mount that a path is on. Strings are borrowed from the mount table of the facts; all NULL: not known. */
typedef struct FactsMount {
        const char *directory, *type, *source;
        const char *options; /* of the mount and of the filesystem */
        unsigned major, minor;
} FactsMount;

typedef struct FactsMirror {
        const MirrorConfig *config;
        char *source, *target;          /* without links; as configured where they are not there */
        bool source_there, target_there;
        FactsMount source_mount, target_mount;
        bool own_mount;                 /* the target is a mount point */
        uint64_t total, left;           /* bytes of the filesystem of the target; total 0: not known */
        uint64_t disk_left;             /* bytes; UINT64_MAX: not known */
        bool looked;                    /* what follows is known */
        int look_error;                 /* why not, positive; 0 if it was not tried */
        uint64_t need;                  /* bytes of RAM that what is selected takes */
        uint64_t biggest;               /* bytes of the largest file */
        char *biggest_path;
        uint64_t directories;           /* that are watched in the source */
        bool unreadable;                /* parts of the source */
        uid_t source_uid, target_uid;   /* of the roots, where they are there */
        mode_t target_mode;
        char *login_file;               /* a file in the mirror that belongs to a login user; NULL */
        uid_t login_uid;                /* who that is */
        size_t n_login_files;
        /* in the source: it is a HF_HOME, with a login token or a cache of chunks, and not a hub cache */
        bool has_token;
} FactsMirror;

/* One way in which an engine is started, or runs. */
typedef struct FactsRun {
        int pid;                        /* 0: as its unit says */
        EngineKind kind;
        char **arguments, **environment; /* never NULL */
        EngineLocation *locations;
        size_t n_locations;
        bool hidden;                    /* the environment of the process is not shown to us */
        uint64_t memlock;               /* bytes; UINT64_MAX: unlimited or not known */
        bool memlock_known;
} FactsRun;

typedef struct FactsEngine {
        char *name;                     /* of the unit; "PID 123 (ollama)" of a process that has none */
        EngineKind kind;
        bool configured;                /* in Engines= of a mirror */
        UnitView *unit;                 /* NULL: there is none */
        char *unread;                   /* a file of the unit that cannot be read; NULL */
        RootViewUser user;               /* whom it runs as; name NULL: not known */
        FactsRun *runs;
        size_t n_runs;
        char *version;                  /* NULL: not known */
} FactsEngine;

typedef struct DoctorFacts {
        RootView machine;
        Config *config;                 /* NULL if it cannot be read */
        char *config_problem;           /* the first error in it, with file and line; NULL */
        /* the newest file; what the generator made of it. 0: not there */
        int64_t config_mtime_nsec, generated_mtime_nsec;
        MemoryFacts memory;
        struct libmnt_table *mounts;
        char *kernel;                   /* "6.1.0-13-amd64"; NULL */
        unsigned kernel_major, kernel_minor;
        char *shmem_huge;               /* what is chosen of shmem_enabled ("advise"); NULL: no such file */
        bool has_thp;                   /* the kernel knows huge pages */
        uint64_t watches, instances, queue; /* of inotify; 0: not known */
        bool remove_ipc;                /* logind's setting */
        bool has_logind;
        bool gpu;                       /* there is a device of one */
        UnitView *service;              /* shmstaged.service; NULL: there is none */
        bool enabled;                   /* it is started at boot */
        FactsMirror *mirrors;
        size_t n_mirrors;
        FactsEngine *engines;
        size_t n_engines;
        bool all_processes;             /* we may look into all of them */
} DoctorFacts;

/* @root NULL: the machine we run on. With @config_file that file alone is the configuration. */
int doctor_facts_read(const char *root, const char *config_file, DoctorFacts *ret);
void doctor_facts_done(DoctorFacts *facts);

/* The bytes that a mirror has according to its Size=, on this machine. */
uint64_t facts_mirror_size(const DoctorFacts *facts, const MirrorConfig *mirror);

/* The engines (second part of the module): units by the configuration and by known names, and processes. */
int facts_read_engines(DoctorFacts *facts);
void facts_engines_done(DoctorFacts *facts);

/* True if Engines= of the mirror names it; if anything that it is told, or looks at by itself, is at or below a
 * directory; if it has to do with the mirror or its source in any of these ways. And the first mirror of which that
 * is true; NULL for none. */
bool facts_engine_is_wired(const FactsEngine *engine, const FactsMirror *mirror);
bool facts_engine_reads(const FactsEngine *engine, const char *directory);
bool facts_engine_uses(const FactsEngine *engine, const FactsMirror *mirror);
const FactsMirror *facts_engine_mirror(const DoctorFacts *facts, const FactsEngine *engine);

/* The first location of a run that is at or below @directory; NULL for none. */
const EngineLocation *facts_run_location(const FactsRun *run, const char *directory);

/* The mount that a path (without links) is on. */
FactsMount facts_find_mount(const DoctorFacts *facts, const char *path);

/* "size=12G" of the options of a mount: a new string, NULL if it is not there; for a bare word like "noswap" it is "". */
char *facts_mount_option(const FactsMount *mount, const char *name);

/* Of a path at or below @from, the same place at or below @to: a new string. NULL with errno 0 if it is not below. */
char *facts_move_path(const char *path, const char *from, const char *to);
