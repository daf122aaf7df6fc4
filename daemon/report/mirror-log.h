/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a mirror says in the journal as it goes from state to state: the sentences, their fields and their MESSAGE_ID=. */

#include "base/base.h"
#include "config/config.h"
#include "stage/attachment.h"
#include "stage/task.h"

void mirror_log_attached(const MirrorConfig *config, const Attachment *attachment);
void mirror_log_failed(const MirrorConfig *config, const char *text);
/* A reload that would need another tmpfs. */
void mirror_log_mount_stays(const MirrorConfig *config);
void mirror_log_ready(const MirrorConfig *config, const Manifest *base, bool whole);
/* Of a mirror that is ready: something is missing or fails now, or it is whole again. */
void mirror_log_degraded(const MirrorConfig *config);
void mirror_log_complete_again(const MirrorConfig *config, size_t files, uint64_t bytes);
void mirror_log_source_lost(const MirrorConfig *config, const char *text);
void mirror_log_source_found(const MirrorConfig *config);
/* How a file came, at debug level. */
void mirror_log_copied(const MirrorConfig *config, const Task *task);
void mirror_log_shortage(const MirrorConfig *config, const char *text);
void mirror_log_withheld(const MirrorConfig *config, const Task *task, const char *text);
/* @n further files met the same as those that were told. */
void mirror_log_more(const MirrorConfig *config, size_t n);
/* Files of others that a crash had left among our temporaries on the disk. */
void mirror_log_unrecognized(const MirrorConfig *config, int n);
void mirror_log_unmatched(const MirrorConfig *config, const char *model);
void mirror_log_mass_deletion(const MirrorConfig *config, const char *text);
/* Deletions among what was lost are staged again. */
void mirror_log_events_lost(const MirrorConfig *config, bool of_mirror);
void mirror_log_wiped(const MirrorConfig *config);
void mirror_log_mirror_lost(const MirrorConfig *config);
void mirror_log_xattrs_lost(const MirrorConfig *config);
void mirror_log_unwatched(const MirrorConfig *config, int error); /* @error 0: the kernel allows no more watches */
/* The same for the mirror. */
void mirror_log_unguarded(const MirrorConfig *config, int error);
void mirror_log_not_saved(const MirrorConfig *config, int error);
void mirror_log_not_unmounted(const MirrorConfig *config, int error);

/* @left: one of the files that had to be kept; NULL if none. */
void mirror_log_removed(const MirrorConfig *config, const char *left);
