/* SPDX-License-Identifier: GPL-2.0-or-later */

/* One sentence per event, to the journal with its fields or to stderr as a line. See log.h. */

#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

/* Set once at start, before there are threads; read by all. */
static bool to_journal;
static int max_priority = LOG_INFO;
static _Atomic(void (*)(void)) before_line;

/* systemd sets JOURNAL_STREAM=device:inode to what it connected stderr to (systemd.exec(5)); after a redirection
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

static void send_to_journal(int priority, const LogFields *fields, const char *text) {
        char *lines[6] = {};
        struct iovec iov[ELEMENTSOF(lines)];
        int n = 0;

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                int r = -1;

                if (i == 0)
                        r = asprintf(&lines[n], "MESSAGE=%s", text);
                else if (i == 1)
                        r = asprintf(&lines[n], "PRIORITY=%d", priority);
                else if (i == 2 && fields->message_id)
                        r = asprintf(&lines[n], "MESSAGE_ID=%s", fields->message_id);
                else if (i == 3 && fields->mirror)
                        r = asprintf(&lines[n], "SHMSTAGED_MIRROR=%s", fields->mirror);
                else if (i == 4 && fields->path)
                        r = asprintf(&lines[n], "SHMSTAGED_PATH=%s", fields->path);
                else if (i == 5 && fields->error > 0)
                        r = asprintf(&lines[n], "ERRNO=%d", fields->error);
                if (r < 0)
                        continue;
                iov[n].iov_base = lines[n];
                iov[n].iov_len = (size_t) r;
                n++;
        }
        (void) sd_journal_sendv(iov, n); /* there is nobody to tell that telling failed */
        for (int i = 0; i < n; i++)
                free(lines[i]);
}

void log_event(int priority, const LogFields *fields, const char *format, ...) {
        static const LogFields none = {};
        _cleanup_(freep) char *text = NULL;
        void (*before)(void);
        va_list ap;
        int r;

        if (priority > max_priority)
                return;
        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                return;
        }
        if (to_journal) {
                send_to_journal(priority, fields ? fields : &none, text);
                return;
        }
        before = atomic_load(&before_line);
        if (before)
                before();
        /* one call, so that lines of several threads do not mix */
        (void) fprintf(stderr, "%s%s\n", priority <= LOG_ERR ? "Error: " : priority == LOG_WARNING ? "Warning: " : "", text);
}
