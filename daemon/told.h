/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a mirror has to tell about single paths: each thing once, while it is true, and never more than a few lines at a time. */

#include "base.h"
#include "config.h"
#include "plan.h"

/* What was told before is remembered by name. */
typedef struct Told {
        char **keys; /* sorted after told_end() */
        size_t n, n_seen;
        char **seen; /* in this round */
        size_t lines, more;
} Told;

void told_done(Told *told);

/* A round: told_item() for each thing that is true now, then told_end(), which forgets what is not true any more and tells how
 * many more there were. */
void told_begin(Told *told);
/* Logs @text, which it frees, at warning level unless it was told in the last round already. */
void told_item(Told *told, const MirrorConfig *config, const char *path, char kind, char *text);
void told_end(Told *told, const MirrorConfig *config);

/* The round of a look: what the scan left out, and what is only in the mirror. */
void told_look(Told *told, const MirrorConfig *config, const Manifest *source, const Plan *plan);
