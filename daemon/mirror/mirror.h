/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* One source/target pair: its phases, and the order of the steps. Nothing else knows the order:
 *
 *      attach -> watch -> scan -> plan -> fit -> stage -> save the manifest -> watch the mirror -> idle
 *                          ^        |                                                               |
 *                          |        +-> saves, beside all the rest                                  |
 *                          +-------- something changed, or it is time to poll ----------------------+
 *      stop: cancel -> scan -> save -> remove what the manifest lists -> detach
 *
 * Loop thread only. Every step that can wait for a disk is a job. A mirror that fails, fails alone, and its status says
 * why. */

#include "base/base.h"
#include "mirror/state.h"

/* The configuration is copied; the context is borrowed for as long as the mirror lives. */
int mirror_new(Mirror **ret, const MirrorConfig *config, const MirrorIds *ids, const MirrorContext *context);
/* Only when it has stopped or failed, or was never started. */
Mirror *mirror_free(Mirror *mirror);
DEFINE_CLEANUP(Mirror, mirror_free)

/* Begins; reaches MIRROR_PLANNED, where it waits, so that all mirrors can plan before one byte is copied. */
void mirror_start(Mirror *mirror);

/* At MIRROR_PLANNED: decides what of the plan fits, once. False if it failed for lack of room; else it may proceed. */
bool mirror_fits(Mirror *mirror);
void mirror_proceed(Mirror *mirror);

/* Something was reported by the watch: taken if it is about this mirror's source or target. */
void mirror_notice(Mirror *mirror, const WatchReport *report);

/* Another BandwidthLimit=, effective immediately: the rest of a configuration waits until nothing is under way. */
void mirror_set_limit(Mirror *mirror, uint64_t bytes_per_sec);

/* Takes a new configuration (same source and target) and plans again, giving withheld files another try. */
int mirror_reconfigure(Mirror *mirror, const MirrorConfig *config);

/* Ends; reaches MIRROR_STOPPED, or MIRROR_FAILED if something had to be left. */
void mirror_stop(Mirror *mirror);

/* For a stop that is held up by a worker whose read does not come back: takes the mirror down without waiting. The
 * worker may still use what the mirror owns, so nothing may be freed any more: the process has to end. */
void mirror_abandon(Mirror *mirror);

const MirrorConfig *mirror_config(const Mirror *mirror);
unsigned mirror_number(const Mirror *mirror);
MirrorState mirror_state(const Mirror *mirror);
MirrorStatus mirror_status(const Mirror *mirror);

/* Logs that it is degraded, or complete again, if that differs from what was logged last. */
void mirror_report(Mirror *mirror);

/* The status is being read: what takes a while to count, and is not kept up by itself because nothing may ever ask for
 * it, is counted in the background for the next time. */
void mirror_measure(Mirror *mirror);

/* True if it is idle and no configuration of mirror_reconfigure() is waiting to be applied. */
bool mirror_is_settled(const Mirror *mirror);

/* A job that reads the mirror for an operator is out on its workers, or has come back: the end waits for it. */
void mirror_recheck_began(Mirror *mirror);
void mirror_recheck_ended(Mirror *mirror);
