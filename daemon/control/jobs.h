/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What was begun over the control interface and goes on for a while: its progress, its end, and its objects on every connection. Loop thread only. */

#include "base/base.h"
#include "control/name.h"
#include "control/operation.h"
#include "control/status.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

#define CONTROLJOB_PATH "/io/shmstaged/job"

typedef struct ControlJob ControlJob;
typedef struct ControlJobs ControlJobs;

/* The roster is borrowed. */
int controljobs_new(ControlJobs **ret, const Roster *roster);
ControlJobs *controljobs_free(ControlJobs *jobs);

/* Gives a connection the objects. */
int controljobs_dress(ControlJobs *jobs, sd_bus *bus);

/* Begins what an operator asks for. @names: places are indexes of the roster; none: every mirror. A mirror that refuses while others do not is a failure of the job. 0 and a job, which is not
 * over before the next controljobs_update(); CONTROLJOB_REFUSED with a sentence, and nothing was changed; or CONTROLJOB_TOO_MANY. */
enum { CONTROLJOB_REFUSED = 1, CONTROLJOB_TOO_MANY };
int controljobs_steer(ControlJobs *jobs, SteerKind kind, const ControlName *names, size_t n, const char *who, const ControlJob **ret, char **ret_refusal);

/* One that is over when so many reloads are. */
int controljobs_reload(ControlJobs *jobs, unsigned reload, const ControlJob **ret);

/* Asks how far they are. Returns how many go on. */
unsigned controljobs_update(ControlJobs *jobs, const ControlState *state, const char *failure);

/* True if one of them is further, or over, since controljobs_reap(). */
bool controljobs_have_changed(const ControlJobs *jobs);

/* Tells a connection of these. */
void controljobs_emit(const ControlJobs *jobs, sd_bus *bus);

/* Calls @ended once for each that is over. Of those only the last few keep their objects, for clients that come late. */
void controljobs_reap(ControlJobs *jobs, void (*ended)(const ControlJob *job, void *userdata), void *userdata);

unsigned controljobs_running(const ControlJobs *jobs);
bool controljobs_is_full(const ControlJobs *jobs);

unsigned controljob_id(const ControlJob *job);
const char *controljob_path(const ControlJob *job);
const char *controljob_result(const ControlJob *job); /* "running", "done", "failed": a literal */
char *const *controljob_report(const ControlJob *job);
