/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The lists that a mirror has in memory, walked side by side in path order. What the base, the source as last seen, the
 * last plan, the queue of saves, and the lists of withheld, released and damaged files have about one path becomes one
 * row. For mirror/inventory.h, which has what others ask for. Loop thread; no disk.
 *
 * The base is written by the jobs that attach and detach a mirror, and by the loop when no job has it; in between
 * the loop may read it. The source is m->source, or, while a plan is carried out, that of the scan which made the
 * plan. What the plan run has done so far is in its outcomes, because the base moves on only at its end. */

#include "base/base.h"
#include "base/digest.h"
#include "mirror/state.h"
#include "report/file-state.h"

typedef struct InventoryFile {
        const char *path;       /* from the root */
        FileState state;
        uint64_t size, room;    /* bytes; room: RAM that it takes or would take */
        const Digest *digest;   /* of what is in RAM; NULL if it is not known, or not yet */
        bool in_ram, on_disk;
        const char *method; /* how this process copied it: "direct", "buffered", "sendfile"; NULL: not, or not yet */
        const char *reason;     /* why it is as it is; NULL if there is nothing to say */
} InventoryFile;

/* A row, and what only mirror/inventory.c needs of it. */
typedef struct FileRow {
        InventoryFile file;
        EntryType type;
        const char *target;     /* of a link: its text; NULL */
        bool usable;            /* the mirror has what clients expect at this path */
        bool pending;           /* not usable now, but will be */
        bool unneeded;          /* nothing needs it in RAM */
} FileRow;

typedef struct FileRowWalk {
        const Mirror *mirror;
        const Manifest *base, *source, *mirror_only; /* NULL: there is none */
        const Outcomes *outcomes;      /* NULL: nothing was planned yet */
        size_t at_base, at_source, at_mirror_only, at_queue;
} FileRowWalk;

/* Begins with the first row. */
void file_row_walk_init(FileRowWalk *walk, const Mirror *mirror);

/* Goes on with the first path that is not before @path. */
void file_row_walk_seek(FileRowWalk *walk, const char *path);

/* The next row; false at the end. */
bool file_row_walk_next(FileRowWalk *walk, FileRow *ret);
