/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The log messages of a mirror as it goes from state to state, with their fields and MESSAGE_ID=. Loop thread only.
 * @error is a negative errno throughout; @text is a sentence of report/explain.h, or NULL if there was no memory for
 * one. */

#include "base/base.h"
#include "config/config.h"
#include "stage/attachment.h"
#include "stage/task.h"

void mirror_log_attached(const MirrorConfig *config, const Attachment *attachment);
void mirror_log_failed(const MirrorConfig *config, const char *text);
/* After a reload that would need another tmpfs. */
void mirror_log_mount_stays(const MirrorConfig *config);
/* @whole: nothing is missing. */
void mirror_log_ready(const MirrorConfig *config, const Manifest *base, bool whole);
/* A mirror that is ready: something is missing or fails now, or nothing is missing any more. */
void mirror_log_degraded(const MirrorConfig *config);
void mirror_log_complete_again(const MirrorConfig *config, size_t files, uint64_t bytes);
void mirror_log_source_lost(const MirrorConfig *config, const char *text);
void mirror_log_source_found(const MirrorConfig *config);
/* How a file was copied, at debug level. */
void mirror_log_copied(const MirrorConfig *config, const Task *task);
/* @quiet: for the debug log only. */
void mirror_log_spoilt(const MirrorConfig *config, const Task *task, bool quiet);
void mirror_log_shortage(const MirrorConfig *config, const char *text);
/* A file or link was removed from the mirror because the disk does not have it any more, or it is not selected. */
void mirror_log_gone(const MirrorConfig *config, const Entry *mirror, bool quiet);

void mirror_log_withheld(const MirrorConfig *config, const Task *task, const char *text);
/* @n messages of the same kind as those before were not logged. */
void mirror_log_more(const MirrorConfig *config, size_t n);
void mirror_log_more_gone(const MirrorConfig *config, size_t n);
/* @n files of other programs, which a crash had left among our temporary files on the disk, are in conflicts/ now. */
void mirror_log_unrecognized(const MirrorConfig *config, int n);
void mirror_log_unmatched(const MirrorConfig *config, const char *model);
void mirror_log_mass_deletion(const MirrorConfig *config, const char *text);
void mirror_log_events_lost(const MirrorConfig *config, bool of_mirror);
void mirror_log_wiped(const MirrorConfig *config);
void mirror_log_mirror_lost(const MirrorConfig *config);
/* A filesystem is mounted on @path in the mirror. */
void mirror_log_covered(const MirrorConfig *config, const char *path);
void mirror_log_xattrs_lost(const MirrorConfig *config);
/* The source, or the mirror, cannot be watched; @error 0: the kernel allows no more watches. */
void mirror_log_unwatched(const MirrorConfig *config, int error);
void mirror_log_unguarded(const MirrorConfig *config, int error);
/* The state file could not be written. */
void mirror_log_not_saved(const MirrorConfig *config, int error);
void mirror_log_not_unmounted(const MirrorConfig *config, int error);

/* A stop removes @n files with the mirror, such as @example, whose names say that they are unfinished. */
void mirror_log_unfinished(const MirrorConfig *config, size_t n, const char *example);
/* @left: one of the files for which the mirror was kept; NULL if it was removed. */
void mirror_log_removed(const MirrorConfig *config, const char *left);
