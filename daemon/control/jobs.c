/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Jobs. See control/jobs.h. */

#include "control/jobs.h"

#include "base/strv.h"
#include "base/text.h"
#include "control/message.h"

enum {
        RUNNING_MAX = 64,
        ENDED_KEPT = 16, /* for clients that ask late */
        PATH_SIZE = sizeof(CONTROL_JOB_PATH) + 12,
};

/* The share of one mirror in a job. */
typedef struct Part {
        Operation *operation; /* NULL: the mirror has refused */
        unsigned mirror;      /* its number: it may be removed before the job ends */
        char *refusal;
} Part;

typedef enum JobState { JOB_RUNNING, JOB_DONE, JOB_FAILED } JobState;

struct ControlJob {
        ControlJob *next;  /* ControlJobs.first, the newest first */
        unsigned id;
        char path[PATH_SIZE];
        const char *kind;  /* a literal */
        JobState state;
        uint64_t done, total;
        char **report;     /* NULL: none yet */
        size_t n_report;   /* of an operation: how many sentences it has */
        Part *parts;
        size_t n_parts;
        unsigned reload;   /* number of reloads that end it; 0: it is an operation */
        bool changed;      /* since the last control_jobs_collect() */
};

struct ControlJobs {
        const Mirrors *mirrors; /* borrowed */
        ControlJob *first;
        unsigned last_id, n_running;
};

static void parts_free(ControlJob *job) {
        for (size_t i = 0; i < job->n_parts; i++) {
                job->parts[i].operation = control_operation_free(job->parts[i].operation);
                free(job->parts[i].refusal);
        }
        free(job->parts);
        job->parts = NULL;
        job->n_parts = 0;
}

static ControlJob *job_free(ControlJob *job) {
        if (!job)
                return NULL;
        parts_free(job);
        job->report = strv_free(job->report);
        free(job);
        return NULL;
}
DEFINE_CLEANUP(ControlJob, job_free)

static Mirror *find_mirror(const ControlJobs *jobs, unsigned number) {
        const Mirrors *mirrors = jobs->mirrors;

        for (size_t i = 0; i < mirrors->n; i++)
                if (mirror_number(mirrors->mirrors[i]) == number)
                        return mirrors->mirrors[i];
        return NULL;
}

bool control_jobs_is_full(const ControlJobs *jobs) {
        return jobs->n_running >= RUNNING_MAX;
}

static int job_new(ControlJobs *jobs, const char *kind, ControlJob **ret) {
        ControlJob *job;

        if (control_jobs_is_full(jobs))
                return CONTROL_JOB_TOO_MANY;
        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        *job = (ControlJob){ .id = ++jobs->last_id, .kind = kind };
        (void) snprintf(job->path, sizeof(job->path), CONTROL_JOB_PATH "/%u", job->id);
        *ret = job;
        return 0;
}

static const ControlJob *begin(ControlJobs *jobs, ControlJob *job) {
        job->next = jobs->first;
        jobs->first = job;
        jobs->n_running++;
        return job;
}

static const char *const kind_names[] = {
        [OPERATION_STAGE] = "stage", [OPERATION_RELEASE] = "release", [OPERATION_ACCEPT] = "accept",
        [OPERATION_SYNC] = "sync",   [OPERATION_VERIFY] = "verify",
};

/* The paths of the names in one mirror, borrowed; none if the mirror is named as a whole. *ret_any: it is named at all,
 * or nothing is. */
static int select_names(const ParsedName *names, size_t n, size_t mirror, char ***ret, bool *ret_any) {
        char **selected = calloc(n + 1, sizeof(char *));
        size_t count = 0;

        *ret_any = n == 0;
        for (size_t i = 0; selected && i < n; i++) {
                if (names[i].mirror != mirror)
                        continue;
                *ret_any = true;
                if (names[i].path[0] == '\0') {
                        count = 0;
                        break;
                }
                selected[count++] = names[i].path;
        }
        if (selected)
                selected[count] = NULL;
        *ret = selected;
        return selected ? 0 : -ENOMEM;
}

static int add_part(ControlJob *job, Mirror *mirror, OperationKind kind, char *const *names, const char *who) {
        Part part = { .mirror = mirror_number(mirror) };
        int r = control_operation_new(&part.operation, mirror, kind, names, who, &part.refusal);

        if (r < 0)
                return r;
        job->parts[job->n_parts++] = part;
        return 0;
}

/* Without names a mirror that refuses is no failure, as long as another one does not. */
static void drop_refusals(ControlJob *job) {
        size_t n = 0;

        for (size_t i = 0; i < job->n_parts; i++) {
                if (job->parts[i].operation)
                        job->parts[n++] = job->parts[i];
                else
                        free(job->parts[i].refusal);
        }
        job->n_parts = n;
}

