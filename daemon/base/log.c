/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One sentence per event, to the journal with its fields or to stderr as a line. See base/log.h. */

#include "base/log.h"

#include "base/text.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

/* Set once by log_setup(), read by all threads. */
static bool to_journal;
static int max_priority = LOG_INFO;
static _Atomic(void (*)(void)) before_line;

/* systemd sets JOURNAL_STREAM=DEVICE:INODE of the socket that it made stderr of (systemd.exec(5)); after a redirection
 * it no longer matches. */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

void log_setup(LogTarget target, int priority) {
        to_journal = target == LOG_TARGET_JOURNAL || (target == LOG_TARGET_AUTO && stderr_is_journal());
        max_priority = priority;
}

void log_set_before_line(void (*before)(void)) {
        atomic_store(&before_line, before);
}

/* NULL for 0, for which there is no field. */
static const char *number(char buffer[static 24], uint64_t value) {
        (void) snprintf(buffer, 24, "%llu", (unsigned long long) value);
        return value > 0 ? buffer : NULL;
}

static void send_to_journal(int priority, const LogFields *fields, const char *text) {
        char level[24], error[24], bytes[24], count[24];
        const struct { const char *name, *value; } all[] = {
                { "MESSAGE", text },
                { "PRIORITY", number(level, (uint64_t) priority) },
                { "MESSAGE_ID", fields->message_id },
                { "SHMSTAGED_MIRROR", fields->mirror },
                { "SHMSTAGED_SOURCE", fields->source },
                { "SHMSTAGED_TARGET", fields->target },
                { "SHMSTAGED_PATH", fields->path },
                { "SHMSTAGED_REASON", fields->reason },
                { "SHMSTAGED_EXPECTED", fields->expected },
                { "SHMSTAGED_FOUND", fields->found },
                { "SHMSTAGED_KEPT", fields->kept },
                { "SHMSTAGED_BYTES", number(bytes, fields->bytes) },
                { "SHMSTAGED_COUNT", number(count, fields->count) },
                { "ERRNO", number(error, fields->error > 0 ? (uint64_t) fields->error : 0) },
        };
        struct iovec iov[ELEMENTSOF(all)];
        int n = 0;

        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                char *line = all[i].value ? text_format("%s=%s", all[i].name, all[i].value) : NULL;

                if (line)
                        iov[n++] = (struct iovec){ .iov_base = line, .iov_len = strlen(line) };
        }
        (void) sd_journal_sendv(iov, n); /* a failure to log cannot be logged */
        for (int i = 0; i < n; i++)
                free(iov[i].iov_base);
}

void log_event(int priority, const LogFields *fields, const char *format, ...) {
        static const LogFields none = {};
        _cleanup_(freep) char *text = NULL;
        void (*before)(void);
        va_list ap;

        if (priority > max_priority)
                return;
        va_start(ap, format);
        text = text_vformat(format, ap);
        va_end(ap);
        if (!text)
                return;
        if (to_journal) {
                send_to_journal(priority, fields ? fields : &none, text);
                return;
        }
        before = atomic_load(&before_line);
        if (before)
                before();
        /* one call, so that lines of several threads do not mix */
        (void) fprintf(stderr, "%s%s\n", priority <= LOG_ERR ? "Error: " : priority == LOG_WARNING ? "Warning: " : "",
                       text);
}

bool log_limit_pass(LogLimit *limit) {
        return limit->n++ < limit->max;
}

size_t log_limit_end(LogLimit *limit) {
        size_t suppressed = limit->n > limit->max ? limit->n - limit->max : 0;

        limit->n = 0;
        return suppressed;
}
