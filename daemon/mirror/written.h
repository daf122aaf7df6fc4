/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which files may have been written, as the watch reports it, and which entries of the base that concerns. One for the
 * mirror and one for the source.
 *
 * A report names the file as it was opened; the base knows inodes. The name may be another file's by now, or gone. So a
 * name stands for the inode that the scan finds under it, for the one that the base has under it, and "#N" for inode N
 * (see tree/watch-report.h). If the base knows none of these, the name was of a new file, or it was for a while a
 * further name of a file of the base: of any, in whichever directory. But such a name cannot come or go without moving
 * the ctime of its inode, on tmpfs as on the disk, so then each file is meant that has another ctime than in the base.
 * That is not only for the scan that marks the name, but also for the next one: a scan takes time, and the name may go
 * when the scan has seen the file and not yet the name.
 *
 * Loop thread only, except that a worker may call written_mark() between written_begin() and written_end(). */

#include "base/base.h"
#include "base/pathset.h"
#include "tree/manifest.h"
#include "tree/watch-report.h"

/* Begins as zeros, and with .all if not everything since the last agreement was watched. */
typedef struct Written {
        bool all;          /* everything, since the last scan began: something was not reported by its name */
        PathSet notes;     /* if not, these names */
        bool scanning_all; /* the same for the scan that is out, or the next one: a scan before it failed */
        PathSet scanning;
        PathSet before;    /* names of the scan before it */
} Written;

void written_done(Written *written);

/* Takes a report. */
void written_note(Written *written, const WatchReport *report);

/* Nothing was reported that no scan has marked. */
bool written_is_clear(const Written *written);

/* A scan begins: it is to mark what was noted up to now, and what scans that failed before it did not mark. */
void written_begin(Written *written);

/* It has marked that. */
void written_end(Written *written);

/* Adds ENTRY_UNPROVEN to the doubts (see plan/survey.h) about the files of the base that may have been written in the
 * mirror, as the scan found that, by all their names, and ENTRY_WRITTEN if that was reported by a name. Names those in
 * @ret_marked (sorted, begins as zeros; or NULL), also if they had the mark already. 0, or -ENOMEM with nothing marked.
 * Pure. */
int written_mark(const Written *written, const Manifest *base, const Manifest *mirror, uint16_t *doubts,
                 PathSet *ret_marked);

/* Likewise adds ENTRY_DISK_WRITTEN for those whose object on the disk may have been written, also if the mirror has
 * nothing of them. */
int written_mark_disk(const Written *written, const Manifest *base, const Manifest *source, uint16_t *doubts);
