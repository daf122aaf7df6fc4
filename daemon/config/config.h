/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Files -> one immutable Config.
 *
 * Looked up as `systemd-analyze cat-config shmstaged.conf` shows it: the first shmstaged.conf of /etc, /run,
 * /usr/local/lib, /usr/lib; then every *.conf of shmstaged.conf.d/ in the same four, merged by file name and read
 * in the order of their names; the same name in an earlier directory wins; an empty file or a link to /dev/null masks.
 * Every key is one row of a table (config_rows()); the man page and the sample are checked against the rows.
 *
 * A wrong value or section is an error with file and line, and the Config is not usable; an unknown key is a warning
 * with file and line. After loading nothing changes it, so any thread may read it. */

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
        char *numa_policy;    /* see numa.h */
        bool swap;            /* false: mount with noswap where the kernel has it */
        char **include;       /* globs, NULL-terminated, never NULL itself; empty: everything */
        char **exclude;
        char **priority;      /* earlier globs first */
        OnNoRoom on_no_room;
        OnCorrupt on_corrupt;
        CopyMethod copy_method;
        uint64_t chunk_size;  /* bytes */
        uint64_t bandwidth_limit; /* bytes a second that are read from the source to be staged; 0: no limit */
        bool watch_source;
        uint64_t poll_usec;   /* where the source's filesystem has no events; 0: never */
        uint64_t settle_usec; /* how long a changed file must hold still */
        bool remove_on_stop;
        bool write_back;      /* what clients change in the mirror is saved on disk */
        LayoutKind layout;    /* LAYOUT_AUTO: recognised from the tree */
        char **models;        /* to be staged, by their client's names; empty: all */
        DeletePolicy deletes;
        uint64_t trash_keep_usec;
        /* more than so many, and more than so many percent, of the names at once are held back */
        DeleteLimit mass_delete_limit;
        /* how long an Ollama blob that was deleted, and that no manifest names, stays on disk */
        uint64_t sweep_delay_usec;
        uint64_t scrub_usec;  /* within such a span the copies in RAM are read once more; 0: never */
        char **engines;       /* unit names */
} MirrorConfig;

typedef struct ConfigNote {
        bool error;      /* false: a warning */
        char *file;      /* borrowed from nobody; NULL where no file is to blame */
        unsigned line;   /* 0 where no line is to blame */
        char *text;      /* a sentence without the full stop */
} ConfigNote;

typedef struct Config {
        unsigned workers;  /* 0: chosen by the number of processors */
        Amount reserve;    /* memory to leave alone */
        char *metrics_file; /* absolute, normalised; "" for none */
        MirrorConfig *mirrors; /* at least one in a usable Config */
        size_t n_mirrors;
        ConfigNote *notes; /* every error and warning, in the order they were met */
        size_t n_notes;
        size_t n_errors;   /* of the notes */
        char **files;      /* that were read, in order; NULL-terminated */
} Config;

/* Reads @file alone, or, if it is NULL, looks the files up below @root (NULL or "" for /). Returns 0 and a Config
 * also if there are errors in the files: look at n_errors before use. Negative: out of memory, or @file cannot be
 * read (then *reterr_what says what was done). */
int config_load(const char *file, const char *root, Config **ret, const char **reterr_what);
Config *config_free(Config *config);
DEFINE_CLEANUP(Config, config_free)

const MirrorConfig *config_find_mirror(const Config *config, const char *name);

/* A deep copy, so that a mirror can outlive the Config it came from. */
int config_mirror_copy(const MirrorConfig *from, MirrorConfig *to);
void config_mirror_done(MirrorConfig *mirror);
bool config_mirror_equal(const MirrorConfig *a, const MirrorConfig *b);

/* Writes the effective configuration as a file that config_load() accepts and reads back equal. */
int config_print(const Config *config, FILE *out);

/* The table. Also for the checks of man page and sample. */
struct ValueType;

typedef struct ConfigRow {
        const char *section;       /* "Daemon" or "Mirror" */
        const char *key;
        const char *default_value; /* as it is written in a file; "" for an empty list */
        bool is_list;              /* may be given several times; an empty value starts over */
        const struct ValueType *type; /* what it accepts, see configvalue.h */
        size_t offset;             /* of the field in Config or MirrorConfig */
} ConfigRow;
const ConfigRow *config_rows(size_t *ret_n);