/* If all mirrors have refused the job is not begun. */
static int check_refusals(const ControlJob *job, char **ret_refusal) {
        int r = 0;

        for (size_t i = 0; i < job->n_parts; i++)
                if (job->parts[i].operation)
                        return 0;
        for (size_t i = 0; r == 0 && i < job->n_parts; i++)
                r = text_append(ret_refusal, "%s%s", i > 0 ? ". " : "", job->parts[i].refusal);
        if (r == 0 && job->n_parts == 0)
                r = text_append(ret_refusal, "No mirror is configured");
        return r < 0 ? r : CONTROL_JOB_REFUSED;
}

int control_jobs_operate(ControlJobs *jobs, OperationKind kind, const ParsedName *names, size_t n, const char *who,
                         const ControlJob **ret, char **ret_refusal) {
        const Mirrors *mirrors = jobs->mirrors;
        _cleanup_(job_freep) ControlJob *job = NULL;
        int r = job_new(jobs, kind_names[kind], &job);

        if (r != 0)
                return r;
        job->parts = calloc(mirrors->n + 1, sizeof(Part));
        if (!job->parts)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < mirrors->n; i++) {
                _cleanup_(freep) char **selected = NULL;
                bool any;

                r = select_names(names, n, i, &selected, &any);
                if (r == 0 && any)
                        r = add_part(job, mirrors->mirrors[i], kind, selected, who);
        }
        if (r == 0)
                r = check_refusals(job, ret_refusal);
        if (r != 0)
                return r;
        if (n == 0)
                drop_refusals(job);
        *ret = begin(jobs, TAKE_PTR(job));
        return 0;
}

int control_jobs_reload(ControlJobs *jobs, unsigned reload, const ControlJob **ret) {
        ControlJob *job;
        int r = job_new(jobs, "reload", &job);

        if (r != 0)
                return r;
        job->reload = reload;
        *ret = begin(jobs, job);
        return 0;
}

typedef struct Progress {
        bool over, failed;
        uint64_t done, total;
        size_t n_report;
        char **report; /* NULL: it is still that of the job */
} Progress;

static OperationStatus part_status(const ControlJobs *jobs, Part *part) {
        if (part->operation)
                return control_operation_status(part->operation, find_mirror(jobs, part->mirror));
        return (OperationStatus){ .over = true, .failed = true, .report = &part->refusal, .n_report = 1 };
}

