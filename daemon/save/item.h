/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One thing on its way to the disk: what a scan saw of it, what it waits for, and how often it was tried. Owns its
 * strings, because it outlives the scan. No I/O; save/queue.h has the queue of them. */

#include "base/base.h"
#include "base/pool.h"
#include "config/config.h"
#include "layout/layout.h"
#include "plan/plan.h"
#include "plan/survey.h"
#include "save/save.h"

typedef enum SaveState {
        ITEM_WAITING,
        ITEM_RUNNING, /* the job has it */
        ITEM_REFUSED, /* not tried any more as it is */
        ITEM_DONE,
} SaveState;

typedef struct SaveItem {
        Job job;           /* first */
        void *userdata;    /* of the job */
        SaveState state;
        PlanAction action; /* PLAN_SAVE, PLAN_SAVEATTR, PLAN_DELETE or PLAN_CONFLICT */
        char *path;
        Entry mirror, source, base; /* .path is NULL where there is none */
        LayoutRole role;
        References references; /* what has to be on disk before */
        const char *broken;    /* why its content cannot be valid where it is, a literal; NULL */
        char *missing;         /* a path that it references and neither side has; NULL */
        Entry origin;          /* on disk, under the name that it had before it was renamed; .path NULL: it was not */
        bool in_vain;          /* while it is saved, the source has become another filesystem */
        char *heir;            /* the item whose .origin is this path, as far as it has one; NULL */
        uint64_t since_usec;   /* when it was first seen as it is; monotonic */
        uint64_t due_usec;     /* when it may be tried */
        unsigned attempts;
        char *problem;         /* the sentence that was logged; NULL while all is well */
        Save save;             /* of the last attempt */
        SaveOptions options;
        bool idle_io;
        bool deleted;          /* in the mirror, as a scan found out while it was saved */
        uint16_t doubts;       /* flags of the base: it was written, on either side, as a scan found out likewise */
        bool accepted;         /* an operator has accepted it as it is */
} SaveItem;

int save_item_new(SaveItem **ret, const PlanItem *wanted);
SaveItem *save_item_free(SaveItem *item);
DEFINE_CLEANUP(SaveItem, save_item_free)

/* True if @wanted is about the same thing in the same state. */
bool save_item_is_same(const SaveItem *item, const PlanItem *wanted);

/* True if @mirror is what it is to save, in the same state. */
bool save_item_is_about(const SaveItem *item, const Entry *mirror);

/* True if it is to be linked from @origin (NULL: it was not renamed). The ctime is not compared, because it changes
 * when linking is tried. */
bool save_item_has_origin(const SaveItem *item, const Entry *origin);

/* Takes over from @pointer what the scan found out about its references. */
void save_item_take_pointer(SaveItem *item, SurveyPointer *pointer);

/* How long it has to hold still before it is saved. */
uint64_t save_item_settle_usec(const SaveItem *item, LayoutKind layout, uint64_t settle_usec);

/* The order of saving: directories from the top, content, links to it, pointers; then deletions in reverse. */
int save_item_compare(const SaveItem *a, const SaveItem *b);

/* Fills .save for an attempt. */
void save_item_prepare(SaveItem *item, LayoutKind layout, bool trash, bool anyway);

/* The bytes of content that it will save. */
uint64_t save_item_bytes(const SaveItem *item);

/* True if it is a directory in the mirror or on disk: of a directory and something else the directory has the name,
 * whichever is newer, because of what is in it. */
bool save_item_has_directory(const SaveItem *item);

/* True if it is a link to the disk that a client has renamed: on disk, what it leads to is renamed. */
bool save_item_is_moved_link(const SaveItem *item);

/* True if it will never be saved as it is, by the outcome of the last attempt. */
bool save_item_is_hopeless(const SaveItem *item);
