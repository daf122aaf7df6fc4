/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What would be staged and whether it fits, by the same arithmetic as the daemon's, without touching anything: of
 * `shmstaged --plan` and `shmstagectl plan`. Blocking. */

#include "base/base.h"
#include "config/config.h"
#include "plan/survey.h"

typedef struct PreviewMirror {
        const MirrorConfig *config; /* borrowed */
        char *problem;   /* a sentence: why nothing can be said of it, and all below is empty; else NULL */
        Manifest *base;
        Survey survey;       /* its plan with what does not fit left out */
        FitInput input;
        Fit fit;
        bool fits;
        char *shortage;  /* a sentence, NULL if it fits */
} PreviewMirror;

typedef struct Preview {
        PreviewMirror *mirrors; /* those of the configuration, in its order: what one takes is not there for the next */
        size_t n;
        bool fits;              /* all of it */
} Preview;

/* @config has to outlive it. 0, or a negative errno with the step in *reterr_what. */
int preview_make(const Config *config, const char *state_directory, Preview *ret, const char **reterr_what);
void preview_done(Preview *preview);

/* True if there is something to say about an item to somebody who wants to know what will happen. */
bool preview_shows(const PlanItem *item);

/* As text to @out; problems to the log. Returns the exit status: 0 it fits, 1 it does not or cannot be told. */
int preview_print(const Preview *preview, FILE *out);
