/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Scans source and mirror: what is there, what has to be done, how much room there is. Blocks; for a worker. Changes
 * nothing. */

#include "base/base.h"
#include "config/config.h"
#include "layout/models.h"
#include "layout/references.h"
#include "os/memory.h"
#include "plan/fit.h"
#include "plan/plan.h"
#include "plan/resolve.h"

#include <stdatomic.h>

typedef struct SurveyOptions {
        const MirrorConfig *config;
        const Manifest *base;           /* others may read it meanwhile */
        const Manifest *previous;       /* the source at the last scan, NULL at the first */
        int sourcefd, mirrorfd;         /* roots; mirrorfd -1: there is no mirror yet */
        uint64_t budget;                /* bytes that Size= allows for the whole mirror */
        const PathSet *deleted, *damaged; /* as PlanInput has them */
        const Overrides *overrides;           /* of operators; NULL for none */
        bool armed, mirror_watched, source_watched; /* likewise */
        /* When both trees have been scanned, adds to @doubts about the base, see Survey, what was reported to be
         * written; 0 or a negative errno. NULL: nothing was. */
        int (*mark_written)(const Manifest *base, const Manifest *source, const Manifest *mirror, uint16_t *doubts,
                            void *userdata);
        void *userdata;
        const atomic_bool *cancel;      /* NULL for none */
        atomic_uint_fast64_t *progress; /* entries seen are added */
} SurveyOptions;

/* A thing that is to be saved and references others, which have to be on disk before it. */
typedef struct SurveyPointer {
        const Entry *mirror;    /* of Survey.mirror */
        References references;
        const char *broken;     /* why its content cannot be valid where it is, a literal; NULL */
        /* the first of the references that is neither on disk nor in the mirror; NULL if none */
        char *missing;
} SurveyPointer;

typedef struct Survey {
        LayoutKind layout;    /* of the tree: never LAYOUT_AUTO */
        SurveyPointer *pointers; /* in path order */
        size_t n_pointers;
        /* to the requests of the overrides, one each in their order; NULL if there are none */
        ResolvedNames *answers;
        size_t n_answers;
        PathSet absent;       /* of the source: see plan/release.h */
        PathSet released;     /* likewise */
        char **unmatched;     /* names of Models= that match nothing; NULL-terminated, or NULL */
        Models *models;       /* of both trees, also of those that are not selected, as far as they are there */
        Manifest *source;
        Manifest *mirror;
        /* Flags for each entry of the base that this scan has cast doubt on (ENTRY_UNPROVEN, ENTRY_WRITTEN,
         * ENTRY_DISK_WRITTEN). The plan knows of them; the owner of the base adds them to it (manifest_add_flags()). */
        uint16_t *doubts;
        Plan *plan;           /* borrows from both, and from the base */
        uint64_t tmpfs_free;  /* bytes */
        uint64_t inodes_free; /* UINT64_MAX where they are not counted */
        uint64_t size_left;   /* of the budget */
        MemoryFacts memory;
} Survey;

/* Positive outcomes. */
enum {
        SURVEY_CANCELLED = 1,
        /* the source has no file, and the base has some: the disk may not be mounted */
        SURVEY_EMPTIED,
};

int survey_run(const SurveyOptions *options, Survey *ret, const char **reterr_what);
void survey_done(Survey *survey);

/* For fit_plan(): the room that the scan found, less @reserve, what is @promised to other mirrors, and the buffers of
 * @workers. */
FitInput survey_room(const Survey *survey, const MirrorConfig *config, uint64_t reserve, uint64_t promised,
                     unsigned workers);
