/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The metrics as a file. See report/metrics-file.h. */

#include "report/metrics-file.h"

#include "base/log.h"
#include "base/text.h"
#include "os/own-file.h"

#include <fcntl.h>

/* Between two writes. */
#define PAUSE_USEC (10 * USEC_PER_SEC)
/* Metrics that have not changed are not rendered again before this has passed, however often something asks for it. */
#define UNCHANGED_PAUSE_USEC (USEC_PER_SEC)
/* For so long a disk that does not answer may hold up the end of the daemon. */
#define LAST_USEC (5 * USEC_PER_SEC)

static void write_file(MetricsFile *file);

void metrics_file_done(MetricsFile *file) {
        assert(!file->running);
        clock_timer_done(&file->timer);
        free(file->path);
        free(file->obsolete);
        free(file->written);
        file->path = file->obsolete = file->written = NULL;
}

int metrics_file_set_path(MetricsFile *file, const char *path) {
        char *copy = NULL;

        if (path && path[0] == '\0')
                path = NULL;
        if (string_equal(path, file->path))
                return 0;
        if (path && !(copy = strdup(path)))
                return -ENOMEM;
        free(file->obsolete); /* set only if the path changes twice without a write between: that file is not there */
        file->obsolete = TAKE_PTR(file->path);
        file->path = copy;
        free(file->written);
        file->written = NULL;
        file->reported_error = 0;
        file->due_usec = 0;
        metrics_file_touch(file);
        return 0;
}

/* --- the job --- */

static int put(const char *path, const char *text) {
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(freep) char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;

        if (!slash)
                return -ENOMEM;
        slash[slash == directory] = '\0';
        fd = own_file_open_directory(directory);
        return fd < 0 ? fd : own_file_replace(fd, strrchr(path, '/') + 1, text, strlen(text), 0644, false);
}

static void run(Job *job) {
        MetricsFile *file = (MetricsFile *) job;

        if (file->job_obsolete)
                (void) own_file_remove(AT_FDCWD, file->job_obsolete); /* at worst it stays, with metrics that are old */
        file->result = file->job_path ? put(file->job_path, file->text) : 0;
}

/* --- the times at which it is written --- */

static int on_timer(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        MetricsFile *file = userdata;

        if (!file->ending) {
                metrics_file_touch(file); /* a job may be out, for another path */
                return 0;
        }
        file->late = true;
        file->ended(file->userdata);
        return 0;
}

static void wake_at(MetricsFile *file, uint64_t usec) {
        if (!file->timer.handler)
                file->timer = (ClockTimer){ .event = file->event, .handler = on_timer, .userdata = file };
        (void) clock_timer_set(&file->timer, usec);
}

static void report_result(MetricsFile *file) {
        LogFields fields = { .path = file->job_path, .error = -file->result };
        char path[TEXT_PATH_MAX];

        (void) text_path(path, file->job_path);
        if (file->result < 0 && file->result != file->reported_error)
                log_event(LOG_WARNING, &fields, "Failed to write metrics to '%s': %s; %s", path,
                          strerror(-file->result),
                          file->result == -EROFS ? "run 'systemctl daemon-reload' and restart the service to let it "
                                                   "write where MetricsFile= says"
                                                 : "will retry when they change");
        else if (file->result == 0 && file->reported_error < 0)
                log_event(LOG_NOTICE, &fields, "Writing metrics to '%s' works again", path);
        file->reported_error = file->result;
}

static void on_written(Job *job) {
        MetricsFile *file = (MetricsFile *) job;
        bool is_current = string_equal(file->job_path, file->path);

        file->running = false;
        if (is_current) {
                if (file->path)
                        report_result(file);
                free(file->written);
                file->written = file->result == 0 ? TAKE_PTR(file->text) : NULL;
        }
        free(file->text);
        free(file->job_path);
        free(file->job_obsolete);
        file->text = file->job_path = file->job_obsolete = NULL;
        if (file->ending) {
                if (!file->last)
                        write_file(file);
                if (!file->running)
                        file->ended(file->userdata);
        } else if (file->changed)
                metrics_file_touch(file);
        file->changed = false;
}

static void submit(MetricsFile *file) {
        file->job_obsolete = TAKE_PTR(file->obsolete);
        file->job_path = file->path ? strdup(file->path) : NULL;
        if (file->path && !file->job_path) {
                free(file->text);
                file->text = NULL;
                return;
        }
        file->running = true;
        file->due_usec = clock_now(file->event) + PAUSE_USEC;
        file->job = (Job){ .run = run, .done = on_written };
        pool_submit(file->pool, &file->job);
}

static void write_file(MetricsFile *file) {
        file->last = file->ending;
        file->text = file->path ? file->render(file->userdata) : NULL;
        if (file->path && !file->text)
                return;
        if (!file->obsolete && string_equal(file->text, file->written)) {
                free(file->text);
                file->text = NULL;
                file->due_usec = clock_now(file->event) + UNCHANGED_PAUSE_USEC;
                return;
        }
        submit(file);
}

void metrics_file_touch(MetricsFile *file) {
        if ((!file->path && !file->obsolete) || file->ending)
                return;
        file->changed = file->running;
        if (file->running)
                return;
        if (clock_now(file->event) >= file->due_usec)
                write_file(file);
        else
                wake_at(file, file->due_usec);
}

bool metrics_file_end(MetricsFile *file) {
        if (!file->ending && (file->path || file->obsolete)) {
                file->ending = true;
                wake_at(file, clock_now(file->event) + LAST_USEC);
                if (!file->running)
                        write_file(file);
        }
        return !file->running || file->late;
}

bool metrics_file_is_stuck(const MetricsFile *file) {
        return file->running;
}
