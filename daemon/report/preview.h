/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What would be staged and whether it fits, found like the daemon finds it but without changing anything: for
 * `shmstaged --plan` and `shmstagectl plan`. Blocking. */

#include "base/base.h"
#include "config/config.h"
#include "plan/survey.h"

typedef struct PreviewMirror {
        const MirrorConfig *config; /* borrowed */
        char *problem;   /* a sentence: why there is no plan, and all below is empty; NULL if there is one */
        Manifest *base;  /* what is remembered of the last run */
        Survey survey;   /* in its plan, what does not fit is skipped */
        FitInput input;
        Fit fit;
        bool fits;
        char *shortage;  /* a sentence; NULL if it fits */
} PreviewMirror;

typedef struct Preview {
        PreviewMirror *mirrors; /* in the order of the configuration: what one takes is not there for the next */
        size_t n;
        bool fits;              /* all of them do */
} Preview;

/* @config has to outlive it. 0, or a negative errno with the step in *reterr_what. */
int preview_make(const Config *config, const char *state_directory, Preview *ret, const char **reterr_what);
void preview_done(Preview *preview);

/* True if an item of a plan is worth showing: nothing is to be done for what is kept, and directories follow from what
 * is in them. */
bool preview_shows(const PlanItem *item);

/* As text to @out, problems to the log. Returns the exit status: 0 if everything fits, 1 if not or not known. */
int preview_print(const Preview *preview, FILE *out);
