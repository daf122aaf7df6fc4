/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the daemon says of itself -> lines for people. Pure, but for the clock: "3min ago". */

#include "base/base.h"
#include "ctl/json-output.h"
#include "ctl/screen.h"

/* One file that somebody may want to know of, and why. */
typedef struct ViewFile {
        char *state, *path, *reason; /* owned; the reason may be NULL */
} ViewFile;

/* All that is shown. */
typedef struct ViewInput {
        const json_t
                *status; /* { "daemon": {}, "mirrors": [ {} ] }, as GetStatus() has it; NULL: there is no daemon */
        const char *reason;      /* why there is none, or why this is not news; NULL */
        const ViewFile *files;   /* of mirror @files_mirror[i]; NULL for none */
        const size_t *files_mirror;
        size_t n_files;
        bool bytes;              /* amounts exactly */
        uint64_t now_usec;       /* CLOCK_REALTIME */
} ViewInput;

enum { VIEW_FILES_MAX = 5 }; /* of one state of a mirror, so that a thousand do not hide the rest */

/* The lines, NULL-terminated: a new array; on a terminal none is wider than it is. 0 or -ENOMEM. */
int status_view_print(const ViewInput *input, const Screen *screen, char ***ret);

/* One line of plain text about a mirror, for where lines go one after the other: a new string, NULL on ENOMEM. */
char *status_view_line(const json_t *mirror, bool bytes);