/* The sentences of all mirrors one after the other. */
static int copy_report(const ControlJobs *jobs, const ControlJob *job, size_t n, char ***ret) {
        _cleanup_(strv_freep) char **copy = calloc(n + 1, sizeof(char *));
        size_t at = 0;

        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < job->n_parts; i++) {
                OperationStatus status = part_status(jobs, &job->parts[i]);

                for (size_t k = 0; k < status.n_report && at < n; k++)
                        if (!(copy[at++] = strdup(status.report[k])))
                                return -ENOMEM;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

/* The sums of all mirrors. A report can be long, so it is copied only when there is more of it. */
static int get_progress(const ControlJobs *jobs, const ControlJob *job, Progress *ret) {
        bool known = true;

        ret->over = true;
        for (size_t i = 0; i < job->n_parts; i++) {
                OperationStatus status = part_status(jobs, &job->parts[i]);

                ret->over = ret->over && status.over;
                ret->failed = ret->failed || status.failed;
                ret->done += status.done;
                ret->total += status.total;
                ret->n_report += status.n_report;
                known = known && (status.total > 0 || status.over);
        }
        if (!known)
                ret->total = 0;
        return ret->n_report == job->n_report ? 0 : copy_report(jobs, job, ret->n_report, &ret->report);
}

static int get_reload_progress(const ControlJob *job, const ControlState *state, const char *failure, Progress *ret) {
        ret->over = state->reloads >= job->reload || state->stopping;
        if (!ret->over)
                return 0;
        if (state->reloads >= job->reload && !state->reload_errors && !failure)
                return 0;
        ret->failed = true;
        if (state->reloads >= job->reload && state->reload_errors)
                return strv_copy(state->reload_errors, &ret->report);
        return strv_take(&ret->report, strdup(failure ? failure : "The daemon is stopping"));
}

static void update_job(ControlJobs *jobs, ControlJob *job, const ControlState *state, const char *failure) {
        Progress now = {};

        if ((job->reload > 0 ? get_reload_progress(job, state, failure, &now) : get_progress(jobs, job, &now)) < 0) {
                now.report = strv_free(now.report);
                return; /* out of memory: the next update tries again */
        }
        job->changed = job->changed || now.over || now.done != job->done || now.total != job->total || now.report;
        job->done = now.done;
        job->total = now.total;
        if (now.report) {
                (void) strv_free(job->report);
                job->report = now.report;
                job->n_report = now.n_report;
        }
        if (!now.over)
                return;
        job->state = now.failed ? JOB_FAILED : JOB_DONE;
        jobs->n_running--;
        parts_free(job);
}

unsigned control_jobs_update(ControlJobs *jobs, const ControlState *state, const char *failure) {
        for (ControlJob *job = jobs->first; job; job = job->next)
                if (job->state == JOB_RUNNING)
                        update_job(jobs, job, state, failure);
        return jobs->n_running;
}

bool control_jobs_have_changed(const ControlJobs *jobs) {
        for (ControlJob *job = jobs->first; job; job = job->next)
                if (job->changed)
                        return true;
        return false;
}

/* A signal that cannot be sent is ignored: the client is gone, which clients.c and system-bus.c notice themselves. */
void control_jobs_emit(const ControlJobs *jobs, sd_bus *bus) {
        bool changed = control_jobs_have_changed(jobs);

        for (ControlJob *job = jobs->first; job; job = job->next)
                if (changed ? job->changed : job->state == JOB_RUNNING)
                        (void) sd_bus_emit_properties_changed(bus, job->path, "io.shmstaged.Job1", "State", "Done",
                                                              "Total", "Report", NULL);
}

static void drop_oldest(ControlJobs *jobs) {
        unsigned n = 0;

        for (ControlJob **link = &jobs->first; *link;) {
                ControlJob *job = *link;

                if (job->state == JOB_RUNNING || ++n <= ENDED_KEPT) {
                        link = &job->next;
                        continue;
                }
                *link = job->next;
                (void) job_free(job);
        }
}

void control_jobs_collect(ControlJobs *jobs, void (*ended)(const ControlJob *job, void *userdata), void *userdata) {
        for (ControlJob *job = jobs->first; job; job = job->next) {
                if (job->changed && job->state != JOB_RUNNING)
                        ended(job, userdata);
                job->changed = false;
        }
        drop_oldest(jobs);
}

unsigned control_jobs_running(const ControlJobs *jobs) {
        return jobs->n_running;
}

unsigned control_job_id(const ControlJob *job) {
        return job->id;
}

const char *control_job_path(const ControlJob *job) {
        return job->path;
}

const char *control_job_result(const ControlJob *job) {
        return job->state == JOB_RUNNING ? "running" : job->state == JOB_DONE ? "done" : "failed";
}

char *const *control_job_report(const ControlJob *job) {
        return job->report;
}

static int find_object(sd_bus *bus _unused_, const char *path, const char *interface _unused_, void *userdata,
                       void **ret_found, sd_bus_error *error _unused_) {
        ControlJobs *jobs = userdata;

        for (ControlJob *job = jobs->first; job; job = job->next)
                if (string_equal(job->path, path)) {
                        *ret_found = job;
                        return 1;
                }
        return 0;
}

static int list_objects(sd_bus *bus _unused_, const char *prefix _unused_, void *userdata, char ***ret,
                        sd_bus_error *error _unused_) {
        ControlJobs *jobs = userdata;
        _cleanup_(strv_freep) char **paths = NULL;
        int r = 0;

        for (ControlJob *job = jobs->first; r == 0 && job; job = job->next)
                r = strv_take(&paths, strdup(job->path));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(paths);
        return 0;
}

static int get_property(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                        const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const ControlJob *job = userdata;

        if (string_equal(property, "State"))
                return sd_bus_message_append(reply, "s", control_job_result(job));
        return control_message_append_texts(reply, job->report);
}

static const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "u", NULL, offsetof(ControlJob, id), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Kind", "s", NULL, offsetof(ControlJob, kind), SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Done", "t", NULL, offsetof(ControlJob, done), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Total", "t", NULL, offsetof(ControlJob, total), SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Report", "as", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int control_jobs_register(ControlJobs *jobs, sd_bus *bus) {
        int r = sd_bus_add_fallback_vtable(bus, NULL, CONTROL_JOB_PATH, "io.shmstaged.Job1", job_vtable, find_object,
                                           jobs);

        return r < 0 ? r : sd_bus_add_node_enumerator(bus, NULL, CONTROL_JOB_PATH, list_objects, jobs);
}

int control_jobs_new(ControlJobs **ret, const Mirrors *mirrors) {
        ControlJobs *jobs = calloc(1, sizeof(*jobs));

        if (!jobs)
                return -ENOMEM;
        jobs->mirrors = mirrors;
        *ret = jobs;
        return 0;
}

ControlJobs *control_jobs_free(ControlJobs *jobs) {
        if (!jobs)
                return NULL;
        while (jobs->first) {
                ControlJob *job = jobs->first;

                jobs->first = job->next;
                (void) job_free(job);
        }
        free(jobs);
        return NULL;
}
