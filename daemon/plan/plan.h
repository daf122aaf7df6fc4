/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* base, source, mirror -> Plan. Pure: no I/O, no clock. plan/fit.h decides next how much of it fits.
 *
 * The one planner for start, events, polling and the restart after a crash. plan/pair.h says when a side still has the
 * object of the base; where that is not sure, PLAN_ADOPT has the bytes compared, and the next plan knows. What is
 * removed or replaced in the mirror is only ever the very object that was put there. plan-decide.c decides for one
 * path, plan-follow.c what that means for others, plan-removal.c makes the plan that ends a mirror. */

#include "base/base.h"
#include "base/pathset.h"
#include "config/config.h"
#include "plan/overrides.h"
#include "plan/pair.h"
#include "tree/manifest.h"

typedef enum PlanAction {
        PLAN_KEEP,     /* all agree */
        PLAN_ADOPT,    /* both sides may be the same: compare what has to be compared, then record what was found */
        PLAN_STAGE,    /* bring the source's entry into the mirror, by rename over what is there */
        PLAN_SETATTR,  /* same bytes, the source's owner or mode changed */
        PLAN_LINK,     /* put a symbolic link to the disk in its place: it does not fit, or is not selected for RAM */
        PLAN_SKIP,     /* leave it out: it does not fit */
        PLAN_REMOVE,   /* gone from the source, or not selected any more: remove it from the mirror */
        PLAN_SAVE,     /* new or changed in the mirror, or a client's own copy of what is gone from the disk: save it */
        PLAN_SAVEATTR, /* same bytes, owner or mode changed in the mirror: set them on the disk */
        PLAN_DELETE,   /* deleted in the mirror, as was observed: delete it on the disk */
        PLAN_CONFLICT, /* both sides changed, differently */
        PLAN_IGNORE,   /* do nothing: it is unfinished in the mirror, or nothing references it */
        PLAN_FORGET,   /* gone from both sides */
        PLAN_WITHHOLD, /* it could not be brought into RAM verified, and has not changed since: not tried again now */
        PLAN_RELEASE,  /* an operator released it: remove it from the mirror only, the disk keeps it */
        PLAN_WAIT,     /* changed since the last scan: do nothing until it holds still */
} PlanAction;

/* Entries are borrowed from the three manifests, which must outlive the plan unchanged. */
typedef struct PlanItem {
        PlanAction action;
        unsigned rank;       /* of Priority=, lower is earlier */
        const Entry *base;   /* NULL if there is none; a record (ENTRY_RECORD) also serves as such */
        const Entry *source; /* NULL if absent */
        const Entry *mirror; /* NULL if absent */
        uint16_t doubts;     /* flags that the plan adds to the base's */
        PairState on_disk, in_mirror; /* compared with the base; unsure where there is none */
        bool kept;           /* nothing that is in the mirror can be lost: it is in conflicts/, or .spoilt */
        bool kept_known;     /* it is in conflicts/, with these bytes: */
        Digest kept_digest;
        bool spoilt;         /* the copy has other bytes than its name states: it is replaced, and nothing is kept */
} PlanItem;

typedef struct PlanInput {
        const Manifest *base;
        const uint16_t *doubts;   /* flags of each entry of the base, beside those that it has; NULL for none */
        const Manifest *source;
        const Manifest *mirror;
        const Manifest *previous; /* the source at the last scan: what differs from it waits. NULL: nothing waits */
        const char *source_path;  /* absolute; links to the disk point below it */
        char *const *priority;
        LayoutKind layout;        /* LAYOUT_AUTO counts as plain */
        bool keeps_owners;        /* we can set owners: one that differs was changed by a client */
        bool armed;               /* all changes of the mirror have been seen since it was complete */
        bool mirror_watched, source_watched; /* every write has been reported since the scan before */
        /* The sets may be NULL for empty. */
        /* names of files in the mirror whose bytes have changed behind the same size and time, which no client did:
         * staged again if both sides would agree otherwise */
        const PathSet *damaged;
        /* names, and directories with all below, that were seen to be deleted in the mirror; only those that are
         * missing there count */
        const PathSet *deleted;
        const PathSet *absent;    /* of the source, released: see plan/release.h. Their absence is no deletion */
        const Overrides *overrides; /* what is marked for deletion, and wanted although it was not selected; or NULL */
} PlanInput;

typedef struct Plan {
        PlanItem *items;      /* in the order in which they are to be carried out */
        size_t n_items;
        uint64_t stage_bytes; /* content to copy */
        size_t n_stage, n_adopt, n_skipped, n_waiting, n_held;
        size_t n_unagreed;    /* on both sides, and still to be compared: perhaps not saved */
        size_t n_racy;        /* files of the source that have to be seen once more, because they are so new */
} Plan;

int plan_new(const PlanInput *input, Plan **ret);
Plan *plan_free(Plan *plan);
DEFINE_CLEANUP(Plan, plan_free)

/* The plan that removes everything that @base lists in the mirror, and what @extra lists (NULL for nothing), the
 * deepest first. Where both list a path, @extra says what is there. */
int plan_new_removal(const Manifest *base, const Manifest *extra, Plan **ret);

/* True if the action removes a name from the mirror. */
bool plan_takes_away(PlanAction action);

/* True if the action writes to the disk. */
bool plan_is_write_back(PlanAction action);

/* Computes the sums again after actions were changed. */
void plan_count(Plan *plan);

/* True if there is no room for it: it is left out, or is a link to the disk, now or since an earlier plan. */
bool plan_is_skipped(const PlanItem *item);

/* The path that an item is about. */
const char *plan_item_path(const PlanItem *item);

const char *plan_action_name(PlanAction action);

/* True if @mirror is the link that PLAN_LINK makes for its path. */
bool plan_is_disk_link(const Entry *mirror, const char *source_path);

/* The same for any path: one that was made for another name, which the file had before. */
bool plan_leads_to_disk(const Entry *mirror, const char *source_path);
