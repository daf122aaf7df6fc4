/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Jobs: the operations and reloads that were begun over the control interface, with their progress, result and report,
 * and an object for each on every connection. The last jobs that have ended are kept for clients that ask late. Loop
 * thread only. */

#include "base/base.h"
#include "control/parse-name.h"
#include "control/operation.h"
#include "control/status.h"
#include "mirror/mirrors.h"

#include <systemd/sd-bus.h>

#define CONTROL_JOB_PATH "/io/shmstaged/job"

typedef struct ControlJob ControlJob;
typedef struct ControlJobs ControlJobs;

/* @mirrors is borrowed. */
int control_jobs_new(ControlJobs **ret, const Mirrors *mirrors);
ControlJobs *control_jobs_free(ControlJobs *jobs);

/* Adds the objects of the jobs to a connection. */
int control_jobs_register(ControlJobs *jobs, sd_bus *bus);

/* Begins an operation on each mirror that is named; without names on every mirror. A mirror that refuses while others
 * do not makes the job fail at its end, if it was named. 0 and a job, which ends in a control_jobs_update() at the
 * earliest; CONTROL_JOB_REFUSED with a sentence, and nothing was changed; CONTROL_JOB_TOO_MANY; or -ENOMEM. */
enum { CONTROL_JOB_REFUSED = 1, CONTROL_JOB_TOO_MANY };
int control_jobs_operate(ControlJobs *jobs, OperationKind kind, const ParsedName *names, size_t n, const char *who,
                         const ControlJob **ret, char **ret_refusal);

/* A job that ends when so many reloads are over. */
int control_jobs_reload(ControlJobs *jobs, unsigned reload, const ControlJob **ret);

/* Updates progress and state of all jobs. Returns how many are running. @failure: of a mirror; NULL. */
unsigned control_jobs_update(ControlJobs *jobs, const ControlState *state, const char *failure);

/* True if a job has made progress or ended since control_jobs_collect(). */
bool control_jobs_have_changed(const ControlJobs *jobs);

/* Sends PropertiesChanged for the jobs that have changed; if none has, the connection has missed signals and gets them
 * for all jobs that are running. */
void control_jobs_emit(const ControlJobs *jobs, sd_bus *bus);

/* Calls @ended once for each job that has ended, and frees all but the last of them. */
void control_jobs_collect(ControlJobs *jobs, void (*ended)(const ControlJob *job, void *userdata), void *userdata);

unsigned control_jobs_running(const ControlJobs *jobs);
bool control_jobs_is_full(const ControlJobs *jobs);

unsigned control_job_id(const ControlJob *job);
const char *control_job_path(const ControlJob *job);
const char *control_job_result(const ControlJob *job); /* "running", "done", "failed": a literal */
char *const *control_job_report(const ControlJob *job);
