/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Whether a process can have written to a file of the mirror since it was last read and found good. Size and times do
 * not show it.
 *
 * A store through a shared mapping moves mtime and ctime of a tmpfs file only if it is the first touch of that page
 * through that mapping, and then once. Where the page was read before through the same mapping, or was faulted in
 * with its neighbours or by MAP_POPULATE, the store moves neither, nor does msync() or munmap() (measured on Linux
 * 6.18). So to stat(), a client's finished work may look like a flipped bit. But a writer has had the file open for
 * writing: the watch reports its last close or munmap() (IN_CLOSE_WRITE), and while it is open we are refused a read
 * lease. Where neither was seen, nothing wrote.
 *
 * Remembers what was found good in the last complete pass, and what was reported since that pass began. Loop thread
 * only. */

#include "base/base.h"
#include "base/pathset.h"
#include "tree/manifest.h"
#include "tree/watch-report.h"

typedef struct ScrubWriters {
        Manifest *good;          /* of the last complete pass; NULL: none */
        /* reported between the beginnings of that pass and of the present one; and since then */
        PathSet before, present;
        bool blind_before, blind; /* likewise: something was not reported, or not by its name */
} ScrubWriters;

/* Forgets everything, also when a pass was given up. */
void scrub_writers_done(ScrubWriters *writers);

/* Takes a report about the mirror. */
void scrub_writers_note(ScrubWriters *writers, const WatchReport *report);

/* A pass begins; @watching: every change of the mirror is reported. */
void scrub_writers_begin(ScrubWriters *writers, bool watching);

/* The pass is over: takes the files that were found good. */
void scrub_writers_end(ScrubWriters *writers, Manifest *good);

/* True if nothing wrote to this file, through this name, since it was found good. */
bool scrub_writers_none_since(ScrubWriters *writers, const Entry *entry);
