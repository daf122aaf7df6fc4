/* SPDX-License-Identifier: GPL-2.0-or-later */

/* shmstagectl stage, release, accept, sync, verify and reload: each starts a job of the daemon, which carries on
 * even if this program does not wait for it. */

#include "ctl/commands.h"

#include "base/clock.h"
#include "base/text.h"
#include "ctl/connection.h"
#include "ctl/json-output.h"
#include "ctl/reply.h"
#include "ctl/screen.h"

#define PROGRESS_USEC (USEC_PER_SEC / 2) /* between two reads of the progress */

typedef struct Job {
        const Ctl *ctl;
        CtlConnection bus;
        const char *doing;  /* "Staging" */
        char *path;         /* of the D-Bus object; NULL before the reply */
        bool over, failed;
        json_t *report;
        json_t *early;      /* jobs that ended before the reply that says which is ours: path -> [ result, report ] */
        Screen screen;
        uint64_t next_usec; /* of the next read of the progress */
        bool drawn;         /* a line of progress is on the terminal */
} Job;

static void take_end(Job *job, const char *result, json_t *report) {
        job->over = true;
        job->failed = !string_equal(result, "done");
        job->report = json_incref(report);
}

/* JobRemoved: a job has ended. It may come before the reply that says which job is ours. */
static int on_removed(sd_bus_message *signal, void *userdata, sd_bus_error *error _unused_) {
        Job *job = userdata;
        const char *path, *result;
        _cleanup_(json_decrefp) json_t *report = NULL;
        json_t *end;
        uint32_t id;

        if (sd_bus_message_read(signal, "uos", &id, &path, &result) < 0 || ctl_reply_json(signal, &report) < 0)
                return 0;
        if (job->path && strcmp(path, job->path) == 0)
                take_end(job, result, report);
        else if (!job->path && (end = json_pack("[sO]", result, report)))
                (void) json_object_set_new(job->early, path, end);
        return 0;
}

static void clear_progress(Job *job) {
        if (job->drawn)
                (void) fputs("\r\033[K", stderr);
        job->drawn = false;
}

static void draw_progress(Job *job, uint64_t done, uint64_t total) {
        char a[TEXT_BYTES_MAX], b[TEXT_BYTES_MAX];
        unsigned percent = total > 0 ? (unsigned) (MIN(done, total) * 100 / total) : 0;
        _cleanup_(freep) char *bar = NULL, *line = NULL, *cut = NULL;

        job->screen = screen_of(STDERR_FILENO);
        bar = total > 0 && job->screen.columns > 60 ? screen_bar(&job->screen, 20, percent) : NULL;
        (void) text_append(&line, "%s", job->doing);
        if (bar)
                (void) text_append(&line, " %s", bar);
        if (total > 0)
                (void) text_append(&line, " %u%%, %s of %s", percent, text_bytes(a, MIN(done, total)),
                                   text_bytes(b, total));
        else
                (void) text_append(&line, "%s", job->screen.unicode ? "…" : "...");
        cut = line ? screen_cut(&job->screen, line, job->screen.columns - 1) : NULL;
        (void) fprintf(stderr, "\r\033[K%s", cut ? cut : "");
        (void) fflush(stderr);
        job->drawn = true;
}

/* Shows the progress, on a terminal. */
static void show_progress(Job *job) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_(json_decrefp) json_t *facts = NULL;

        if (!job->screen.terminal ||
            sd_bus_message_new_method_call(job->bus.bus, &call, job->bus.destination, job->path,
                                           "org.freedesktop.DBus.Properties", "GetAll") < 0 ||
            sd_bus_message_append(call, "s", "io.shmstaged.Job1") < 0 ||
            sd_bus_call(job->bus.bus, call, CTL_CALL_USEC, NULL, &reply) < 0 || ctl_reply_json(reply, &facts) < 0)
                return; /* the job may just have ended, which the signal reports */
        draw_progress(job, ctl_reply_number(facts, "Done"), ctl_reply_number(facts, "Total"));
}

/* Waits for a message, or until the progress is due. */
static int wait_for_more(Job *job) {
        uint64_t now = clock_usec(CLOCK_MONOTONIC);

        if (!job->screen.terminal)
                return sd_bus_wait(job->bus.bus, UINT64_MAX);
        if (now < job->next_usec)
                return sd_bus_wait(job->bus.bus, job->next_usec - now);
        job->next_usec = now + PROGRESS_USEC;
        show_progress(job);
        return 0;
}

static int wait_for_end(Job *job, char **ret_reason) {
        int r;

        job->next_usec = clock_usec(CLOCK_MONOTONIC) + PROGRESS_USEC / 2; /* most jobs have ended by then */
        while (!job->over) {
                while ((r = sd_bus_process(job->bus.bus, NULL)) > 0)
                        ;
                if (r >= 0 && !job->over)
                        r = wait_for_more(job);
                if (r < 0 && r != -EINTR) {
                        clear_progress(job);
                        (void) ctl_connection_broken(&job->bus, r, ret_reason);
                        return CTL_FAILED;
                }
        }
        clear_progress(job);
        return CTL_DONE;
}

