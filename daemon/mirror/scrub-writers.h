/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether somebody can have written to a file of the mirror since it was last read and found good: size and times do
 * not tell.
 *
 * A store through a shared mapping moves mtime and ctime of a tmpfs file only if it is the first touch of that page
 * through that mapping, and then once. Where the page was read before through the same mapping, or was faulted in
 * with its neighbours or by MAP_POPULATE, the store moves neither, nor does msync() or munmap() (measured on Linux
 * 6.18). So by what stat() says, a client's finished work may look like a flipped bit. But who writes has had the
 * file open for writing, and its last close or munmap() is reported by the watch (IN_CLOSE_WRITE); who has it open
 * still refuses us a read lease. Where neither was seen, nobody wrote.
 *
 * Goes by passes: what was found good in the last complete one, and what was reported since that one began. Loop
 * thread only. */

#include "base/base.h"
#include "base/pathset.h"
#include "tree/manifest.h"
#include "tree/watch-report.h"

typedef struct ScrubWriters {
        Manifest *good;          /* of the last complete pass; NULL: none */
        PathSet before, present; /* reported from when that pass began until the one at hand did; and since then */
        bool blind_before, blind; /* likewise: something was not reported, or not by its name */
} ScrubWriters;

void scrub_writers_done(ScrubWriters *writers);

/* A report about the mirror. */
void scrub_writers_note(ScrubWriters *writers, const WatchReport *report);

/* A pass begins; @watching: every change of the mirror is reported. */
void scrub_writers_begin(ScrubWriters *writers, bool watching);

/* It is over: takes the files that were found good. */
void scrub_writers_end(ScrubWriters *writers, Manifest *good);

/* It was given up: what was seen before it counts no more. */
void scrub_writers_forget(ScrubWriters *writers);

/* True if nobody wrote to this file since it was found good: not through this name. */
bool scrub_writers_none_since(ScrubWriters *writers, const Entry *entry);
