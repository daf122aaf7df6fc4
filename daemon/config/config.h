/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The configuration: files become one Config, which nothing changes after that, so any thread may read it.
 *
 * The files are those that `systemd-analyze cat-config shmstaged.conf` shows: the first shmstaged.conf of /etc, /run,
 * /usr/local/lib and /usr/lib; then every *.conf of shmstaged.conf.d/ in the same four, in the order of their names. Of
 * files with the same name only the one in the first directory counts, so an empty file, or a link to /dev/null,
 * masks others. Every key is one row of a table (config_rows()); the man page and the sample are checked against it.
 *
 * A wrong value or section is an error with file and line, and the Config must not be used; an unknown key or section
 * is a warning with file and line. */

#include "base/base.h"
#include "base/quantity.h"

typedef enum HugePages { HUGE_WITHIN_SIZE, HUGE_ALWAYS, HUGE_ADVISE, HUGE_NEVER } HugePages;
typedef enum OnNoRoom { NO_ROOM_FAIL, NO_ROOM_SKIP, NO_ROOM_LINK } OnNoRoom;
typedef enum OnCorrupt { CORRUPT_WITHHOLD, CORRUPT_FAIL } OnCorrupt;
typedef enum LayoutKind { LAYOUT_AUTO, LAYOUT_PLAIN, LAYOUT_OLLAMA, LAYOUT_HUGGINGFACE } LayoutKind;
typedef enum CopyMethod { COPY_METHOD_AUTO, COPY_METHOD_SENDFILE, COPY_METHOD_DIRECT, COPY_METHOD_BUFFERED } CopyMethod;
typedef enum DeletePolicy { DELETES_TRASH, DELETES_PROPAGATE, DELETES_KEEP } DeletePolicy;

typedef struct MirrorConfig {
        char *name;
        char *source;         /* absolute, normalised: no trailing slash, no "." or ".." parts */
        char *target;         /* likewise */
        Amount size;          /* of the tmpfs; AMOUNT_AUTO: RAM less the reserve */
        HugePages huge_pages;
        char *numa_policy;    /* see os/numa.h */
        bool swap;            /* false: mounted with noswap where the kernel has it */
        char **include;       /* globs, NULL-terminated, never NULL itself; empty: everything */
        char **exclude;
        char **priority;      /* earlier globs first */
        OnNoRoom on_no_room;
        OnCorrupt on_corrupt;
        CopyMethod copy_method;
        uint64_t chunk_size;  /* bytes */
        uint64_t bandwidth_limit; /* bytes a second that are read from the source for staging; 0: no limit */
        bool watch_source;
        uint64_t poll_usec;   /* where the source's filesystem has no change notifications; 0: never */
        uint64_t settle_usec; /* how long a changed file must stay unchanged before it is staged or saved */
        bool remove_on_stop;
        bool write_back;      /* save to the disk what clients change in the mirror */
        LayoutKind layout;    /* LAYOUT_AUTO: recognized from the tree */
        char **models;        /* to be staged, by the names that their clients use; empty: all */
        DeletePolicy deletes;
        uint64_t trash_keep_usec;         /* UINT64_MAX: for ever */
        DeleteLimit mass_delete_limit;    /* a larger wave of deletions is held back */
        uint64_t sweep_delay_usec;        /* how long a deleted blob that nothing refers to stays on disk */
        uint64_t scrub_usec;  /* within this time the copies in RAM are read again; 0: never */
        char **engines;       /* unit names */
} MirrorConfig;

typedef struct ConfigNote {
        bool error;      /* false: a warning */
        char *file;      /* owned; NULL if the note is about no file */
        unsigned line;   /* 0 if it is about no line */
        char *text;      /* a sentence without the full stop */
} ConfigNote;

typedef struct Config {
        unsigned workers;  /* 0: chosen by the number of processors */
        Amount reserve;    /* memory to leave free */
        char *metrics_file; /* absolute, normalised; "" for none */
        MirrorConfig *mirrors; /* see base/array.h; at least one */
        size_t n_mirrors;
        ConfigNote *notes; /* every error and warning, in order; see base/array.h */
        size_t n_notes;
        size_t n_errors;   /* of the notes */
        char **files;      /* the files that were read, in order; NULL-terminated */
} Config;

/* Reads @file alone, or, if it is NULL, the files found below @root (NULL or "" for /). Returns 0 and a Config even if
 * there are errors in the files: check n_errors before use. A negative errno if memory ran out, or @file or a directory
 * cannot be read; then *reterr_what is the step that failed, for "Failed to ...". */
int config_load(const char *file, const char *root, Config **ret, const char **reterr_what);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free)

const MirrorConfig *config_find_mirror(const Config *config, const char *name);

/* A deep copy, so that a mirror can outlive the Config it came from. 0, or -ENOMEM with @to as it was. */
int config_mirror_copy(const MirrorConfig *from, MirrorConfig *to);
void config_mirror_done(MirrorConfig *mirror);

/* Writes the effective configuration as a file that config_load() reads back to an equal one. */
int config_print(const Config *config, FILE *out);

/* The table of settings. */
struct ValueType;

typedef struct ConfigRow {
        const char *section;       /* "Daemon" or "Mirror" */
        const char *key;
        const char *default_value; /* as it is written in a file; "" for an empty list */
        bool is_list;              /* may be given several times; an empty value starts over */
        const struct ValueType *type; /* what it accepts, see config/value.h */
        size_t offset;             /* of the field in Config or MirrorConfig */
} ConfigRow;
const ConfigRow *config_rows(size_t *ret_n);
