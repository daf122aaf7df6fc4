/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The facts about a machine, its mirrors and its engines, gathered once for the checks of ctl/doctor/checks.h. Changes
 * nothing. Blocks on the disks: a source that does not answer delays it. What cannot be found out stays as initialised;
 * nothing is guessed. */

#include "base/base.h"
#include "config/config.h"
#include "ctl/doctor/engine-facts.h"
#include "ctl/doctor/root-view.h"
#include "ctl/doctor/unit-view.h"
#include "os/memory.h"

/* The mount that a path is on. Strings are borrowed from the mount table of the facts; all NULL: unknown. */
typedef struct FactsMount {
        const char *directory, *type;
        const char *options; /* of the mount and of the filesystem */
        unsigned major, minor;
} FactsMount;

typedef struct FactsMirror {
        const MirrorConfig *config;
        char *source, *target;          /* without links; as configured if they do not exist */
        bool source_there, target_there;
        FactsMount source_mount, target_mount;
        bool own_mount;                 /* the target is a mount point */
        uint64_t total, left;           /* bytes of the filesystem of the target; total 0: unknown */
        uint64_t disk_left;             /* bytes; UINT64_MAX: unknown */
        bool scanned;                   /* the source: the facts below are known */
        int scan_error;                 /* why not, positive; 0 if it was not tried */
        uint64_t need;                  /* bytes of RAM that the selected files need */
        uint64_t biggest;               /* bytes of the largest file */
        char *biggest_path;
        uint64_t directories;           /* of the source, each of which is watched */
        bool unreadable;                /* parts of the source are */
        uid_t source_uid, target_uid;   /* of the roots, if they exist */
        mode_t target_mode;
        char *login_file;               /* a file in the mirror that belongs to a login user; NULL */
        uid_t login_uid;                /* its owner */
        size_t n_login_files;
        /* the source is an HF_HOME, with a login token or a chunk cache, and not a hub cache */
        bool has_token;
} FactsMirror;

typedef struct DoctorFacts {
        RootView machine;
        Config *config;                 /* NULL if it cannot be read */
        char *config_problem;           /* the first error in it, with file and line; NULL */
        /* of the newest configuration file, and of what the generator made of it; 0: there is none */
        int64_t config_mtime_nsec, generated_mtime_nsec;
        MemoryFacts memory;
        struct libmnt_table *mounts;
        char *kernel;                   /* "6.1.0-13-amd64"; NULL */
        unsigned kernel_major, kernel_minor;
        char *shmem_huge;               /* the value of shmem_enabled ("advise"); NULL: no such file */
        uint64_t watches, instances, queue; /* limits of inotify; 0: unknown */
        bool remove_ipc;                /* of logind */
        bool has_logind;
        bool gpu;                       /* a device of one exists */
        UnitView *service;              /* shmstaged.service; NULL: there is none */
        bool enabled;                   /* it is started at boot */
        FactsMirror *mirrors;
        size_t n_mirrors;
        EngineFactsList engines;
        bool all_processes;             /* we may inspect those of other users */
} DoctorFacts;

/* @root NULL: the machine we run on. @config_file, if not NULL: the only configuration file. 0 or a negative errno. */
int doctor_facts_read(const char *root, const char *config_file, DoctorFacts *ret);
void doctor_facts_done(DoctorFacts *facts);

/* The bytes that Size= of a mirror means on this machine. */
uint64_t facts_mirror_size(const DoctorFacts *facts, const MirrorConfig *mirror);

/* Whether Engines= of the mirror names the engine; whether the engine has anything to do with the mirror or its source;
 * and the first such mirror, NULL for none. */
bool facts_engine_is_wired(const EngineFacts *engine, const FactsMirror *mirror);
bool facts_engine_uses(const EngineFacts *engine, const FactsMirror *mirror);
const FactsMirror *facts_engine_mirror(const DoctorFacts *facts, const EngineFacts *engine);

/* The value of an option of a mount, such as "12G" of "size=12G" or "" of "noswap": a new string, NULL if the option is
 * not set. */
char *facts_mount_option(const FactsMount *mount, const char *name);

/* A path at or below @from, moved to the same place below @to: a new string. NULL with errno 0 if it is not below. */
char *facts_move_path(const char *path, const char *from, const char *to);
