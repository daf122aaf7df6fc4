/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* base, source, mirror -> Plan. Pure: no I/O, no clock. What of it fits is decided next, by plan/fit.h.
 *
 * The one planner for start, for events, for polling and for the restart after a crash. "Same" means same type, size
 * and mtime. What the base says of the mirror counts only if the inode is still the one that was published; if the
 * inode or its ctime is another one, the bytes are looked at before they are trusted. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "plan/overrides.h"
#include "tree/manifest.h"

typedef enum PlanAction {
        PLAN_KEEP,     /* all agree */
        PLAN_ADOPT,    /* both sides look the same, but nobody vouches for the bytes: compare, then record */
        PLAN_STAGE,    /* bring the source's entry into the mirror, by rename over what is there */
        PLAN_SETATTR,  /* same bytes, the source's owner or mode changed */
        PLAN_LINK,     /* it does not fit: a symbolic link to the disk original takes its place */
        PLAN_SKIP,     /* it does not fit: left out */
        PLAN_REMOVE,   /* gone from the source: remove from the mirror */
        PLAN_SAVE,     /* new or changed in the mirror: to be saved */
        PLAN_SAVEATTR, /* same bytes, owner or mode changed in the mirror: to be carried to the disk */
        PLAN_DELETE,   /* deleted in the mirror, which was seen to happen: the disk is to follow */
        PLAN_CONFLICT, /* both sides changed, differently */
        PLAN_IGNORE,   /* nothing is done about it: unfinished in the mirror, or needed by nothing */
        PLAN_FORGET,   /* gone from both sides */
        PLAN_WITHHOLD, /* it could not be brought into RAM verified, and has not changed since: not tried again now */
        PLAN_RELEASE,  /* an operator freed its RAM: removed from the mirror only, the disk keeps it */
        PLAN_WAIT,     /* changed since the last look: not acted upon until it holds still */
} PlanAction;

/* Entries are borrowed from the three manifests, which must outlive the plan unchanged. */
typedef struct PlanItem {
        PlanAction action;
        unsigned rank;       /* of Priority=, lower is earlier */
        const Entry *base;   /* NULL if there is none; a record (ENTRY_RECORD) also serves as such */
        const Entry *source; /* NULL if absent */
        const Entry *mirror; /* NULL if absent */
} PlanItem;

typedef struct PlanInput {
        const Manifest *base;
        const Manifest *source;
        const Manifest *mirror;
        /* the source as it was seen last time; entries that differ from it wait. NULL: nothing waits */
        const Manifest *previous;
        const char *source_path;  /* absolute; links to the disk original point below it */
        char *const *priority;
        LayoutKind layout;        /* LAYOUT_AUTO counts as plain */
        bool keeps_owners;        /* we may give files to others: an owner that differs was changed by somebody */
        bool armed;               /* all changes of the mirror have been seen since it was complete */
        const PathSet *
                damaged; /* names of files in the mirror whose bytes are not what they were, behind an unchanged size and time, and nobody's work: what both
                                   * sides would agree on is staged again. NULL for none */
        const PathSet *
                deleted; /* names, and directories with all below, that were seen to go from the mirror; only those that are not
                                   * there count. NULL for none */
        /* of the source, to be without RAM: see releasing.h. That it is not in the mirror is no deletion. NULL for none */
        const PathSet *absent;
        /* what of the source is doomed, and wanted although it was not chosen before; NULL for none */
        const Overrides *overrides;
} PlanInput;

typedef struct Plan {
        PlanItem *items;      /* in the order in which they are to be carried out */
        size_t n_items;
        uint64_t stage_bytes; /* content to copy */
        size_t n_stage, n_adopt, n_skipped, n_waiting, n_held;
} Plan;

int plan_new(const PlanInput *input, Plan **ret);
Plan *plan_free(Plan *plan);
DEFINE_CLEANUP(Plan, plan_free)

/* The plan that removes all that @base lists in the mirror, and what @extra lists (NULL for nothing), the deepest
 * first. Of a path that both have @extra says what stands there. */
int plan_new_removal(const Manifest *base, const Manifest *extra, Plan **ret);

/* True if the action is one that takes a name out of the mirror. */
bool plan_takes_away(PlanAction action);

/* True if the action is one that writes to the disk: the way back. */
bool plan_is_write_back(PlanAction action);

/* Sets the sums anew after actions were changed. */
void plan_count(Plan *plan);

/* True if there is no room for it: it is skipped, or its place is taken by a link to the disk, now or since an
 * earlier plan. */
bool plan_is_skipped(const PlanItem *item);

/* The path that an item is about. */
const char *plan_item_path(const PlanItem *item);

const char *plan_action_name(PlanAction action);

/* True if @mirror is the link that PLAN_LINK makes for its path. */
bool plan_is_disk_link(const Entry *mirror, const char *source_path);
