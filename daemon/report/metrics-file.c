/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The metrics as a file. See report/metrics-file.h. */

#include "report/metrics-file.h"

#include "base/log.h"
#include "base/text.h"
#include "os/fs.h"

#include <fcntl.h>

#define PAUSE_USEC (10 * USEC_PER_SEC)
/* What has not changed is compared again after this, if something asks for it. */
#define SURVEY_AGAIN_USEC (USEC_PER_SEC)
/* A disk that does not answer holds up the end of the daemon for so long. */
#define LAST_USEC (5 * USEC_PER_SEC)
#define ACCURACY_USEC (USEC_PER_SEC / 4)

static void write_file(MetricsFile *file);

static uint64_t now_usec(const MetricsFile *file) {
        uint64_t now = 0;

        (void) sd_event_now(file->event, CLOCK_MONOTONIC, &now); /* at worst it is written at once */
        return now;
}

void metrics_file_done(MetricsFile *file) {
        assert(!file->running);
        file->timer = sd_event_source_unref(file->timer);
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
        free(file->obsolete); /* of two changes before one write nothing was written in between */
        file->obsolete = TAKE_PTR(file->path);
        file->path = copy;
        free(file->written);
        file->written = NULL;
        file->log_once = 0;
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
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return fs_replace(fd, strrchr(path, '/') + 1, text, strlen(text), 0644, false);
}

static void run(Job *job) {
        MetricsFile *file = (MetricsFile *) job;

        if (file->job_obsolete)
                (void) unlink(file->job_obsolete); /* it is no longer ours to say anything about */
        file->result = file->job_path ? put(file->job_path, file->text) : 0;
}

/* --- when --- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        MetricsFile *file = userdata;

        (void) source;
        (void) usec;
        if (!file->ending) {
                write_file(file);
                return 0;
        }
        file->late = true;
        file->ended(file->userdata);
        return 0;
}

static void wake_at(MetricsFile *file, uint64_t usec) {
        if (!file->timer) {
                (void) sd_event_add_time(file->event, &file->timer, CLOCK_MONOTONIC, usec, ACCURACY_USEC, on_timer,
                                         file);
                return;
        }
        (void) sd_event_source_set_time(file->timer, usec);
        (void) sd_event_source_set_enabled(file->timer, SD_EVENT_ONESHOT);
}

static void tell(MetricsFile *file) {
        LogFields fields = { .path = file->job_path, .error = -file->result };
        char path[TEXT_PATH_MAX];

        if (file->result < 0 && file->result != file->log_once)
                log_event(LOG_WARNING, &fields,
                          "Failed to write the metrics to '%s' (MetricsFile=): %s. It is tried again when they "
                          "change%s",
                          text_path(path, file->job_path), strerror(-file->result),
                          file->result == -EROFS ? "; the unit may write where a directory is named in the "
                                                   "configuration when the service is started"
                                                 : "");
        else if (file->result == 0 && file->log_once < 0)
                log_event(LOG_NOTICE, &fields, "The metrics are written to '%s' again",
                          text_path(path, file->job_path));
        file->log_once = file->result;
}

static void came_back(Job *job) {
        MetricsFile *file = (MetricsFile *) job;
        bool is_current = string_equal(file->job_path, file->path);

        file->running = false;
        if (is_current) {
                if (file->path)
                        tell(file);
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
        } else if (file->again)
                metrics_file_touch(file);
        file->again = false;
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
        file->due_usec = now_usec(file) + PAUSE_USEC;
        file->job = (Job){ .run = run, .done = came_back };
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
                file->due_usec = now_usec(file) + SURVEY_AGAIN_USEC;
                return;
        }
        submit(file);
}

void metrics_file_touch(MetricsFile *file) {
        if ((!file->path && !file->obsolete) || file->ending)
                return;
        file->again = file->running;
        if (file->running)
                return;
        if (now_usec(file) >= file->due_usec)
                write_file(file);
        else
                wake_at(file, file->due_usec);
}

bool metrics_file_end(MetricsFile *file) {
        if (!file->ending && (file->path || file->obsolete)) {
                file->ending = true;
                wake_at(file, now_usec(file) + LAST_USEC);
                if (!file->running)
                        write_file(file);
        }
        return !file->running || file->late;
}

bool metrics_file_is_stuck(const MetricsFile *file) {
        return file->running;
}
