/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The status of the daemon as lines for people. Pure: the current time is an input. */

#include "base/base.h"
#include "ctl/json-output.h"
#include "ctl/screen.h"

/* A file that needs attention. */
typedef struct ViewFile {
        char *state, *path, *reason; /* owned; the reason may be NULL */
        size_t mirror;               /* index into the mirrors of the status */
} ViewFile;

typedef struct ViewInput {
        /* { "daemon": {}, "mirrors": [ {} ] }, as ctl_fetch_status() has it; NULL: there is no daemon */
        const json_t *status;
        const char *reason;      /* why there is no daemon, or why the status is out of date; NULL */
        const ViewFile *files;   /* NULL for none */
        size_t n_files;
        bool bytes;              /* exact amounts */
        uint64_t now_usec;       /* CLOCK_REALTIME */
} ViewInput;

enum { VIEW_FILES_MAX = 5 }; /* files shown for each state of a mirror: a thousand would hide all else */

/* The lines, NULL-terminated, a new array; none is wider than the terminal, if @screen is one. 0 or -ENOMEM. */
int status_view_print(const ViewInput *input, const Screen *screen, char ***ret);

/* One line of plain text about a mirror, for output that scrolls: a new string, NULL on ENOMEM. */
char *status_view_line(const json_t *mirror, bool bytes);