static CtlTrouble call_job(Job *job, const char *member, char *const *names, char **ret_reason) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = ctl_connection_message(&job->bus, member),
                                                        *reply = NULL;
        uint64_t usec = job->bus.agent > 0 ? UINT64_MAX : CTL_CALL_USEC; /* a user may be typing a password */
        CtlTrouble trouble;
        const char *path;

        if (call && names && ctl_connection_append_names(call, names) < 0)
                call = sd_bus_message_unref(call);
        trouble = ctl_connection_call(&job->bus, call, usec, &reply, ret_reason);
        if (trouble != CTL_TROUBLE_NONE)
                return trouble;
        if (sd_bus_message_read(reply, "o", &path) < 0 || !(job->path = strdup(path))) {
                (void) text_append(ret_reason, "Failed to read the reply of the daemon");
                return CTL_TROUBLE_STRANGE;
        }
        return CTL_TROUBLE_NONE;
}

static CtlTrouble begin(Job *job, const char *member, char *const *names, char **ret_reason) {
        int r = sd_bus_match_signal(job->bus.bus, NULL, job->bus.destination, CTL_OBJECT, CTL_INTERFACE, "JobRemoved",
                                    on_removed, job);

        if (r < 0) {
                (void) text_append(ret_reason, "Failed to subscribe to signals of the daemon: %s", strerror(-r));
                return CTL_TROUBLE_REFUSED;
        }
        return call_job(job, member, names, ret_reason);
}

/* A user who is denied on the private socket may be allowed on the system bus, where polkit can ask for a password. */
static CtlTrouble begin_anywhere(Job *job, const char *member, char *const *names, char **ret_reason) {
        CtlTrouble trouble = ctl_connection_open(job->ctl, &job->bus, ret_reason), again;
        _cleanup_(freep) char *second = NULL;
        CtlConnection bus;

        if (trouble != CTL_TROUBLE_NONE)
                return trouble;
        trouble = begin(job, member, names, ret_reason);
        if (trouble != CTL_TROUBLE_DENIED || job->ctl->socket)
                return trouble;
        again = ctl_connection_open_interactive(&bus, &second);
        if (again != CTL_TROUBLE_NONE)
                return trouble;
        ctl_connection_close(&job->bus);
        job->bus = bus;
        again = begin(job, member, names, &second);
        if (again == CTL_TROUBLE_ABSENT) /* not on the bus: the first answer holds */
                return trouble;
        free(*ret_reason);
        *ret_reason = TAKE_PTR(second);
        return again;
}

static int print_end(const Job *job) {
        json_t *result;

        for (size_t i = 0; job->ctl->json == CTL_JSON_OFF && i < json_array_size(job->report); i++) {
                const char *sentence = json_string_value(json_array_get(job->report, i));
                _cleanup_(freep) char *safe = sentence ? screen_text(sentence) : NULL;

                if (job->failed)
                        screen_error("%s", sentence);
                else if (safe)
                        (void) printf("%s\n", safe);
        }
        if (job->ctl->json == CTL_JSON_OFF && job->failed && json_array_size(job->report) == 0)
                screen_error("%s failed; see journalctl -u shmstaged.service", job->doing);
        if (job->ctl->json != CTL_JSON_OFF) {
                result = json_pack("{ssss?sO?}", "job", job->path, "result",
                                   job->over ? job->failed ? "failed" : "done" : NULL, "report", job->report);
                (void) json_output_print(job->ctl, result, stdout);
                json_decref(result);
        }
        return job->failed ? CTL_FAILED : CTL_DONE;
}

static void find_early(Job *job) {
        const json_t *end = json_object_get(job->early, job->path);

        if (end)
                take_end(job, json_string_value(json_array_get(end, 0)), json_array_get(end, 1));
}

/* @names: NULL for a call that takes none. */
static int run_job(const Ctl *ctl, const char *member, const char *doing, char *const *names) {
        _cleanup_(freep) char *reason = NULL;
        Job job = { .ctl = ctl, .doing = doing, .screen = screen_of(STDERR_FILENO), .early = json_object() };
        CtlTrouble trouble = begin_anywhere(&job, member, names, &reason);
        int r = trouble == CTL_TROUBLE_NONE ? CTL_DONE : CTL_FAILED;

        if (r == CTL_DONE)
                find_early(&job);
        if (r == CTL_DONE && !ctl->no_block)
                r = wait_for_end(&job, &reason);
        if (r == CTL_DONE)
                r = print_end(&job);
        else
                screen_error("%s", reason ? reason : strerror(ENOMEM));
        ctl_connection_close(&job.bus);
        json_decref(job.early);
        json_decref(job.report);
        free(job.path);
        return r;
}

/* A forgotten name must not turn into a change of everything. */
static int run_named(const Ctl *ctl, const char *member, const char *doing, char *const *names) {
        if (!names[0] && !ctl->all)
                return screen_fail(CTL_BAD_ARGUMENTS, "Specify NAMEs or --all");
        if (names[0] && ctl->all)
                return screen_fail(CTL_BAD_ARGUMENTS, "--all and NAMEs are mutually exclusive");
        return run_job(ctl, member, doing, names);
}

int commands_stage(const Ctl *ctl, char *const *arguments) {
        return run_named(ctl, "Stage", "Staging", arguments);
}

int commands_release(const Ctl *ctl, char *const *arguments) {
        return run_job(ctl, "Release", "Releasing", arguments);
}

int commands_accept(const Ctl *ctl, char *const *arguments) {
        return run_named(ctl, "Accept", "Accepting", arguments);
}

int commands_verify(const Ctl *ctl, char *const *arguments) {
        return run_job(ctl, "Verify", "Verifying", arguments);
}

int commands_sync(const Ctl *ctl, char *const *arguments _unused_) {
        return run_job(ctl, "Sync", "Saving", NULL);
}

int commands_reload(const Ctl *ctl, char *const *arguments _unused_) {
        return run_job(ctl, "Reload", "Reloading", NULL);
}
