/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What was begun over the control interface and goes on for a while: its progress, its end, and its objects on every
 * connection. Loop thread only. */

#include "base/base.h"
#include "control/name.h"
#include "control/operation.h"
#include "control/status.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

#define CONTROL_JOB_PATH "/io/shmstaged/job"

typedef struct ControlJob ControlJob;
typedef struct ControlJobs ControlJobs;

/* The roster is borrowed. */
int control_jobs_new(ControlJobs **ret, const Mirrors *mirrors);
ControlJobs *control_jobs_free(ControlJobs *jobs);

/* Gives a connection the objects. */
int control_jobs_add_objects(ControlJobs *jobs, sd_bus *bus);

/* Begins what an operator asks for. @names: places are indexes of the roster; none: every mirror. A mirror that
 * refuses while others do not is a failure of the job. 0 and a job, which is not over before the next
 * control_jobs_update(); CONTROL_JOB_REFUSED with a sentence, and nothing was changed; or CONTROL_JOB_TOO_MANY. */
enum { CONTROL_JOB_REFUSED = 1, CONTROL_JOB_TOO_MANY };
int control_jobs_operate(ControlJobs *jobs, OperationKind kind, const ControlName *names, size_t n, const char *who,
                         const ControlJob **ret, char **ret_refusal);

/* One that is over when so many reloads are. */
int control_jobs_reload(ControlJobs *jobs, unsigned reload, const ControlJob **ret);

/* Asks how far they are. Returns how many go on. */
unsigned control_jobs_update(ControlJobs *jobs, const ControlState *state, const char *failure);

/* True if one of them is further, or over, since control_jobs_collect(). */
bool control_jobs_have_changed(const ControlJobs *jobs);

/* Tells a connection of these. */
void control_jobs_emit(const ControlJobs *jobs, sd_bus *bus);

/* Calls @ended once for each that is over. Of those only the last few keep their objects, for clients that come late. */
void control_jobs_collect(ControlJobs *jobs, void (*ended)(const ControlJob *job, void *userdata), void *userdata);

unsigned control_jobs_running(const ControlJobs *jobs);
bool control_jobs_is_full(const ControlJobs *jobs);

unsigned control_job_id(const ControlJob *job);
const char *control_job_path(const ControlJob *job);
const char *control_job_result(const ControlJob *job); /* "running", "done", "failed": a literal */
char *const *control_job_report(const ControlJob *job);
